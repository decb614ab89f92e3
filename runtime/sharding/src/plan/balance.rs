//! What nodes carry under a map.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Member;
use super::weights::Weights;
use crate::ids::NodeId;
use crate::map::ShardMap;

/// What one node carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeBalance {
    /// How much it can carry in comparison to the others.
    pub capacity: u32,
    /// The shards that it owns, and what they weigh together.
    pub owned: u32,
    /// The weight of these.
    pub owned_weight: u64,
    /// The shards of which it has a replica.
    pub held: u32,
    /// The weight of these.
    pub held_weight: u64,
}

/// What each member, and whoever else has a replica, carries under the map. `weights` as for [`plan`](super::plan).
pub fn balance(map: &ShardMap, members: &[Member], weights: &[u32]) -> BTreeMap<NodeId, NodeBalance> {
    let weights = Weights::new(weights, map.shard_count());
    let mut nodes: BTreeMap<NodeId, NodeBalance> = BTreeMap::new();
    for member in members {
        nodes.entry(member.replica.node).or_default().capacity = member.capacity;
    }
    for shard in map.shards() {
        let weight = weights.of(shard.0);
        if let Some(owner) = map.owner(shard) {
            let node = nodes.entry(owner).or_default();
            node.owned += 1;
            node.owned_weight += weight;
        }
        for replica in map.replicas(shard) {
            let node = nodes.entry(replica.node).or_default();
            node.held += 1;
            node.held_weight += weight;
        }
    }
    nodes
}
