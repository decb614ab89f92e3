//! What plans do about members that are to own nothing: full ones, those in quarantine, those without the labels that are asked for.

use std::collections::BTreeSet;

use shardloom_sharding::change::Change;
use shardloom_sharding::plan::{Member, Reason, Standing, plan_beside};

use crate::map_world::World;

/// How many shards the member owns, and of how many it has a replica.
fn owned_and_held(world: &World, member: usize) -> (usize, usize) {
    let replica = world.members[member].replica;
    let owned = world.map.shards().filter(|shard| world.map.owner_replica(*shard) == Some(replica)).count();
    let held =
        world.map.shards().filter(|shard| world.map.replicas(*shard).any(|held| held == replica)).count();
    (owned, held)
}

#[test]
fn full_node_gives_up_what_it_owns_keeps_its_replicas_and_takes_no_others() {
    let mut world = World::new(60, 3);
    world.join_many(4);
    world.settle(1);
    let (owned, held) = owned_and_held(&world, 0);
    assert!(owned > 0 && held > 0);
    world.set(0, Standing::Full);
    world.settle(2);
    assert_eq!(owned_and_held(&world, 0), (0, held), "it stays a replica");
    // The replicas of another go to those that have room.
    world.set(1, Standing::Gone);
    world.settle(3);
    assert_eq!(owned_and_held(&world, 0), (0, held), "it takes no other");
    world.set(0, Standing::Live);
    world.settle(3);
    assert!(owned_and_held(&world, 0).0 > 0, "with room it owns again");
}

#[test]
fn a_node_in_quarantine_owns_nothing_keeps_its_replicas_and_takes_no_others() {
    let mut world = World::new(60, 3);
    world.join_many(4);
    world.settle(1);
    let (owned, held) = owned_and_held(&world, 0);
    assert!(owned > 0 && held > 0);
    world.set(0, Standing::Quarantined);
    let node = world.members[0].replica.node;
    let planned = plan_beside(&world.map, &world.members, &world.weights, &world.settings, &BTreeSet::new());
    let why = planned.iter().filter(|one| one.reason == Reason::NodeQuarantined(node)).count();
    assert_eq!(why, owned, "each that it owns goes for that reason");
    let gains = |change: &Change| {
        change.replicas.iter().any(|new| world.map.replicas(change.shard).all(|old| old != *new))
    };
    assert!(!planned.iter().any(|one| gains(&one.change)), "no data is copied");
    world.settle(2);
    assert_eq!(owned_and_held(&world, 0), (0, held), "it stays a replica");
    world.set(1, Standing::Gone);
    world.settle(3);
    assert_eq!(owned_and_held(&world, 0), (0, held), "it takes no other");
    // It ends once more, and comes back.
    world.set(0, Standing::Silent);
    world.settle(2);
    world.set(0, Standing::Quarantined);
    assert_eq!(world.plan(), []);
    world.set(0, Standing::Live);
    world.settle(3);
    assert!(owned_and_held(&world, 0).0 > 0, "released, it owns again");
}

#[test]
fn a_node_without_the_labels_holds_replicas_and_owns_nothing() {
    let mut world = World::new(60, 2);
    world.join_many(5);
    world.settle(1);
    let unfit = |world: &World, standing| {
        let is = |member: &&Member| member.standing == standing;
        world.members.iter().filter(is).map(|member| member.replica).collect::<Vec<_>>()
    };
    [0, 1, 2].into_iter().for_each(|member| world.set(member, Standing::Unfit));
    let node = world.members[0].replica.node;
    let planned = plan_beside(&world.map, &world.members, &world.weights, &world.settings, &BTreeSet::new());
    assert!(planned.iter().any(|one| one.reason == Reason::LabelMissing(node)));
    world.settle(2);
    let out = unfit(&world, Standing::Unfit);
    for shard in world.map.shards() {
        assert!(!out.contains(&world.map.owner_replica(shard).unwrap()), "shard {shard} has another owner");
        assert_eq!(world.map.replicas(shard).count(), 2);
    }
    for member in 0..3 {
        assert!(owned_and_held(&world, member).1 > 0, "it holds replicas");
    }
    // One of those that may own dies: its shards go to the other, and those who may not hold what is lost.
    world.set(3, Standing::Gone);
    world.settle(3);
    assert_eq!(owned_and_held(&world, 4), (60, 60));
    let held: usize = (0..3).map(|member| owned_and_held(&world, member).1).sum();
    assert_eq!(held, 60);
    // Nobody is left that may: better they than none.
    world.set(4, Standing::Gone);
    world.settle(3);
    let owned: usize = (0..3).map(|member| owned_and_held(&world, member).0).sum();
    assert_eq!(owned, 60);
}

#[test]
fn a_shard_that_only_nodes_in_quarantine_hold_gets_a_replica_elsewhere() {
    let mut world = World::new(12, 1);
    world.join_many(3);
    world.settle(1);
    world.set(0, Standing::Quarantined);
    world.settle(2);
    assert_eq!(owned_and_held(&world, 0), (0, 0), "with one copy of each, it goes with the ownership");
}

#[test]
fn a_quarantine_does_not_count_where_it_would_leave_no_owner() {
    let mut world = World::new(12, 3);
    world.join(1, 0);
    world.settle(1);
    world.set(0, Standing::Quarantined);
    assert_eq!(world.plan(), [], "a cluster of one");
    world.join_many(2);
    world.settle(3);
    assert_eq!(owned_and_held(&world, 0), (0, 12));
    // The others leave: better it than nobody.
    world.set(1, Standing::Draining);
    world.set(2, Standing::Draining);
    world.settle(3);
    assert_eq!(owned_and_held(&world, 0), (12, 12));
}

#[test]
fn nothing_moves_where_no_node_has_room() {
    let mut world = World::new(60, 3);
    world.join_many(4);
    world.settle(1);
    (0..4).for_each(|member| world.set(member, Standing::Full));
    assert_eq!(world.plan(), []);
    // One that dies is replaced as owner all the same: the others can still answer reads.
    world.set(2, Standing::Silent);
    world.settle(2);
    assert_eq!(owned_and_held(&world, 2).0, 0);
    let owned: usize = [0, 1, 3].map(|member| owned_and_held(&world, member).0).into_iter().sum();
    assert_eq!(owned, 60);
}
