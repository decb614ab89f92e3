//! What plans do, and what they never do.

use std::collections::BTreeSet;

use proptest::prelude::*;
use shardloom_sharding::change::Change;
use shardloom_sharding::ids::ShardId;
use shardloom_sharding::map::ShardMap;
use shardloom_sharding::plan::Standing;

use crate::map_world::World;

/// Something that happens to a cluster. Numbers pick a member, whoever that is by then.
#[derive(Clone, Debug)]
enum Event {
    Join { capacity: u32, zone: u32 },
    FallSilent(usize),
    ComeBack(usize),
    Drain(usize),
    GiveUp(usize),
    Quarantine(usize),
    LackLabel(usize),
    Remove(usize),
    Wipe(usize),
    Weigh(Vec<u32>),
    Threshold(u32),
}

fn event(zones: u32) -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..4u32, 0..zones).prop_map(|(capacity, zone)| Event::Join { capacity, zone }),
        2 => any::<usize>().prop_map(Event::FallSilent),
        3 => any::<usize>().prop_map(Event::ComeBack),
        1 => any::<usize>().prop_map(Event::Drain),
        1 => any::<usize>().prop_map(Event::GiveUp),
        1 => any::<usize>().prop_map(Event::Quarantine),
        1 => any::<usize>().prop_map(Event::LackLabel),
        1 => any::<usize>().prop_map(Event::Remove),
        1 => any::<usize>().prop_map(Event::Wipe),
        1 => prop::collection::vec(0..50u32, 0..80).prop_map(Event::Weigh),
        1 => (0..30u32).prop_map(Event::Threshold),
    ]
}

fn happen(world: &mut World, event: &Event) {
    let count = world.members.len();
    match event {
        Event::Join { capacity, zone } => world.join(*capacity, *zone),
        Event::Weigh(weights) => world.weights.clone_from(weights),
        Event::Threshold(percent) => world.settings.threshold_percent = *percent,
        _ if count == 0 => {}
        Event::FallSilent(at) => world.set(at % count, Standing::Silent),
        Event::ComeBack(at) => world.set(at % count, Standing::Live),
        Event::Drain(at) => world.set(at % count, Standing::Draining),
        Event::GiveUp(at) => world.set(at % count, Standing::Gone),
        Event::Quarantine(at) => world.set(at % count, Standing::Quarantined),
        Event::LackLabel(at) => world.set(at % count, Standing::Unfit),
        Event::Remove(at) => drop(world.members.remove(at % count)),
        Event::Wipe(at) => world.wipe(at % count),
    }
}

/// What must hold of any plan, whatever has happened before.
fn check(world: &World, before: &ShardMap, changes: &[Change]) {
    let shards: Vec<ShardId> = changes.iter().map(|change| change.shard).collect();
    assert!(shards.is_sorted_by(|a, b| a < b), "one change for each shard, in ascending order");
    for change in changes {
        let old: Vec<_> = before.replicas(change.shard).collect();
        let silent = old.iter().filter(|replica| world.standing(**replica) == Standing::Silent);
        for replica in silent {
            assert!(change.replicas.contains(replica), "silence takes ownership, never a replica");
        }
        if !world.can_recover(before, change.shard) {
            assert!(old.iter().all(|replica| change.replicas.contains(replica)), "the last copies stay");
            assert_eq!(old.len(), change.replicas.len(), "nobody joins what cannot be recovered");
        }
        let owner = world.map.owner_replica(change.shard).unwrap();
        let dead = before
            .owner_replica(change.shard)
            .is_some_and(|owner| matches!(world.standing(owner), Standing::Silent | Standing::Gone));
        let with_log = old.iter().any(|replica| world.standing(*replica) == Standing::Live);
        if dead && with_log {
            assert!(old.contains(&owner), "a dead owner's shard goes to one that has its log");
        }
        assert_ne!(world.standing(owner), Standing::Gone);
        let kept_out = change.replicas.iter().filter(|r| world.standing(**r) == Standing::Quarantined);
        kept_out.for_each(|replica| assert!(old.contains(replica), "a node in quarantine takes nothing on"));
    }
    let wanted = usize::from(world.settings.replicas);
    for shard in world.map.shards() {
        check_shard(world, before, shard, wanted);
    }
}

