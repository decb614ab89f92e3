//! Parts of shard logs that the shell is to read and send.

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
