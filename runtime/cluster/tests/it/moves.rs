//! Data that a node no longer holds goes once the move is committed, and not before.

use std::path::Path;
use std::time::Duration;

use shardloom_cluster::control::{ControlCommand, MemberStanding, Setting};
use shardloom_cluster::state::StateOptions;
use shardloom_sharding::ids::ShardId;
use shardloom_sharding::protocol::timing::Timing;
use shardloom_store::Db;

use crate::world::{World, until};

const SHARD: ShardId = ShardId(0);
const VALUES: u32 = 100;
const VALUE_BYTES: usize = 50_000;
/// The places of the kind in the key of a row, and that of a value.
const KIND_AT: usize = 8;
const VALUE_KIND: u8 = b's';

async fn command(world: &World, command: ControlCommand) {
    let reply = world.handle(0).write(command).await.unwrap();
    assert!(reply.outcome.is_ok(), "{reply:?}");
}

async fn set_rate(world: &World, bytes_per_second: u64) {
    command(world, ControlCommand::SetSettings { values: vec![(Setting::MoveRate, bytes_per_second)] }).await;
}

async fn fill(world: &World, round: u32) {
    for number in 0..VALUES {
        let value = format!("{round} {}", "v".repeat(VALUE_BYTES));
        let request = u128::from(round * 1_000 + number);
        world.write(SHARD, request, &[(&format!("key {number}"), Some(&value))]).await;
    }
}

/// The values in the database of a node that does not run.
fn values_in(data: &Path) -> usize {
    let db = Db::open(&data.join("state.db"), "state").unwrap();
    let rows = db.table("shards").unwrap().scan_from(b"", usize::MAX).unwrap();
    rows.iter().filter(|(key, _)| key[KIND_AT] == VALUE_KIND).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_keeps_its_values_until_the_move_is_committed_and_loses_them_after() {
    let eager = StateOptions {
        flush_bytes: 4 << 10,
        flush_every: Duration::from_millis(100),
        ..StateOptions::default()
    };
    let mut world = World::start_with(4, 1, Timing::DEFAULT, eager).await;
    fill(&world, 1).await;
    set_rate(&world, Setting::MoveRate.least()).await;
    let (owner, _) = world.owner(SHARD).await;
    let leaver = (1..4).find(|node| *node != owner && world.replicas_on(*node) == 1).unwrap();
    let node = world.handle(leaver).me();
    command(&world, ControlCommand::SetStanding { node, standing: MemberStanding::Draining }).await;
    let watch = world.handle(owner);
    until("a move midway", || {
        watch.standing().read().moves.list.iter().any(|one| one.progress.sent_bytes > 0)
    })
    .await;
    world.kill(leaver).await;
    assert_eq!(values_in(&world.data(leaver)), VALUES as usize, "it still is a replica");

    world.restart(leaver).await;
    set_rate(&world, Setting::MoveRate.most()).await;
    until("the replica elsewhere", || world.replicas_on(leaver) == 0).await;
    fill(&world, 2).await;
    for number in 0..VALUES {
        let value = world.read(SHARD, &format!("key {number}")).await.unwrap();
        assert!(value.starts_with(b"2 "), "key {number}");
    }
    // It deletes in the background, and goes on with that after each start.
    for _ in 0..20 {
        world.kill(leaver).await;
        if values_in(&world.data(leaver)) == 0 {
            return;
        }
        world.restart(leaver).await;
    }
    panic!("its values are still there");
}
