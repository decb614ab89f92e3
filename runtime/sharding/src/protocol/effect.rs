//! What the core of one shard on one node asks for. The node core gathers these, over all shards, into few messages and writes.

use crate::ids::{Epoch, NodeId, Position, Replica};

use super::messages::{Append, Appended, Fetch, LearnProgress};
use super::ranges::{AppendRange, FetchedRange};
use super::record::{Record, SnapshotId, WriteSeq};
use super::rules::Rules;
use super::timing::{Time, Timing};

/// What a shard's step needs to know beside the event.
#[derive(Clone, Copy, Debug)]
pub struct Context<R: Rules> {
    /// This node and its disk.
    pub me: Replica,
    /// The rules in force.
    pub rules: R,
    /// The moment.
    pub now: Time,
    /// The write that the records of this step go into.
    pub seq: WriteSeq,
    /// The spans of time.
    pub timing: Timing,
}

/// What one shard's core asks for, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardEffect {
    /// Seal the shard: a record that may share its place with other shards' seals of the same step, before all other records.
    Seal(Epoch),
    /// Write a record.
    Write(Record),
    /// The newest seal is durable.
    Sealed(Epoch),
    /// Send a range of the log to a replica.
    Append(NodeId, AppendRange),
    /// Answer an append.
    Answer(NodeId, Appended),
    /// Ask a source for its log.
    Fetch(NodeId, Fetch),
    /// Send a range of the log to a new owner.
    Give(NodeId, FetchedRange),
    /// Send the state as a snapshot.
    SendSnapshot(NodeId, Epoch),
    /// Throw a snapshot away.
    Discard(SnapshotId),
    /// A write quorum holds the barrier.
    Confirm(Epoch),
    /// Calls may start.
    Serving(Epoch),
    /// No call may start or be answered.
    NotServing(Epoch),
    /// The batch stands here.
    Sequenced(Epoch, Position),
    /// The batch is not in the log.
    Refused(Epoch),
    /// A write quorum holds the log up to here.
    Committed(Epoch, Position),
    /// The state may take the log up to here.
    Apply(Position),
    /// The future owner, a write quorum of the future replicas and all that are new among them are near the tail.
    Learnt(Epoch),
    /// They are not yet.
    Learning(Epoch, LearnProgress),
}

impl AppendRange {
    /// The message for this range, given its entries.
    pub fn with_entries(self, entries: Vec<super::messages::Entry>) -> Append {
        Append { shard: self.shard, previous: self.previous, entries, commit: self.commit }
    }
}

impl FetchedRange {
    /// The message for this range, given its entries.
    pub fn with_entries(self, entries: Vec<super::messages::Entry>) -> super::messages::Fetched {
        super::messages::Fetched { shard: self.shard, previous: self.previous, entries, tail: self.tail }
    }
}
