//! The types and the timing of the control group.

use openraft::{Config, ConfigError, EmptyNode, SnapshotPolicy};
use serde::{Deserialize, Serialize};
use shardloom_sharding::ids::NodeId;

use crate::control::{ControlCommand, ControlReply};

/// How the control group is timed.
///
/// openraft 0.9 starts an election after the *maximum* election timeout plus a random one between the minimum and the
/// maximum. With the defaults a dead leader is noticed after 0.8 to 1.0 s, and a follower that is starved for half a second on a busy
/// machine does not call an election.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RaftTiming {
    /// Milliseconds between two heartbeats.
    pub heartbeat_ms: u64,
    /// Milliseconds, the least random part of an election timeout.
    pub election_min_ms: u64,
    /// Milliseconds, the fixed part and the greatest random part of an election timeout.
    pub election_max_ms: u64,
    /// Entries between two snapshots of the control state; the log before the last snapshot is given up.
    pub snapshot_every: u64,
}

impl Default for RaftTiming {
    fn default() -> Self {
        RaftTiming { heartbeat_ms: 100, election_min_ms: 300, election_max_ms: 500, snapshot_every: 2_000 }
    }
}

/// Entries that stay in the log behind a snapshot, so that a node that is a little late does not need the snapshot.
const LOG_KEPT_BEHIND_SNAPSHOT: u64 = 500;
/// Entries in one append at most: the control log is small, and a proposal of 10,000 shards is some 50 KB.
const APPEND_ENTRIES_MAX: u64 = 64;
/// Milliseconds to send a snapshot and have it installed.
const SNAPSHOT_INSTALL_MS: u64 = 10_000;

impl RaftTiming {
    /// Makes openraft's configuration of it.
    ///
    /// # Errors
    ///
    /// The values contradict each other (an election timeout below the heartbeat, say).
    pub fn config(&self) -> Result<Config, ConfigError> {
        Config {
            cluster_name: "shardloom".into(),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.election_min_ms,
            election_timeout_max: self.election_max_ms,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            replication_lag_threshold: self.snapshot_every + LOG_KEPT_BEHIND_SNAPSHOT,
            max_in_snapshot_log_to_keep: LOG_KEPT_BEHIND_SNAPSHOT,
            max_payload_entries: APPEND_ENTRIES_MAX,
            install_snapshot_timeout: SNAPSHOT_INSTALL_MS,
            ..Config::default()
        }
        .validate()
    }
}

openraft::declare_raft_types!(
    /// The control group: commands in, replies out, addresses kept elsewhere.
    pub TypeConfig:
        D = ControlCommand,
        R = ControlReply,
        NodeId = NodeId,
        Node = EmptyNode,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = Vec<u8>,
        AsyncRuntime = openraft::TokioRuntime,
);

/// The control group of this node.
pub type Raft = openraft::Raft<TypeConfig>;
/// The place of an entry in the control log.
pub type LogId = openraft::LogId<NodeId>;
/// An entry of the control log.
pub type Entry = openraft::Entry<TypeConfig>;
/// What openraft tells of itself.
pub type RaftMetrics = openraft::RaftMetrics<NodeId, EmptyNode>;
