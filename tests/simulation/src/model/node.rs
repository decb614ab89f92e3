//! One node of a world: the product's core of one shard, its disk, and what it has applied.

use shardloom_sharding::protocol::control::ShardRow;
use shardloom_sharding::protocol::shard::ShardCore;

use super::disk::{Cell, Disk};

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) core: ShardCore,
    pub(super) disk: Disk,
    /// How many entries of the control log it has applied, and what they say.
    pub(super) applied: u8,
    pub(super) row: ShardRow,
    /// Its state: what it has applied of the shard's log.
    pub(super) state: Vec<Cell>,
    /// Its lease has run out.
    pub(super) out: bool,
}

impl Node {
    pub(super) fn new(disk: Disk) -> Node {
        Node {
            core: ShardCore::restore(disk.stored()),
            disk,
            applied: 0,
            row: ShardRow::default(),
            state: Vec::new(),
            out: false,
        }
    }
}
