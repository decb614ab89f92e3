//! Replicas that lack what the logs have given up.

use std::time::Duration;

use shardloom_cluster::state::{ScanLimit, StateOptions};
use shardloom_sharding::ids::ShardId;
use shardloom_sharding::protocol::timing::Timing;

use crate::world::{WORKLOAD, World, until};

const SHARDS: u32 = 6;
const ALL: ScanLimit = ScanLimit { rows: 10_000, bytes: usize::MAX };

/// Flushes early, so that logs are short.
fn eager() -> StateOptions {
    StateOptions { flush_bytes: 4 << 10, flush_every: Duration::from_millis(100), ..StateOptions::default() }
}

/// Writes more to every shard than its log keeps.
async fn fill(world: &World, round: u32) {
    for number in 0..120_u32 {
        for shard in 0..SHARDS {
            let value = format!("{round} {number} {}", "x".repeat(600));
            let request = u128::from(round * 1_000_000 + number * 100 + shard);
            let changes = [(&*format!("key {number}"), Some(&*value))];
            world.write(ShardId(shard), request, &changes).await;
        }
    }
}

fn check(world: &World, round: u32) {
    for shard in 0..SHARDS {
        let (_, state) = world.served(ShardId(shard)).unwrap();
        let rows = state.scan(WORKLOAD, b"", None, ALL).unwrap();
        assert_eq!(rows.len(), 120, "shard {shard}");
        let bytes: usize = rows.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert_eq!(state.bytes(WORKLOAD), bytes as u64);
        assert!(rows.iter().all(|(_, value)| value.starts_with(format!("{round} ").as_bytes())));
        let last = u128::from(round * 1_000_000 + 119 * 100 + shard);
        assert_eq!(state.reply_of(last).unwrap().1, format!("done {last}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_away_gets_the_state_and_can_own_it() {
    let mut world = World::start_with(3, SHARDS, Timing::DEFAULT, eager()).await;
    fill(&world, 1).await;
    world.kill(1).await;
    fill(&world, 2).await;
    world.restart(1).await;
    world.gather_on(1).await;
    check(&world, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_owner_without_the_log_takes_the_state_from_the_source() {
    let mut world = World::start_with(3, SHARDS, Timing::DEFAULT, eager()).await;
    fill(&world, 1).await;
    world.kill(1).await;
    fill(&world, 2).await;
    // The other two are gone before it can have caught up; one of them comes back.
    world.restart(1).await;
    world.kill(0).await;
    world.wait_until_served().await;
    check(&world, 2);
    fill(&world, 3).await;
    check(&world, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_state_is_damaged_starts_anew_and_gets_it_from_its_peers() {
    let timing = Timing { replica_grace: Duration::from_millis(300), ..Timing::DEFAULT };
    let mut world = World::start_with(3, SHARDS, timing, eager()).await;
    fill(&world, 1).await;
    for damage in 0..2 {
        world.kill(2).await;
        let dir = world.data(2).join("state.db");
        match damage {
            0 => std::fs::remove_dir_all(&dir).unwrap(),
            _ => {
                let file = dir.join("db");
                let mut bytes = std::fs::read(&file).unwrap();
                let whole = bytes.len();
                bytes[whole / 4..whole / 2].fill(0x5a);
                std::fs::write(&file, bytes).unwrap();
            }
        }
        world.restart(2).await;
        world.wait_until_whole().await;
    }
    world.gather_on(2).await;
    check(&world, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_gets_replicas_with_all_their_state_and_others_give_theirs_up() {
    let mut world = World::start_with(3, SHARDS, Timing::DEFAULT, eager()).await;
    fill(&world, 1).await;
    world.grow().await;
    until("the newcomer has its share", || {
        world.replicas_on(3) >= 4 && (0..3).all(|node| world.replicas_on(node) < SHARDS as usize)
    })
    .await;
    fill(&world, 2).await;
    world.wait_until_whole().await;
    check(&world, 2);
    // Every node knows its disk again, with what it has given up and what it has got.
    for node in 0..4 {
        world.kill(node).await;
    }
    world.restart_all().await;
    world.wait_until_served().await;
    check(&world, 2);
    for node in 0..4 {
        let aside = world.data(node).join("state.db.damaged-1");
        assert!(!aside.exists(), "node {node} took its state for damaged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_state_comes_in_parts_while_it_is_written_to() {
    const SHARD: ShardId = ShardId(0);
    let mut world = World::start_with(3, 1, Timing::DEFAULT, eager()).await;
    let value = "v".repeat(50_000);
    write_to(&world, 0, &value).await;
    let away = (0..3).find(|node| world.served(SHARD).is_some_and(|(owner, _)| owner != *node)).unwrap();
    world.kill(away).await;
    for number in 1..200 {
        write_to(&world, number, &value).await;
    }
    world.restart(away).await;
    for number in 200..600 {
        write_to(&world, number, &value).await;
    }
    world.gather_on(away).await;
    let (_, state) = world.served(SHARD).unwrap();
    for key in 0..200_u32 {
        let found = state.get(WORKLOAD, format!("key {key:03}").as_bytes()).unwrap().unwrap();
        assert!(found.starts_with(format!("{} ", key + 400).as_bytes()), "key {key}");
    }
    assert_eq!(state.scan(WORKLOAD, b"", None, ALL).unwrap().len(), 200);
}

async fn write_to(world: &World, number: u32, value: &str) {
    let (key, value) = (format!("key {:03}", number % 200), format!("{number} {value}"));
    world.write(ShardId(0), u128::from(number), &[(&key, Some(&value))]).await;
}
