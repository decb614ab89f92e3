//! A node that is cut off from the others, and comes back.

use shardloom_sharding::ids::ShardId;

use crate::many::World;

const SHARDS: u32 = 64;

async fn three_nodes() -> World {
    let mut world = World::new(SHARDS, 3);
    for _ in 0..3 {
        world.grow().await;
    }
    world.until_level(&[0, 1, 2]).await;
    world
        .until("three voters", || match world.handle(0).voters().len() {
            3 => Ok(()),
            voters => Err(format!("{voters} voters")),
        })
        .await;
    world
}

/// Once others serve a shard, the node that is cut off must have stopped: it is asked after them.
fn serves_nothing_that_others_serve(world: &World, away: usize, others: &[usize]) {
    for shard in (0..SHARDS).map(ShardId) {
        let elsewhere = others.iter().any(|index| world.handle(*index).serving().enter(shard).is_ok());
        if elsewhere {
            let here = world.handle(away).serving().enter(shard);
            assert!(here.is_err(), "shard {shard} is served by two nodes");
        }
    }
}

async fn away_and_back(world: &World, away: usize) {
    let others: Vec<usize> = (0..world.size()).filter(|index| *index != away).collect();
    let begun = world.served_by(away);
    assert!(begun > 0);
    world.cut(away);
    world
        .until("the others to serve every shard", || {
            serves_nothing_that_others_serve(world, away, &others);
            let served: usize = others.iter().map(|index| world.served_by(*index)).sum();
            if served == SHARDS as usize { Ok(()) } else { Err(format!("{served} of {SHARDS}")) }
        })
        .await;
    assert!(!world.handle(away).serving().lease_live(), "a node that is cut off has no lease");
    assert_eq!(world.served_by(away), 0);

    world.heal(away);
    world
        .until("the node to be back with shards of its own", || {
            let everybody: Vec<usize> = (0..world.size()).collect();
            let served: Vec<usize> = everybody.iter().map(|index| world.served_by(*index)).collect();
            let whole = served.iter().sum::<usize>() == SHARDS as usize;
            if whole && served[away] > 0 { Ok(()) } else { Err(format!("{served:?}")) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_cut_off_serves_nothing_and_comes_back_by_itself() {
    let mut world = three_nodes().await;
    let leader = world.leader(0).unwrap();
    away_and_back(&world, (leader + 1) % 3).await;
    world.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_serves_nothing_and_comes_back_by_itself() {
    let mut world = three_nodes().await;
    let leader = world.leader(0).unwrap();
    away_and_back(&world, leader).await;
    assert_ne!(world.leader((leader + 1) % 3), None);
    world.stop_all().await;
}
