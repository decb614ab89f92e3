//! Replicated writes: three nodes in one process, with real disks and QUIC over loopback.
//!
//! `cargo bench -p shardloom-cluster --bench writes -- [SECONDS]` prints writes per second, and how long they take, for some numbers of callers; then
//! how long it takes until the others serve what a node owned that is killed.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

#[path = "../tests/it/ports.rs"]
mod ports;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/world.rs"]
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use shardloom_cluster::state::ServedState;
use shardloom_sharding::ids::ShardId;
use tokio::task::JoinSet;
use world::World;

const SHARDS: u32 = 1024;
/// Entries that each shard gets before the failover.
const ENTRIES: u32 = 100;

/// Writes one value after another, each once the one before is committed; how long each took.
async fn call(state: Arc<ServedState>, caller: u32, until: Instant) -> Vec<Duration> {
    let (mut took, mut committed) = (Vec::new(), state.committed());
    let value = "v".repeat(128);
    let mut number = 0_u32;
    while Instant::now() < until {
        let started = Instant::now();
        number += 1;
        let key = format!("key {caller} {}", number % 100);
        let batch = world::batch(u128::from(number), &[(&key, Some(&value))]);
        let position = state.write(&batch).await.unwrap();
        committed.wait_for(|reached| *reached >= position).await.unwrap();
        took.push(started.elapsed());
    }
    took
}

async fn measure(world: &World, callers: u32, shards: u32, span: Duration) {
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for caller in 0..callers {
        let (_, state) = world.owner(ShardId(caller % shards)).await;
        tasks.spawn(call(state, caller, started + span));
    }
    let mut took: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let rate = took.len() as f64 / started.elapsed().as_secs_f64();
    took.sort();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!(
        "{callers:>4} callers over {shards:>4} shards: {rate:>8.0} writes/s, p50 {:>8.2?}, p99 {:>8.2?}",
        at(50),
        at(99)
    );
}

/// Puts entries into every shard's log.
async fn fill(world: &World) {
    let mut tasks = JoinSet::new();
    for shard in (0..SHARDS).map(ShardId) {
        let (_, state) = world.owner(shard).await;
        tasks.spawn(async move {
            let value = "v".repeat(128);
            for number in 0..ENTRIES {
                let batch = world::batch(u128::from(number), &[(&format!("key {number}"), Some(&value))]);
                state.write(&batch).await.unwrap();
            }
            let (last, mut committed) = (state.last(), state.committed());
            committed.wait_for(|reached| *reached >= last).await.unwrap();
        });
    }
    tasks.join_all().await;
}

/// Kills a node that owns some, and waits until all is served again.
async fn failover(world: &mut World) {
    fill(world).await;
    let owned =
        (0..SHARDS).filter(|shard| world.served(ShardId(*shard)).is_some_and(|(node, _)| node == 2)).count();
    let started = Instant::now();
    world.kill(2).await;
    println!("killed after {:.2?}", started.elapsed());
    world.wait_until_served().await;
    println!(
        "{owned} of {SHARDS} shards are served elsewhere {:.2?} after their owner was killed",
        started.elapsed()
    );
}

fn main() {
    // Cargo adds `--bench`; a number says how long each part takes.
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(5);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut world = World::start(3, SHARDS).await;
        // Of no length, only the failover is measured.
        for (callers, shards) in [(1, 1), (16, SHARDS), (64, SHARDS), (256, SHARDS), (64, 1), (256, 1)]
            .into_iter()
            .filter(|_| seconds > 0)
        {
            measure(&world, callers, shards, Duration::from_secs(seconds)).await;
        }
        failover(&mut world).await;
    });
}
