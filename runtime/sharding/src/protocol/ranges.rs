//! Parts of shard logs that the shell is to read and send, and how far a snapshot is that stands for one.

use crate::ids::{Position, Tail};

use super::messages::ShardEpoch;

/// A part of a shard log that an owner sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendRange {
    /// The shard, and the epoch under which its owner sends.
    pub shard: ShardEpoch,
    /// The entry before the first.
    pub previous: Tail,
    /// The last entry to send; `previous.position` where there is none.
    pub last: Position,
    /// The owner's commit.
    pub commit: Position,
}

/// A part of a shard log that a source sends to a new owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedRange {
    /// The shard, and the epoch of the request.
    pub shard: ShardEpoch,
    /// The entry before the first.
    pub previous: Tail,
    /// The last entry to send; `previous.position` where there is none.
    pub last: Position,
    /// Where the log ends.
    pub tail: Tail,
}

/// How far a snapshot is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transfer {
    /// The last entry that the snapshot holds for sure; the receiver needs the log from there on.
    pub base: Position,
    /// Bytes that the receiver has taken in.
    pub sent_bytes: u64,
    /// Bytes in all, as far as the sender knows.
    pub whole_bytes: u64,
}
