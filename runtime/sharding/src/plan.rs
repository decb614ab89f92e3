//! Which changes are wanted, given the committed map, the members and the weights.

use crate::change::Change;
use crate::ids::Replica;
use crate::map::ShardMap;

/// A place that fails as one, such as a rack or a data centre; equal numbers are the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zone(pub u32);

/// How the leader sees a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has a lease: it may own shards and take new replicas.
    Live,
    /// Its lease has run out: it loses what it owns, and keeps its replicas until it comes back or is given up.
    Silent,
    /// It is asked to leave and answers: it loses what it owns, and its replicas as soon as others have them.
    Draining,
    /// It is given up: it loses what it owns and its replicas.
    Gone,
}

/// One member of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node, and the disk that it has now; replicas on another disk of the same node are lost.
    pub replica: Replica,
    /// How much it can carry in comparison to the others; 0 carries nothing.
    pub capacity: u32,
    /// Where it stands.
    pub zone: Zone,
    /// How the leader sees it.
    pub standing: Standing,
}

/// What the planner aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanSettings {
    /// How many replicas each shard is to have, 1 to [`crate::map::REPLICAS_MAX`]; fewer where there are fewer members.
    pub replicas: u8,
    /// How far a node's load may be from its share before shards move, in percent of the share.
    pub threshold_percent: u32,
    /// How many shards may change for the sake of balance in one plan; changes that restore owners or replicas do not count.
    pub moves_max: Option<u32>,
}

/// Plans the changes that bring the map to what the members and weights call for: at most one for each shard, in ascending
/// order of shards; none if the map is fine as it is.
///
/// `weights` has one entry for each shard; where it is shorter, the weight is 1.
pub fn plan(_map: &ShardMap, _members: &[Member], _weights: &[u32], _settings: &PlanSettings) -> Vec<Change> {
    Vec::new()
}