fn check_shard(world: &World, before: &ShardMap, shard: ShardId, wanted: usize) {
    let replicas: Vec<_> = world.map.replicas(shard).collect();
    if !world.can_recover(before, shard) || world.live() == 0 {
        return;
    }
    let owner = world.map.owner_replica(shard).unwrap();
    assert!(replicas.len() >= wanted.min(world.takers()), "shard {shard} has {} replicas", replicas.len());
    assert!(replicas.len() <= wanted);
    assert!(replicas.iter().all(|replica| world.standing(*replica) != Standing::Gone));
    let able = replicas.iter().any(|replica| world.standing(*replica) == Standing::Live);
    assert!(able, "shard {shard} has a replica that may own it");
    assert!(world.standing(owner) == Standing::Live, "shard {shard} has an owner that may");
    if world.takers() >= wanted {
        let left = replicas.iter().filter(|replica| world.standing(**replica) == Standing::Draining);
        assert_eq!(left.count(), 0, "who leaves is replaced where somebody can");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn no_shard_is_lost_or_doubled_by_any_history(
        shard_count in 1..70u32,
        replicas in 1..=4u8,
        zones in 1..4u32,
        events in prop::collection::vec(event(3), 1..30),
    ) {
        let mut world = World::new(shard_count, replicas);
        for event in &events {
            let event = match event {
                Event::Join { capacity, zone } => Event::Join { capacity: *capacity, zone: zone % zones },
                other => other.clone(),
            };
            happen(&mut world, &event);
            let before = world.map.clone();
            let changes = world.plan();
            prop_assert_eq!(&changes, &world.plan(), "the same arguments give the same plan");
            world.apply(&changes);
            check(&world, &before, &changes);
            // One more round where owners were dead, and none after it.
            world.settle(2);
        }
    }

    #[test]
    fn a_plan_after_a_plan_is_empty_where_no_owner_was_dead(
        shard_count in 1..200u32,
        replicas in 1..=5u8,
        nodes in prop::collection::vec((0..5u32, 0..4u32), 1..12),
        more in prop::collection::vec((0..5u32, 0..4u32), 0..6),
        drained in prop::collection::vec(any::<usize>(), 0..3),
        weights in prop::collection::vec(0..100u32, 0..200),
        threshold in 0..20u32,
    ) {
        let mut world = World::new(shard_count, replicas);
        world.settings.threshold_percent = threshold;
        nodes.iter().for_each(|(capacity, zone)| world.join(*capacity, *zone));
        world.settle(1);
        more.iter().for_each(|(capacity, zone)| world.join(*capacity, *zone));
        world.settle(1);
        drained.iter().for_each(|at| happen(&mut world, &Event::Drain(*at)));
        world.settle(1);
        world.weights = weights;
        world.settle(1);
    }

    #[test]
    fn the_order_of_members_does_not_matter(nodes in prop::collection::vec((1..5u32, 0..3u32), 1..10), cut in any::<usize>()) {
        let mut world = World::new(64, 3);
        nodes.iter().for_each(|(capacity, zone)| world.join(*capacity, *zone));
        let first = world.plan();
        let cut = cut % world.members.len();
        world.members.rotate_left(cut);
        world.members.reverse();
        prop_assert_eq!(world.plan(), first);
    }

    #[test]
    fn equal_nodes_get_equal_shares(shard_count in 1..500u32, replicas in 1..=3u8, nodes in 3..20usize) {
        let mut world = World::new(shard_count, replicas);
        world.join_many(nodes);
        world.settle(1);
        assert_level(&world);
    }

    #[test]
    fn with_one_replica_shards_move_no_more_than_arithmetic_demands(
        shard_count in 1..400u32,
        nodes in 1..20usize,
        joining in 0..4usize,
        leaving in 0..4usize,
    ) {
        let mut world = World::new(shard_count, 1);
        world.join_many(nodes);
        world.settle(1);
        let before: Vec<u64> = world.loads().iter().map(|load| load.0).collect();
        let leaving = leaving.min(nodes - 1);
        (0..leaving).for_each(|member| world.set(member, Standing::Draining));
        world.join_many(joining);
        let moved = world.settle(1).len() as u64;
        let after = nodes - leaving + joining;
        let staying = before[leaving..].to_vec();
        prop_assert_eq!(moved, moves_least(u64::from(shard_count), &staying, after));
        assert_level(&world);
    }

    #[test]
    fn with_three_replicas_no_more_of_them_move_than_arithmetic_demands(
        shard_count in 1..400u32,
        nodes in 4..20usize,
        joining in 0..3usize,
        leaving in 0..2usize,
    ) {
        let mut world = World::new(shard_count, 3);
        world.join_many(nodes);
        world.settle(1);
        let before = world.map.clone();
        let held: Vec<u64> = world.loads().iter().map(|load| load.1).collect();
        (0..leaving).for_each(|member| world.set(member, Standing::Draining));
        world.join_many(joining);
        world.settle(1);
        let new = |shard: &ShardId| {
            world.map.replicas(*shard).filter(|replica| before.replicas(*shard).all(|old| old != *replica)).count()
        };
        let moved: usize = world.map.shards().map(|shard| new(&shard)).sum();
        let total = 3 * u64::from(shard_count);
        let least = moves_least(total, &held[leaving..], nodes - leaving + joining);
        prop_assert!(moved as u64 <= least + slack(least), "{} moved, {} would do", moved, least);
    }

    #[test]
    fn weights_are_levelled_to_capacities(
        nodes in prop::collection::vec(1..8u32, 1..10),
        weights in prop::collection::vec(1..100u32, 50..300),
        threshold in 0..20u32,
    ) {
        let mut world = World::new(weights.len() as u32, 1);
        let heaviest = u64::from(*weights.iter().max().unwrap());
        world.weights = weights;
        world.settings.threshold_percent = threshold;
        nodes.iter().for_each(|capacity| world.join(*capacity, 0));
        world.settle(1);
        let total: u64 = world.map.shards().map(|shard| world.weight(shard)).sum();
        let capacities: u64 = nodes.iter().map(|capacity| u64::from(*capacity)).sum();
        for (load, capacity) in world.loads().iter().zip(&nodes) {
            let share = (total * u64::from(*capacity)).div_ceil(capacities);
            let most = share + share * u64::from(threshold) / 100 + heaviest;
            prop_assert!(load.0 <= most, "{} owned, with a share of {share}", load.0);
        }
    }

    #[test]
    fn a_shard_stands_in_as_many_zones_as_there_are(
        shard_count in 1..100u32,
        replicas in 1..=4u8,
        nodes in prop::collection::vec(0..5u32, 1..12),
        more in prop::collection::vec(0..5u32, 0..6),
    ) {
        let mut world = World::new(shard_count, replicas);
        nodes.iter().for_each(|zone| world.join(1, *zone));
        world.settle(1);
        more.iter().for_each(|zone| world.join(1, *zone));
        world.settle(1);
        let zone = |replica| world.members.iter().find(|member| member.replica == replica).unwrap().zone;
        let zones: BTreeSet<_> = world.members.iter().map(|member| member.zone).collect();
        for shard in world.map.shards() {
            let there: BTreeSet<_> = world.map.replicas(shard).map(zone).collect();
            prop_assert_eq!(there.len(), zones.len().min(world.map.replicas(shard).len()));
        }
    }

    #[test]
    fn no_more_shards_move_at_once_than_allowed(shard_count in 20..200u32, moves_max in 0..20u32) {
        let mut world = World::new(shard_count, 3);
        world.join_many(5);
        world.settle(1);
        world.join_many(2);
        world.settings.moves_max = Some(moves_max);
        let changes = world.plan();
        prop_assert!(changes.len() <= moves_max as usize);
        prop_assert_eq!(changes.is_empty(), moves_max == 0);
        world.apply(&changes);
        world.settings.moves_max = None;
        world.settle(1);
        assert_level(&world);
    }
}

/// Where the only node with room has the shard already, another shard has to move for it: one more move than arithmetic says.
fn slack(least: u64) -> u64 {
    2 + least / 32
}

/// All live nodes own and hold the same, give or take one.
fn assert_level(world: &World) {
    let loads = world.loads();
    let spread = |of: fn(&(u64, u64)) -> u64| {
        loads.iter().map(of).max().unwrap_or(0) - loads.iter().map(of).min().unwrap_or(0)
    };
    assert!(spread(|load| load.0) <= 1, "owned and held: {loads:?}");
    assert!(spread(|load| load.1) <= 1, "owned and held: {loads:?}");
}

/// The fewest moves that bring nodes with these loads, and others with none, to equal shares give or take one.
fn moves_least(total: u64, staying: &[u64], nodes: usize) -> u64 {
    let least = total / nodes as u64;
    let mut fuller = total % nodes as u64;
    // Whoever is above the lesser share keeps one more, as long as there are places with one more.
    let mut staying = staying.to_vec();
    staying.sort_by_key(|load| std::cmp::Reverse(*load));
    let kept = staying.iter().map(|load| {
        if *load > least && fuller > 0 {
            fuller -= 1;
            least + 1
        } else {
            (*load).min(least)
        }
    });
    total - kept.sum::<u64>()
}

#[test]
fn a_silent_nodes_shards_are_owned_by_their_other_replicas() {
    let mut world = World::new(300, 3);
    world.join_many(10);
    world.settle(1);
    let before = world.map.clone();
    world.set(4, Standing::Silent);
    let changes = world.plan();
    let dead = world.members[4].replica.node;
    let its = before.shards().filter(|shard| before.owner(*shard) == Some(dead)).count();
    assert!(changes.len() >= its);
    world.apply(&changes);
    assert_eq!(world.map.owned(dead), 0);
    for shard in before.shards() {
        let same = before.replicas(shard).all(|replica| world.map.replicas(shard).any(|now| now == replica));
        assert!(same, "replicas stay where they are");
    }
    assert_level_owned(&world);
}

#[test]
fn a_node_that_comes_back_owns_its_share_again() {
    let mut world = World::new(300, 3);
    world.join_many(10);
    world.settle(1);
    world.set(4, Standing::Silent);
    world.settle(2);
    world.set(4, Standing::Live);
    world.settle(1);
    assert_eq!(world.map.owned(world.members[4].replica.node), 30);
}

#[test]
fn a_failed_nodes_load_goes_to_many() {
    let mut world = World::new(10_000, 3);
    world.join_many(50);
    world.settle(1);
    world.settings.threshold_percent = 10;
    world.set(17, Standing::Silent);
    let changes = world.plan();
    let heirs: BTreeSet<_> = changes.iter().map(|change| change.owner).collect();
    assert!(heirs.len() >= 40, "{} heirs", heirs.len());
    assert_eq!(changes.len(), 200, "nobody else's shards change");
}

#[test]
fn a_leaver_goes_though_fewer_are_left_than_replicas_are_wanted() {
    let mut world = World::new(64, 3);
    world.join_many(3);
    world.settle(1);
    world.set(0, Standing::Draining);
    world.settle(1);
    let leaver = world.members[0].replica;
    assert!(world.map.holders().iter().all(|holder| holder.replica != leaver));
    assert!(world.map.shards().all(|shard| world.map.replicas(shard).len() == 2));
    world.join_many(1);
    world.settle(1);
    assert!(world.map.shards().all(|shard| world.map.replicas(shard).len() == 3));
}

#[test]
fn a_leaver_stays_a_replica_while_one_that_would_be_left_is_silent() {
    let mut world = World::new(64, 3);
    world.join_many(3);
    world.settle(1);
    world.set(1, Standing::Silent);
    world.set(0, Standing::Draining);
    world.settle(2);
    let leaver = world.members[0].replica;
    assert_eq!(world.map.owned(leaver.node), 0);
    assert!(world.map.shards().all(|shard| world.map.replicas(shard).len() == 3));
}

#[test]
fn a_leaver_stays_a_replica_while_one_that_could_take_its_place_is_silent() {
    let mut world = World::new(64, 3);
    world.join_many(3);
    world.settle(1);
    world.join_many(1);
    world.set(3, Standing::Silent);
    world.set(0, Standing::Draining);
    world.settle(2);
    let leaver = world.members[0].replica;
    assert_eq!(world.map.owned(leaver.node), 0);
    assert!(world.map.shards().all(|shard| world.map.replicas(shard).len() == 3), "no replica is given up");
    world.set(3, Standing::Gone);
    world.settle(1);
    assert!(world.map.shards().all(|shard| world.map.replicas(shard).len() == 2), "nobody is waited for");
}

#[test]
fn the_last_node_stays_though_it_is_asked_to_leave() {
    let mut world = World::new(64, 3);
    world.join_many(1);
    world.settle(1);
    world.set(0, Standing::Draining);
    world.settle(1);
    let last = world.members[0].replica;
    assert!(world.map.shards().all(|shard| world.map.replicas(shard).eq([last])));
}

#[test]
fn nobody_plans_for_a_cluster_without_members() {
    let world = World::new(64, 3);
    assert!(world.plan().is_empty());
}

fn assert_level_owned(world: &World) {
    let owned: Vec<u64> = world.loads().iter().map(|load| load.0).collect();
    let spread = owned.iter().max().unwrap() - owned.iter().min().unwrap();
    assert!(spread <= 1, "{owned:?}");
}
