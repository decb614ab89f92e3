//! What is written: the four things that one can say about logs and registers.

use std::fmt;

use bytes::Bytes;
use shardloom_sharding::ids::ShardId;

/// One of the many logs in the write-ahead log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogId(pub u64);

/// Shard logs start here; the numbers below are for logs of the node itself.
const SHARD_LOGS_START: u64 = 16;

impl LogId {
    /// The Raft log of the cluster.
    pub const CONTROL: LogId = LogId(0);

    /// The log of a shard.
    pub fn shard(shard: ShardId) -> LogId {
        LogId(SHARD_LOGS_START + u64::from(shard.0))
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One statement about a log or a register. The records of one submission become durable together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Adds the next entry to a log. The first entry of a log that is new may have any index.
    Append {
        /// The log.
        log: LogId,
        /// One more than the last index.
        index: u64,
        /// The entry.
        payload: Bytes,
    },
    /// Cuts the tail of a log: entries at `from` and above are gone.
    Truncate {
        /// The log.
        log: LogId,
        /// The first index that is cut.
        from: u64,
    },
    /// Gives up the head of a log: entries up to `upto`, inclusive, are gone, and the log goes on after it. May lie
    /// beyond the last entry: then the log is empty and continues at `upto + 1`.
    Purge {
        /// The log.
        log: LogId,
        /// The last index that is given up.
        upto: u64,
    },
    /// Forgets a log: as if it had never been.
    Drop {
        /// The log.
        log: LogId,
    },
    /// Sets a small durable register.
    Set {
        /// Which one; below [`super::SLOT_RESERVED`].
        slot: u64,
        /// Its value.
        value: Bytes,
    },
    /// Forgets a register.
    Clear {
        /// Which one; below [`super::SLOT_RESERVED`].
        slot: u64,
    },
}
