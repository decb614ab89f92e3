//! What a call may write and answer: the bounds that a cluster has unless a deploy sets others.

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The bounds of a workload, named as `shardloom deploy --limit` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a key of the state.
    pub key_bytes: usize,
    /// Bytes of a value of the state.
    pub value_bytes: usize,
    /// Keys that one call may change.
    pub changes: usize,
    /// Bytes of keys and values that one call may change, all together; each key counts one byte more.
    pub batch_bytes: usize,
    /// Bytes of keys and values that the workload may keep on one shard; each key counts one byte more.
    pub state_bytes: usize,
    /// Bytes of a reply's body.
    pub reply_bytes: usize,
    /// Headers of a reply.
    pub reply_headers: usize,
    /// Bytes of all header names and values of a reply.
    pub reply_header_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            key_bytes: KIB,
            value_bytes: 48 * KIB,
            changes: 1_000,
            batch_bytes: MIB,
            state_bytes: 256 * MIB,
            reply_bytes: 8 * MIB,
            reply_headers: 64,
            reply_header_bytes: 16 * KIB,
        }
    }
}
