//! What a node writes into its write-ahead log, in the order in which it happened.

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Position, ShardId, Tail};

use super::messages::Entry;

/// Counts the writes of one boot into the write-ahead log, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WriteSeq(pub u64);

/// Names a snapshot that the shell has received whole into a side tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnapshotId(pub u64);

/// One durable change. After a crash some prefix of all records holds, at least up to the last that was reported durable;
/// each record holds whole or not at all, shard by shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// These shards accept nothing below the epoch from here on.
    Seal {
        /// The epoch.
        epoch: Epoch,
        /// The shards, in order.
        shards: Vec<ShardId>,
    },
    /// The shard's log is cut after `previous`, then these entries follow.
    Append {
        /// The shard.
        shard: ShardId,
        /// The entry before the first of `entries`.
        previous: Tail,
        /// The entries; none to cut only.
        entries: Vec<Entry>,
    },
    /// The snapshot replaces the whole state of the shard, and its log is empty from `base` on: in one atomic step.
    Snapshot {
        /// The shard.
        shard: ShardId,
        /// The last entry that the snapshot holds.
        base: Tail,
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// Entries up to here are in the durable state, and the log gives them up.
    Truncate {
        /// The shard.
        shard: ShardId,
        /// The last entry that goes.
        base: Tail,
    },
    /// The shard's log and state go, because this disk is no replica any more; its seal stays.
    Drop {
        /// The shard.
        shard: ShardId,
    },
}

/// What a disk holds of one shard when a node starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredShard {
    /// The shard.
    pub shard: ShardId,
    /// The last seal.
    pub seal: Epoch,
    /// The log; after truncation its base is the last entry that went.
    pub log: super::log::LogIndex,
    /// Up to where the durable state holds the log; at least the log's base.
    pub applied: Position,
}
