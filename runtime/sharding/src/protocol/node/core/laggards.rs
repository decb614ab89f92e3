//! Replicas that stay behind, as the owners of their shards see it.

use std::collections::BTreeMap;

use crate::ids::{NodeId, ShardId};

use super::super::super::rules::Rules;
use super::super::Laggard;
use super::NodeCore;

/// Shards of a laggard that are named: the others are counted.
const NAMED_MAX: usize = 8;

impl<R: Rules> NodeCore<R> {
    /// The nodes that do not take in what is written to shards that this node owns.
    pub fn laggards(&self) -> Vec<Laggard> {
        let mut laggards: BTreeMap<NodeId, Laggard> = BTreeMap::new();
        for (number, shard) in self.shards.iter().enumerate() {
            let Some(owner) = shard.owner() else { continue };
            for (node, entries) in owner.lagging(shard.replica().log()) {
                let laggard = laggards.entry(node).or_insert_with(|| Laggard {
                    node,
                    shards: 0,
                    named: Vec::new(),
                    entries_most: 0,
                });
                laggard.shards += 1;
                laggard.entries_most = laggard.entries_most.max(entries);
                if laggard.named.len() < NAMED_MAX {
                    laggard.named.push(ShardId(number as u32));
                }
            }
        }
        laggards.into_values().collect()
    }
}
