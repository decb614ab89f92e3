//! What is written on the owner of a shard is there afterwards.

use bytes::Bytes;
use shardloom_cluster::state::limits::{KEY_BYTES_MAX, REPLIES_MAX, REPLY_KEPT_BYTES_MAX, VALUE_BYTES_MAX};
use shardloom_cluster::state::{NotWritten, ScanLimit, StateError};
use shardloom_protocol::batch::{Change, WriteBatch};
use shardloom_sharding::ids::{Epoch, ShardId, Tail};

use crate::world::{PATIENCE, WORKLOAD, World, batch, until};

const SHARD: ShardId = ShardId(3);
const ALL: ScanLimit = ScanLimit { rows: 10_000, bytes: usize::MAX };

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_read_at_once_and_scanned_in_order() {
    let world = World::start(1, 4).await;
    let (_, state) = world.owner(SHARD).await;
    let first =
        state.write(&batch(1, &[("b", Some("2")), ("a", Some("1")), ("c", Some("3"))])).await.unwrap();
    assert_eq!(state.last(), first);
    let second = state.write(&batch(2, &[("c", None), ("b", Some("two"))])).await.unwrap();
    assert_eq!(second, first.next());
    // Before anything is committed.
    assert_eq!(state.get(WORKLOAD, b"b").unwrap().unwrap(), "two");
    assert_eq!(state.get(WORKLOAD, b"c").unwrap(), None);
    assert_eq!(state.get("another", b"b").unwrap(), None);
    let rows = state.scan(WORKLOAD, b"", None, ALL).unwrap();
    assert_eq!(rows, [("a".into(), "1".into()), ("b".into(), "two".into())] as [(Bytes, Bytes); 2]);
    assert_eq!(state.scan(WORKLOAD, b"b", Some(b"c"), ALL).unwrap().len(), 1);
    assert_eq!(state.scan(WORKLOAD, b"", None, ScanLimit { rows: 1, ..ALL }).unwrap().len(), 1);
    assert_eq!(state.bytes(WORKLOAD), 2 + 4);
    assert_eq!(state.reply_of(2).unwrap(), (second, "done 2".into()));
    let mut committed = state.committed();
    let reached = committed.wait_for(|reached| *reached >= second);
    tokio::time::timeout(PATIENCE, reached).await.unwrap().unwrap();
    let handle = world.handle(0);
    assert!(handle.states().open(SHARD, state.at().epoch).is_some());
    assert!(handle.states().open(SHARD, Epoch(0)).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_and_nothing_of_it_happens() {
    let world = World::start(1, 4).await;
    let (_, state) = world.owner(SHARD).await;
    let before = state.last();
    let one = |key: usize, value: usize, copies: usize| WriteBatch {
        changes: vec![Change { key: vec![b'k'; key].into(), value: Some(vec![0; value].into()) }; copies],
        ..batch(1, &[])
    };
    for (what, large) in [
        ("a key", one(KEY_BYTES_MAX + 1, 1, 1)),
        ("a value", one(1, VALUE_BYTES_MAX + 1, 1)),
        ("a batch of writes", one(1, VALUE_BYTES_MAX, 20)),
    ] {
        let refused = state.write(&large).await.unwrap_err();
        assert!(matches!(refused, NotWritten::TooLarge { what: found, .. } if found == what), "{refused}");
    }
    assert_eq!(state.last(), before);
    // The largest of each goes through.
    state.write(&one(KEY_BYTES_MAX, VALUE_BYTES_MAX, 1)).await.unwrap();
    // Of a reply that is too large only is kept that it was given.
    let reply = Some(Bytes::from(vec![0; REPLY_KEPT_BYTES_MAX + 1]));
    let position = state.write(&WriteBatch { reply, ..batch(9, &[]) }).await.unwrap();
    assert_eq!(state.reply_of(9).unwrap(), (position, Bytes::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_there_after_every_node_was_closed_or_killed() {
    let mut world = World::start(3, 4).await;
    let value = "v".repeat(1000);
    // Enough that some of it is flushed, and the newest not.
    for number in 0..600_u32 {
        let key = format!("key {:03}", number % 400);
        world.write(SHARD, u128::from(number), &[(&key, Some(&format!("{number} {value}")))]).await;
    }
    world.write(SHARD, 1000, &[("key 000", None)]).await;
    for round in 0..2 {
        for node in 0..3 {
            match round {
                0 => world.close(node).await,
                _ => world.kill(node).await,
            }
        }
        world.restart_all().await;
        world.wait_until_served().await;
        let (_, state) = world.owner(SHARD).await;
        let rows = state.scan(WORKLOAD, b"", None, ALL).unwrap();
        assert_eq!(rows.len(), 399);
        let bytes: usize = rows.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert_eq!(state.bytes(WORKLOAD), bytes as u64);
        assert!(state.get(WORKLOAD, b"key 199").unwrap().unwrap().starts_with(b"599 "));
        assert!(state.get(WORKLOAD, b"key 399").unwrap().unwrap().starts_with(b"399 "));
        assert_eq!(state.reply_of(599).unwrap().1, "done 599");
        assert_eq!(state.reply_of(1000).unwrap().1, "done 1000");
        assert_eq!(
            state.reply_of(601 - REPLIES_MAX as u128).unwrap().1,
            format!("done {}", 601 - REPLIES_MAX)
        );
        drop(state);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_no_replica_of_a_shard_any_more_keeps_nothing_of_it() {
    const SHARDS: u32 = 8;
    let mut world = World::start(3, SHARDS).await;
    for shard in (0..SHARDS).map(ShardId) {
        world.write(shard, u128::from(shard.0), &[("a", Some("1"))]).await;
    }
    world.grow().await;
    until("the new node has replicas", || world.replicas_on(3) > 0).await;
    world.wait_until_whole().await;
    let orphans = |node: usize| {
        let handle = world.handle(node);
        let applied = handle.applied().read();
        let map = applied.control.as_ref().unwrap().shards.committed();
        let holds = |shard: &ShardId| map.replicas(*shard).any(|replica| replica.node == handle.me());
        (0..SHARDS).map(ShardId).filter(|shard| !holds(shard)).collect::<Vec<ShardId>>()
    };
    assert!((0..3).any(|node| !orphans(node).is_empty()), "every node holds every shard still");
    let deadline = std::time::Instant::now() + PATIENCE;
    for node in 0..4 {
        loop {
            let ends = world.handle(node).log_ends().of(orphans(node)).await.unwrap();
            if ends.iter().all(|(_, tail)| *tail == Tail::default()) {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "node {node} keeps {ends:?}");
            tokio::task::yield_now().await;
        }
    }
    for shard in (0..SHARDS).map(ShardId) {
        assert_eq!(world.read(shard, "a").await.unwrap(), "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_ends_with_its_epoch() {
    let world = World::start(3, 4).await;
    world.write(SHARD, 1, &[("a", Some("1"))]).await;
    let (owner, old) = world.owner(SHARD).await;
    let committed = old.committed();
    world.leave(owner).await;
    until("another node serves", || world.served(SHARD).is_some_and(|(node, _)| node != owner)).await;
    until("nobody commits any more", || committed.has_changed().is_err()).await;
    assert!(matches!(old.get(WORKLOAD, b"a"), Err(StateError::NotServed)));
    assert!(matches!(old.scan(WORKLOAD, b"", None, ALL), Err(StateError::NotServed)));
    assert!(matches!(old.write(&batch(2, &[])).await, Err(NotWritten::NotServed)));
    assert_eq!(world.read(SHARD, "a").await.unwrap(), "1");
}
