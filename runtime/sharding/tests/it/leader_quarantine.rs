//! What a leader does about nodes that end again and again.

use shardloom_sharding::ids::{Boot, NodeId};
use shardloom_sharding::protocol::leader::{LeaderCommand, LeaderEvent};
use shardloom_sharding::protocol::messages::ToLeader;

use crate::leader_space::{World, asked_to_learn, members, proposed};

/// The nodes whose quarantine is asked for, and after how many outages.
fn quarantined(commands: &[LeaderCommand]) -> Vec<(u64, u32)> {
    let asked = commands.iter().filter_map(|command| match command {
        LeaderCommand::Quarantine { node, outages, .. } => Some((node.0, *outages)),
        _ => None,
    });
    asked.collect()
}

/// The node comes back in these boots, one after another.
fn restart(world: &mut World, node: u64, boots: impl Iterator<Item = u64>) -> Vec<(u64, u32)> {
    let mut asked = Vec::new();
    for boot in boots {
        world.renew_in(node, Boot(boot));
        asked.extend(quarantined(&world.step(LeaderEvent::Tick)));
    }
    asked
}

#[test]
fn a_node_that_ends_once_more_than_the_limit_is_quarantined_and_hands_over_all_that_it_owns() {
    let mut world = World::new();
    assert_eq!(restart(&mut world, 1, 2..5), []);
    assert_eq!(restart(&mut world, 1, 5..6), [(1, 4)]);
    let mut commands = world.step(LeaderEvent::Members(members(&[1])));
    commands.extend(world.step(LeaderEvent::Tick));
    let asked = asked_to_learn(&commands);
    assert_eq!(asked.iter().map(|(_, shard, _)| shard.0).collect::<Vec<_>>(), [0, 3], "{asked:?}");
    assert!(asked.iter().all(|(from, _, to)| *from == NodeId(1) && *to != NodeId(1)), "{asked:?}");
    assert_eq!(restart(&mut world, 1, 6..20), [], "it is in quarantine already");
    // Released, it is counted from zero.
    world.step(LeaderEvent::Members(members(&[])));
    assert_eq!(restart(&mut world, 1, 20..23), []);
}

#[test]
fn restarts_that_were_announced_bring_nobody_into_quarantine() {
    let mut world = World::new();
    for boot in 1..20 {
        world.hear(1, ToLeader::Leaving { boot: Boot(boot) });
        assert_eq!(restart(&mut world, 1, boot + 1..boot + 2), []);
    }
}

#[test]
fn no_more_than_a_minority_is_quarantined() {
    let mut world = World::new();
    world.step(LeaderEvent::Members(members(&[2])));
    assert_eq!(restart(&mut world, 1, 2..20), [], "one of three is in quarantine");
    let asked = quarantined(&world.step(LeaderEvent::Members(members(&[]))));
    assert_eq!(asked, [(1, 18)], "there is room for it now");
}

#[test]
fn shards_of_a_dead_owner_do_not_go_to_a_node_in_quarantine_while_another_has_them() {
    let mut world = World::new();
    world.step(LeaderEvent::Members(members(&[2])));
    let mut changes = Vec::new();
    for _ in 0..8 {
        changes.extend(proposed(&world.renew(&[2, 3])));
    }
    let of_the_dead: Vec<u64> =
        changes.iter().filter(|(shard, _)| shard.0 % 3 == 0).map(|(_, owner)| owner.0).collect();
    assert_eq!(of_the_dead, [3, 3], "{changes:?}");
}
