//! Which changes are wanted, given the committed map, the members and the weights.
//!
//! Four steps, each of which leaves alone what is fine already:
//! 1. `repair`: replicas that are lost or leaving are made anew, and owners that do not answer replaced, by nodes that
//!    have the shard's log where there are any.
//! 2. `spread`: replicas of one shard that share a zone without need move apart.
//! 3. `level_replicas`: replicas move from nodes that hold more than their share to those that hold less.
//! 4. `level_owners`: owners hand over to other replicas of the shard, which moves no data.
//!
//! Each shard has a replica that may own it, where any member may own shards: of one that lies only on members that may not, one replica goes elsewhere.
//!
//! What counts as fine depends on the members and the weights alone, never on the map, and every step makes things strictly
//! better by one measure (`level`). So planning ends, and the plan after a plan is empty. (One exception: where the owner is
//! dead, nodes without the log are not asked to take over in the same plan, as the shard would have to wait for their copy.
//! They are asked by the plan after.)
//!
//! The order of the members does not matter, and the same arguments always give the same plan.

mod balance;
mod draft;
mod level;
mod level_owners;
mod level_replicas;
mod peers;
mod picker;
mod reason;
mod repair;
mod shares;
mod spread;
mod weights;

use std::collections::BTreeSet;

use crate::change::Change;
use crate::ids::{Replica, ShardId};
use crate::map::{REPLICAS_MAX, ShardMap};
use draft::{Draft, Step};
use peers::Peers;
use weights::Weights;

pub use balance::{NodeBalance, balance};
pub use reason::{Planned, Reason};
pub use weights::WEIGHT_MAX;

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
    /// It has a lease and no room on its disk: it loses what it owns as soon as others can have it, keeps its replicas, and takes no new ones.
    Full,
    /// It has a lease and is in quarantine: as a full one, it loses what it owns, keeps its replicas, and takes no new ones. Where no other member could
    /// own anything, it counts as live.
    Quarantined,
    /// It has a lease and lacks what a workload asks of owners: it loses what it owns, and keeps and takes replicas as any other. Where no other member
    /// could own anything, it counts as live.
    Unfit,
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
pub fn plan(map: &ShardMap, members: &[Member], weights: &[u32], settings: &PlanSettings) -> Vec<Change> {
    let planned = plan_beside(map, members, weights, settings, &BTreeSet::new());
    planned.into_iter().map(|planned| planned.change).collect()
}

/// As [`plan`], and why each shard changes. Shards that rest are not changed for the sake of balance.
pub fn plan_beside(
    map: &ShardMap,
    members: &[Member],
    weights: &[u32],
    settings: &PlanSettings,
    resting: &BTreeSet<ShardId>,
) -> Vec<Planned> {
    let peers = Peers::new(map, members);
    let weights = Weights::new(weights, map.shard_count());
    let wanted = usize::from(settings.replicas).clamp(1, REPLICAS_MAX);

    let mut draft = Draft::new(map, &peers, &weights);
    draft.let_rest(resting);
    repair::repair(&mut draft, wanted);
    draft.limit_moves(settings.moves_max);
    draft.begin(Step::Spread);
    spread::spread(&mut draft);
    draft.begin(Step::LevelReplicas);
    level_replicas::level_replicas(&mut draft, wanted, settings.threshold_percent);
    draft.begin(Step::LevelOwners);
    level_owners::level_owners(&mut draft, settings.threshold_percent);
    let explained = |(change, made)| Planned { change, reason: reason::of(map, &peers, &made, wanted) };
    draft.into_changes().into_iter().map(explained).collect()
}
