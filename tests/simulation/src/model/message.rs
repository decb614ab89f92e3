//! What the network holds.

use shardloom_sharding::ids::{DiskId, Epoch, Position, Replica, Tail};
use shardloom_sharding::protocol::log::LogIndex;

use super::disk::Cell;

/// A node by its number.
pub(super) type Id = u8;

/// A message that was sent at some time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Message {
    Append { to: Id, from: Id, epoch: Epoch, previous: Tail, cells: Vec<Cell>, commit: Position },
    Matched { to: Id, from: Id, epoch: Epoch, position: Position },
    Mismatch { to: Id, from: Id, epoch: Epoch, log: LogIndex },
    Fetch { to: Id, from: Id, epoch: Epoch, disk: DiskId, log: LogIndex },
    Fetched { to: Id, from: Id, epoch: Epoch, previous: Tail, cells: Vec<Cell>, tail: Tail },
    Snapshot { to: Id, from: Id, epoch: Epoch, base: Tail, cells: Vec<Cell> },
    SealAck { from: Id, epoch: Epoch, tail: Tail },
    Confirm { epoch: Epoch },
}

/// A node's replica.
pub(super) fn replica(id: Id) -> Replica {
    use shardloom_sharding::ids::NodeId;
    Replica { node: NodeId(u64::from(id)), disk: DiskId(u64::from(id)) }
}
