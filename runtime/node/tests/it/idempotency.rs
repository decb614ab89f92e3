//! Calls that are made again under the same idempotency key.

use shardloom_sharding::ids::ShardId;
use shardloom_sharding::key::shard_of_str;

use crate::client::{Reply, key_of};
use crate::views::commit;
use crate::world::{SHARDS, World};

fn replayed(reply: &Reply) -> bool {
    reply.headers.contains_key("idempotent-replayed")
}

fn shard(key: &str) -> ShardId {
    shard_of_str(key, SHARDS)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_gets_the_first_reply_whoever_owns_the_shard_by_then() {
    let world = World::start(3).await;
    world.client(0).deploy("counter").await;
    let key = key_of(&world, 1);
    let named = [("idempotency-key", "order-17")];
    let first = world.client(0).call_with("counter", &key, "add", &named, b"5").await;
    assert_eq!((first.text(), replayed(&first)), ("5", false));
    world.client(0).call("counter", &key, "add", b"1").await;
    for taker in 0..3 {
        if taker == 2 {
            world.change(|view| commit(view, 2, [shard(&key)]));
        }
        let again = world.client(taker).call_with("counter", &key, "add", &named, b"5").await;
        assert_eq!((again.text(), replayed(&again)), ("5", true));
    }
    assert_eq!(world.client(0).call("counter", &key, "get", b"").await.text(), "6");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_request() {
    let world = World::start(1).await;
    let client = world.client(0);
    client.deploy("counter").await;
    let named = [("idempotency-key", "order-17")];
    client.call_with("counter", "a", "add", &named, b"5").await;
    client.call_with("counter", "a", "add", &named, b"6").await.problem(400, "bad-request", "no");
    assert_eq!(client.call_with("counter", "b", "add", &named, b"6").await.text(), "6", "another key's");
    assert_eq!(client.call("counter", "a", "get", b"").await.text(), "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_may_be_made_again_under_its_key() {
    let world = World::start(1).await;
    let client = world.client(0);
    client.deploy("counter").await;
    let named = [("idempotency-key", "k")];
    client.call_with("counter", "a", "add", &named, b"no number").await.problem(
        400,
        "invalid",
        "rolled-back",
    );
    assert_eq!(client.call_with("counter", "a", "add", &named, b"5").await.text(), "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_one_is_refused() {
    let world = World::start(1).await;
    let client = world.client(0);
    client.deploy("counter").await;
    let long = "k".repeat(256);
    for bad in [&[("idempotency-key", "")][..], &[("idempotency-key", long.as_str())]] {
        client.call_with("counter", "a", "add", bad, b"1").await.problem(400, "bad-request", "no");
    }
    let most = "k".repeat(255);
    let named = [("idempotency-key", most.as_str())];
    assert_eq!(client.call_with("counter", "a", "add", &named, b"1").await.text(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_reply_goes_when_there_are_too_many() {
    let world = World::start(1).await;
    let client = world.client(0);
    client.deploy("counter").await;
    let call = |number: u64| {
        let (client, name) = (client.clone(), format!("n-{number}"));
        async move { client.call_with("counter", "a", "add", &[("idempotency-key", &name)], b"1").await }
    };
    for number in 0..1_001 {
        assert!(!replayed(&call(number).await));
    }
    assert!(replayed(&call(1).await));
    assert!(!replayed(&call(0).await), "it was forgotten");
}
