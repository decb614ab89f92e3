//! The test set: 10,000 shards on 50 nodes.

use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{DiskId, Epoch, NodeId, Replica, ShardId};
use shardloom_sharding::map::ShardMap;
use shardloom_sharding::plan::{Member, PlanSettings, Standing, Zone, plan};

pub(crate) const SHARDS: u32 = 10_000;
pub(crate) const NODES: u64 = 50;

/// What the epochs of a map are like.
#[derive(Clone, Copy)]
pub(crate) enum Epochs {
    /// All from one proposal.
    One,
    /// Each shard its own, one after the other.
    Sequence,
    /// Each shard its own, anywhere below 2^40.
    Scattered,
}

/// Numbers without any pattern that a division or a table could be quick at.
pub(crate) fn scattered() -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state ^ (state >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd)
    };
    (0..SHARDS).map(step).collect()
}

pub(crate) fn settings(replicas: u8) -> PlanSettings {
    PlanSettings { replicas, threshold_percent: 5, moves_max: None }
}

fn member(number: u64) -> Member {
    let scatter = |salt: u64| (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt;
    let replica = Replica { node: NodeId(scatter(0)), disk: DiskId(scatter(0x5555)) };
    Member { replica, capacity: 100, zone: Zone(0), standing: Standing::Live }
}

pub(crate) fn members() -> Vec<Member> {
    (0..NODES).map(member).collect()
}

pub(crate) fn zoned() -> Vec<Member> {
    (0..NODES).map(|number| Member { zone: Zone((number % 3) as u32), ..member(number) }).collect()
}

pub(crate) fn one_out_one_in() -> Vec<Member> {
    let mut members = members();
    members[17].standing = Standing::Gone;
    members.push(member(NODES));
    members
}

pub(crate) fn one_silent() -> Vec<Member> {
    let mut members = members();
    members[17].standing = Standing::Silent;
    members
}

pub(crate) fn apply(map: &mut ShardMap, changes: &[Change], epoch: impl Fn(ShardId) -> Epoch) {
    for change in changes {
        map.assign(change.shard, epoch(change.shard), Some(change.owner), &change.replicas).unwrap();
    }
}

/// The map that the planner makes for a new cluster.
pub(crate) fn planned(replicas: u8, epochs: Epochs) -> ShardMap {
    let mut map = ShardMap::new(SHARDS);
    let changes = plan(&map, &members(), &[], &settings(replicas));
    let anywhere = scattered();
    apply(&mut map, &changes, |shard| match epochs {
        Epochs::One => Epoch(1_000),
        Epochs::Sequence => Epoch(1_000_000 + u64::from(shard.0)),
        Epochs::Scattered => Epoch(1 + (anywhere[shard.index()] >> 24)),
    });
    map
}

/// The owner of each shard.
pub(crate) fn owners_only() -> Vec<NodeId> {
    let map = planned(1, Epochs::One);
    map.shards().map(|shard| map.owner(shard).unwrap()).collect()
}
