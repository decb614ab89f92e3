//! Owners that die under load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use shardloom_cluster::state::StateOptions;
use shardloom_sharding::ids::ShardId;
use shardloom_sharding::protocol::timing::Timing;
use tokio::task::JoinSet;

use crate::world::{Access, PATIENCE, WORKLOAD, World, batch, until};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_owners_are_killed() {
    let mut world = World::start(3, 8).await;
    let mut written: BTreeMap<(u32, String), String> = BTreeMap::new();
    let mut request = 0;
    for round in 0..3 {
        for number in 0..120_u32 {
            let (shard, key) = (number % 8, format!("k{}", number % 50));
            let value = format!("{round} {number}");
            request += 1;
            world.write(ShardId(shard), request, &[(&key, Some(&value))]).await;
            written.insert((shard, key), value);
        }
        let (owner, _) = world.owner(ShardId(round)).await;
        world.kill(owner).await;
        for ((shard, key), value) in &written {
            assert_eq!(
                world.read(ShardId(*shard), key).await.unwrap(),
                value.as_str(),
                "round {round}, {key}"
            );
        }
        world.restart(owner).await;
    }
}

/// What the callers of a test share.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    /// Writes that were acknowledged.
    calls: AtomicU64,
}

impl Load {
    /// Waits until some more writes were acknowledged.
    async fn go_on(&self) {
        let before = self.calls.load(Ordering::SeqCst);
        until("writes to be acknowledged", || self.calls.load(Ordering::SeqCst) >= before + 200).await;
    }
}

/// Counts up in one key, from what it reads there, until told to stop; the last number that was acknowledged.
async fn count(access: Access, shard: ShardId, caller: u32, load: Arc<Load>) -> u64 {
    let (key, mut acknowledged) = (format!("counter {caller}"), 0);
    while !load.stop.load(Ordering::SeqCst) {
        let (_, state) = access.owner(shard).await;
        let Ok(found) = state.get(WORKLOAD, key.as_bytes()) else { continue };
        let found =
            found.map_or(0, |value| std::str::from_utf8(&value).unwrap().trim().parse::<u64>().unwrap());
        // What is read may be more than what was acknowledged, by calls that were not; never less.
        assert!(
            found >= acknowledged,
            "shard {shard}: {found} is read after {acknowledged} was acknowledged"
        );
        let next = format!("{:<300}", found + 1);
        let request = u128::from(caller) << 64 | u128::from(found + 1);
        let Ok(position) = state.write(&batch(request, &[(&key, Some(&next))])).await else { continue };
        let mut committed = state.committed();
        let reached = committed.wait_for(|reached| *reached >= position);
        let reached = tokio::time::timeout(PATIENCE, reached).await.unwrap().is_ok();
        // A state keeps its node's database open: it must be gone before that starts again.
        drop(state);
        if reached {
            acknowledged = found + 1;
            load.calls.fetch_add(1, Ordering::SeqCst);
            let (_, state) = access.owner(shard).await;
            if let Some((_, reply)) = state.reply_of(request) {
                assert_eq!(reply, format!("done {request}"));
            }
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_never_go_back_while_nodes_are_killed_and_come_back() {
    const SHARDS: u32 = 8;
    let eager = StateOptions {
        flush_bytes: 16 << 10,
        flush_every: Duration::from_millis(300),
        ..StateOptions::default()
    };
    let mut world = World::start_with(3, SHARDS, Timing::DEFAULT, eager).await;
    let (load, mut callers) = (Arc::new(Load::default()), JoinSet::new());
    for caller in 0..16 {
        callers.spawn(count(world.access(), ShardId(caller % SHARDS), caller, load.clone()));
    }
    for round in 0..6_usize {
        let node = round % 3;
        load.go_on().await;
        match round {
            // All of them at once.
            5 => {
                for node in 0..3 {
                    world.kill(node).await;
                }
                world.restart_all().await;
            }
            _ => {
                world.kill(node).await;
                world.wait_until_served().await;
                load.go_on().await;
                world.restart(node).await;
                world.wait_until_whole().await;
            }
        }
    }
    world.wait_until_served().await;
    load.go_on().await;
    load.stop.store(true, Ordering::SeqCst);
    let counted = callers.join_all().await;
    assert!(counted.iter().all(|acknowledged| *acknowledged > 0));
    println!("{} calls", load.calls.load(Ordering::SeqCst));
}
