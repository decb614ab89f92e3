//! Fifty nodes and ten thousand shards in one process: real QUIC, real logs, real Raft on this machine's cores and disk.
//!
//! Prints how long the first map took after all nodes were started from their disks (every epoch belongs to one boot of its owner, so the
//! whole map is proposed, sealed, recovered and committed anew), how long a node's death takes until the map is whole again, what
//! the map takes in the control log, and memory a node.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

#[path = "../tests/it/many.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod many;
#[path = "../tests/it/ports.rs"]
mod ports;

use std::time::Instant;

use many::World;
use shardloom_sharding::change::{Change, Replicas};
use shardloom_sharding::ids::ShardId;
use shardloom_sharding::map_codec::{encode_changes, encode_map};

const REPLICAS: u32 = 3;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    // `cargo test --benches` passes this: there is nothing to test here.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let nodes = setting("SHARDLOOM_NODES", 50);
    let shards = setting("SHARDLOOM_SHARDS", 10_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(nodes, u32::try_from(shards).expect("a shard count")));
}

async fn measure(nodes: usize, shards: u32) {
    let everybody: Vec<usize> = (0..nodes).collect();
    let before = resident_kib();
    let mut world = World::new(shards, REPLICAS);
    let begun = Instant::now();
    for index in 0..nodes {
        world.grow().await;
        eprintln!("node {} of {nodes} joined after {:.1?}", index + 1, begun.elapsed());
    }
    world.until_level(&everybody).await;
    println!("{nodes} nodes joined one after another, shares level: {:>8.2?}", begun.elapsed());
    let memory = (resident_kib() - before) / nodes as u64;

    world.stop_all().await;
    let begun = Instant::now();
    world.start_all().await;
    let started = begun.elapsed();
    let leader =
        world.until("a leader", || world.leader(0).map(|_| ()).ok_or_else(|| "none".to_owned())).await;
    let served = world.until_served(&everybody).await;
    println!("all started from disk (with the search for a leader): {:>8.2?}", started);
    println!("first map after that: leader {leader:>8.2?}, every shard served {:>8.2?}", leader + served);
    map_bytes(&world);
    println!("memory of a node (resident, its part of the process): {memory} KiB");

    world.until_level(&everybody).await;
    let mut deaths = Vec::new();
    for run in 0..3 {
        let leader = world.leader(0).expect("a leader");
        let victim = (leader + 1 + run) % nodes;
        let others: Vec<usize> = everybody.iter().copied().filter(|index| *index != victim).collect();
        world.cut(victim);
        deaths.push(world.until_served(&others).await);
        world.heal(victim);
        world.until_level(&everybody).await;
    }
    deaths.sort_unstable();
    println!("a node cut off until every shard is served again: {deaths:.2?}");
    world.stop_all().await;
}

/// What a proposal of every shard, and the whole map, take.
fn map_bytes(world: &World) {
    let handle = world.handle(0);
    let applied = handle.applied().read();
    let map = applied.control.as_ref().expect("a control state").shards.committed();
    let change = |shard: ShardId| Change {
        shard,
        base: map.epoch(shard),
        owner: map.owner(shard).expect("an owner"),
        replicas: map.replicas(shard).collect::<Replicas>(),
    };
    let changes: Vec<Change> = map.shards().map(change).collect();
    let proposal = encode_changes(&changes).expect("changes in order");
    println!(
        "a proposal of all {} shards: {} bytes; the committed map: {} bytes",
        map.shard_count(),
        proposal.len(),
        encode_map(map).len()
    );
}

/// Resident memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or_default()
}
