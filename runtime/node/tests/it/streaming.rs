//! Components of wasi:http whose bodies are passed on as they come.

use serde_json::{Value, json};
use shardloom_sharding::key::shard_of_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, Reply, key_of};
use crate::guests::guest;
use crate::views::{commit, propose};
use crate::waiting::until;
use crate::world::{SHARDS, World};

/// Uploads `web-stream` and deploys it with this said of HTTP.
async fn put(client: &Client, http: Value) -> Reply {
    let manifest = json!({ "component": client.upload(&guest("web-stream")).await, "http": http });
    client.admin("PUT", "/v1/workloads/web-stream", manifest.to_string().as_bytes()).await
}

fn streamed() -> Value {
    json!({ "key_from": "header:x-key", "bodies": "streamed" })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_answers_and_every_other_node_sends_the_caller_there() {
    let world = World::start(3).await;
    assert_eq!(put(&world.client(0), streamed()).await.status, 200);
    for owner in 0..3 {
        let key = key_of(&world, owner);
        let headers = [("x-key", key.as_str())];
        for taker in 0..3 {
            let path = "/w/web-stream/count?a=b%20c";
            let reply = world.client(taker).send("POST", path, &headers, b"12345").await;
            if taker == owner {
                assert_eq!((reply.status, reply.text()), (200, "5"));
                assert_eq!(reply.header("shardloom-node"), format!("{:016x}", owner + 1));
            } else {
                let view = world.view(taker);
                let node = view.map.owner(shard_of_str(&key, SHARDS)).unwrap();
                let address = &view.members[&node].http;
                assert_eq!((reply.status, reply.text()), (307, ""));
                assert_eq!(reply.header("location"), format!("http://{address}{path}"));
            }
        }
        let kept = world.client(owner).send("GET", "/w/web-stream/kept", &headers, b"").await;
        assert_eq!(kept.text(), "count=5\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_with_streams_is_refused() {
    let world = World::start(1).await;
    let client = world.client(0);
    let both = json!({ "key_from": "header:x-key", "bodies": "streamed", "reuse": "always" });
    let problem = put(&client, both).await.problem(400, "bad-request", "no");
    assert!(problem["detail"].as_str().unwrap().contains("--stream or --reuse"), "{problem}");

    assert_eq!(put(&client, streamed()).await.status, 200);
    let headers = [("x-key", "a"), ("idempotency-key", "1")];
    let reply = client.send("POST", "/w/web-stream/count", &headers, b"1").await;
    let problem = reply.problem(400, "bad-request", "no");
    assert!(problem["detail"].as_str().unwrap().contains("leave out idempotency-key"), "{problem}");
    let kept = client.send("GET", "/w/web-stream/kept", &[("x-key", "a")], b"").await;
    assert_eq!((kept.status, kept.text()), (200, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_have_streamed_are_gone() {
    let world = World::start(1).await;
    let client = world.client(0);
    assert_eq!(put(&client, streamed()).await.status, 200);
    let metrics = &world.server(0).metrics;
    for _ in 0..10 {
        let reply = client.send("GET", "/w/web-stream/bytes?1000000", &[("x-key", "a")], b"").await;
        assert_eq!((reply.status, reply.body.len()), (200, 1_000_000));
    }
    assert_eq!(metrics.instances_made.get(), 10);
    until("no instance is left", || metrics.instances.get() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_shard_moves_before_the_head_fails_and_is_not_made_again() {
    let world = World::start(2).await;
    assert_eq!(put(&world.client(0), streamed()).await.status, 200);
    let key = key_of(&world, 0);
    let moving = shard_of_str(&key, SHARDS);
    let mut caller = TcpStream::connect(world.address(0)).await.unwrap();
    let half = format!(
        "POST /w/web-stream/count HTTP/1.1\r\nhost: x\r\nx-key: {key}\r\ncontent-length: 10\r\nconnection: close\r\n\r\n12345"
    );
    caller.write_all(half.as_bytes()).await.unwrap();
    until("the guest reads", || world.server(0).metrics.instances.get() == 1).await;
    world.change(|view| propose(view, [moving]));
    world.change(|view| commit(view, 1, [moving]));
    caller.write_all(b"67890").await.unwrap();
    let mut said = String::new();
    caller.read_to_string(&mut said).await.unwrap();
    // The guest has written, and nobody can tell from here what became of that.
    assert!(said.starts_with("HTTP/1.1 502 ") && said.contains("\"executed\":\"unknown\""), "{said}");
    assert!(said.contains("owner-lost"), "{said}");
    until("the guest has ended", || world.server(0).metrics.instances.get() == 0).await;
    let kept = world.client(1).send("GET", "/w/web-stream/kept", &[("x-key", &key)], b"").await;
    assert!(["", "count=10\n"].contains(&kept.text()), "all of it or nothing: {kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_ends_the_guest_before_the_head_and_after_it() {
    let world = World::start(1).await;
    assert_eq!(put(&world.client(0), streamed()).await.status, 200);
    for asked in ["POST /w/web-stream/count", "GET /w/web-stream/bytes?4000000000"] {
        let mut caller = TcpStream::connect(world.address(0)).await.unwrap();
        let head = format!("{asked} HTTP/1.1\r\nhost: x\r\nx-key: a\r\ncontent-length: 10\r\n\r\n12345");
        caller.write_all(head.as_bytes()).await.unwrap();
        until("the guest runs", || world.server(0).metrics.instances.get() == 1).await;
        drop(caller);
        until("the guest has ended", || world.server(0).metrics.instances.get() == 0).await;
    }
}
