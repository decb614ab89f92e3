//! What an owner tells people of a replica that stays behind.

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, ShardId};

/// A node that does not take in what is written to some shards, of which it has replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Laggard {
    /// The node.
    pub node: NodeId,
    /// How many shards.
    pub shards: u32,
    /// Some of them.
    pub named: Vec<ShardId>,
    /// How many entries of a log it lacks at most, as far as it has said what it has.
    pub entries_most: u64,
}
