//! One node's side of the protocol, over all its shards: what happens to it, and what its shell is to do.
//!
//! The shell feeds one [`NodeCore`] with events in one task and carries out the commands in their order.

mod core;
mod holds;
mod laggard;
mod outbox;
mod seals;
mod troubles;

use std::sync::Arc;

use crate::ids::{Epoch, NodeId, Position, ShardId, Tail, Term};

use super::messages::{PeerMessage, ShardEpoch, Space};
use super::record::{Record, SnapshotId, WriteSeq};
use super::timing::Time;

pub use self::core::NodeCore;
pub use self::laggard::Laggard;
pub use super::ranges::{AppendRange, FetchedRange, Transfer};

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum NodeEvent {
    /// The control state that is passed beside has changed.
    Applied {
        /// The shards that have changed.
        changed: Changed,
        /// The newest proposal among the entries that these changes come from and all before; the control state that is passed
        /// beside may already be further.
        newest_proposal: Epoch,
    },
    /// The control group has this leader now, or none.
    Leader(Option<(NodeId, Term)>),
    /// A message has come.
    Message {
        /// The node that the transport has authenticated.
        from: NodeId,
        /// The message; one for the leader core is ignored.
        message: PeerMessage,
    },
    /// Every write up to this one is on the disk, by fdatasync.
    Durable {
        /// That write.
        upto: WriteSeq,
    },
    /// Calls have written. Each batch is answered by `Sequenced` or `Refused`, those of one shard and epoch in their order; all that come
    /// together take one write and one message to each replica.
    Batches {
        /// The shard, the epoch under which the call ran, and its writes.
        batches: Vec<(ShardEpoch, Arc<[u8]>)>,
    },
    /// No call of these shards is under way, as `Drain` asked.
    Drained {
        /// The shards.
        shards: Vec<ShardId>,
    },
    /// A snapshot is whole in a side tree, checked; answered by a record that installs it, or by `DiscardSnapshot`.
    SnapshotArrived {
        /// Who sent it.
        from: NodeId,
        /// The shard, and the epoch under which it was sent.
        shard: ShardEpoch,
        /// The last entry that it holds.
        base: Tail,
        /// Where it is.
        snapshot: SnapshotId,
    },
    /// A snapshot is on its way: said at its beginning, before the log may give up anything that comes after its base, and as it goes on.
    SnapshotSent {
        /// Who is sent it.
        to: NodeId,
        /// The shard, and the epoch under which it is sent.
        shard: ShardEpoch,
        /// How far it is.
        transfer: Transfer,
    },
    /// The shard's state is durable up to here, so the log may give these entries up.
    Compact {
        /// The shard.
        shard: ShardId,
        /// The last entry that may go; no further than what was applied.
        upto: Position,
    },
    /// The process is about to end: others are to be given what this node owns. It is done when the committed map says so.
    Leave,
    /// How much room the node's disk has; when that changes. The leader hears of it at once.
    Space(Space),
    /// Batches of calls were numbered and cannot be written: these shards are not owned under these epochs any more, as if the process had
    /// begun anew, and the leader is asked for new ones.
    Forgo {
        /// The shards, and the epochs of the batches.
        shards: Vec<ShardEpoch>,
    },
    /// Time has passed; due every [`super::timing::Timing::tick`].
    Tick,
}

/// Which shards a change of the control state concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Perhaps any: the state came from a snapshot, or the node has just started.
    All,
    /// These.
    Shards(Vec<ShardId>),
}

/// What the shell is to do, in this order. A read of a log sees all earlier writes, durable or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeCommand {
    /// Queue these records for the write-ahead log; report `Durable` when they are on the disk.
    Write {
        /// Counts up by one.
        seq: WriteSeq,
        /// The records, in order.
        records: Vec<Record>,
    },
    /// Send a message; one to this node itself is looped back.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: PeerMessage,
    },
    /// Read these ranges of the shard logs and send them as one `PeerMessage::Append`.
    SendAppends {
        /// The receiver.
        to: NodeId,
        /// The ranges.
        ranges: Vec<AppendRange>,
    },
    /// Read these ranges of the shard logs and send them as one `PeerMessage::Fetched`.
    SendFetched {
        /// The receiver.
        to: NodeId,
        /// The ranges.
        ranges: Vec<FetchedRange>,
    },
    /// Send the shard's state as a snapshot, named by the last entry that it holds; give up quietly if the shard's seal changes.
    SendSnapshot {
        /// The receiver.
        to: NodeId,
        /// The shard, and the epoch under which it is sent.
        shard: ShardEpoch,
    },
    /// Throw away a snapshot that arrived.
    DiscardSnapshot {
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// From here on calls of the shard may start, while the lease is live.
    Serving {
        /// The shard and its epoch.
        shard: ShardEpoch,
    },
    /// No call of the shard may start or be answered any more; speculative state goes.
    NotServing {
        /// The shard and the epoch under which it was served.
        shard: ShardEpoch,
    },
    /// Start no new call of these shards; report `Drained` once none is under way.
    Drain {
        /// The shards.
        shards: Vec<ShardId>,
    },
    /// Calls of these shards may start again after all.
    Resume {
        /// The shards.
        shards: Vec<ShardId>,
    },
    /// The node may serve and answer until this moment, and not at it.
    LeaseUntil(Time),
    /// The batch stands here in the log.
    Sequenced {
        /// The shard and its epoch.
        shard: ShardEpoch,
        /// Where it stands.
        position: Position,
    },
    /// The batch did not reach the log.
    Refused {
        /// The shard, and the epoch of the refused batch.
        shard: ShardEpoch,
    },
    /// A write quorum holds the log up to here: replies that rest on it may leave, if the lease is live.
    Committed {
        /// The shard and its epoch.
        shard: ShardEpoch,
        /// Up to where.
        position: Position,
    },
    /// Apply the log to the shard's durable state up to here.
    Apply {
        /// The shard.
        shard: ShardId,
        /// Up to where.
        upto: Position,
    },
}
