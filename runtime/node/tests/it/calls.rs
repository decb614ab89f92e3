//! Calls that reach their guest, here or one hop away.

use shardloom::server::limits::{Limits, Timings};

use crate::client::key_of;
use crate::link::Link;
use crate::waiting::until;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_runs_on_the_owner_whichever_node_takes_it() {
    let world = World::start(3).await;
    world.client(0).deploy("word-count").await;
    for owner in 0..3 {
        let key = key_of(&world, owner);
        for (taker, total) in [(0, "1"), (1, "2"), (2, "3")] {
            let reply = world.client(taker).call("word-count", &key, "add", b"").await;
            assert_eq!((reply.status, reply.text()), (200, total));
            assert_eq!(reply.header("shardloom-node"), format!("{:016x}", owner + 1));
            assert_eq!(
                reply.header("shardloom-node-http"),
                world.view(0).members[&world.view(owner).this_node].http
            );
            assert_eq!(reply.header("shardloom-epoch"), "1");
            assert_eq!(reply.header("shardloom-workload-version"), "2");
            let shard: u32 = reply.header("shardloom-shard").parse().unwrap();
            assert_eq!(shard as usize % 3, owner);
        }
    }
    assert_eq!(world.server(0).metrics.calls_forwarded.get(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_get_the_decoded_key_body_and_headers_and_set_their_own() {
    let world = World::start(2).await;
    world.client(0).deploy("faulty").await;
    let headers = [("x-mine", "grün"), ("shardloom-secret", "1"), ("te", "trailers")];
    for taker in 0..2 {
        let body = vec![0xa5; 200_000];
        let reply = world.client(taker).call_with("faulty", "a%2Fb%20%C3%BC", "ok", &headers, &body).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.body, body);
        assert_eq!(reply.headers.get("x-mine").unwrap().as_bytes(), "grün".as_bytes());
        assert!(reply.headers.get("shardloom-secret").is_none());
        assert_eq!(reply.header("content-type"), "application/octet-stream");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_refusal_has_its_own_status_and_the_place() {
    let world = World::start(2).await;
    world.client(0).deploy("faulty").await;
    let key = key_of(&world, 1);
    for (method, status) in [("invalid", 400), ("not-found", 404), ("conflict", 409), ("failed", 422)] {
        let reply = world.client(0).call("faulty", &key, method, b"so it is").await;
        let problem = reply.problem(status, method, "rolled-back");
        assert_eq!(problem["detail"], "so it is");
        assert_eq!(problem["epoch"], 1);
        assert_eq!(problem["retryable"], false);
        assert_eq!(reply.header("shardloom-node"), "0000000000000002");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_guest_costs_its_caller_an_error_and_the_next_caller_nothing() {
    let world = World::start(2).await;
    let client = world.client(0);
    client.deploy("faulty").await;
    for key in [key_of(&world, 0), key_of(&world, 1)] {
        for (method, status, code) in [
            ("trap", 500, "guest-trap"),
            ("panic", 500, "guest-trap"),
            ("loop", 504, "guest-timeout"),
            ("big-reply", 500, "guest-limit"),
        ] {
            let reply = client.call("faulty", &key, method, b"").await;
            reply.problem(status, code, "rolled-back");
            assert_eq!(reply.header("shardloom-epoch"), "1");
            let next = client.call("faulty", &key, "ok", b"alive").await;
            assert_eq!((next.status, next.text()), (200, "alive"), "after {method}");
        }
    }
    // Which stack ends first, the guest's own in its memory or the host's, is up to its compiler.
    let reply = client.call("faulty", "k", "recurse", b"").await;
    assert!(["guest-trap", "guest-limit"].contains(&reply.json()["code"].as_str().unwrap()), "{reply:?}");
    assert_eq!(client.call("faulty", "k", "alloc-and-cope", b"").await.text(), "no room");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_throws_the_guests_memory_away_and_a_refusal_keeps_it() {
    let world = World::start(1).await;
    let client = world.client(0);
    client.deploy("word-count").await;
    assert_eq!(client.call("word-count", "k", "add", b"5").await.text(), "5");
    client.call("word-count", "k", "add", b"no number").await.problem(400, "invalid", "rolled-back");
    assert_eq!(client.call("word-count", "k", "get", b"").await.text(), "5");
    assert_eq!(world.server(0).metrics.instances_made.get(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_one_shard_run_one_after_another_and_none_is_lost() {
    let world = World::start(2).await;
    world.client(0).deploy("word-count").await;
    let key = key_of(&world, 1);
    let calls = (0..64).map(|number| {
        let (client, key) = (world.client(number % 2), key.clone());
        async move { client.call("word-count", &key, "add", b"").await.text().parse::<u32>().unwrap() }
    });
    let mut totals = futures::future::join_all(calls).await;
    totals.sort_unstable();
    assert_eq!(totals, (1..=64).collect::<Vec<_>>());
    assert_eq!(world.in_flight(1), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_deadline_passes_in_the_queue_never_runs() {
    let world = World::start(1).await;
    let client = world.client(0);
    client.deploy("faulty").await;
    let slow = client.call("faulty", "k", "slow", b"1500");
    let hurried = async {
        until("the first call runs", || world.in_flight(0) == 1).await;
        client.call_with("faulty", "k", "ok", &[("shardloom-timeout-ms", "50")], b"").await
    };
    let (slow, hurried) = tokio::join!(slow, hurried);
    assert_eq!(hurried.problem(504, "deadline-exceeded", "no")["retryable"], true);
    assert!(slow.status == 200 || slow.status == 504, "{slow:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_deadline_passes_while_it_runs_is_unknown_and_hurts_nobody() {
    let world = World::start(2).await;
    world.client(0).deploy("faulty").await;
    for owner in 0..2 {
        let key = key_of(&world, owner);
        let hurried = [("shardloom-timeout-ms", "40")];
        let reply = world.client(0).call_with("faulty", &key, "slow", &hurried, b"").await;
        assert_eq!(reply.problem(504, "deadline-exceeded", "unknown")["retryable"], false);
        assert_eq!(world.client(0).call("faulty", &key, "ok", b"").await.status, 200);
    }
    let made: u64 = (0..2).map(|node| world.server(node).metrics.instances_made.get()).sum();
    assert_eq!(made, 2, "a hurried caller throws no instance away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once() {
    let limits = Limits { shard_queue_calls_max: 2, ..Limits::default() };
    let world = World::start_with(1, limits, Timings::default()).await;
    world.client(0).deploy("faulty").await;
    let calls = (0..8).map(|_| {
        let client = world.client(0);
        async move { client.call("faulty", "k", "slow", b"300").await }
    });
    let replies = futures::future::join_all(calls).await;
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert!(!refused.is_empty() && refused.len() < 8);
    for reply in refused {
        assert_eq!(reply.problem(503, "overloaded", "no")["retryable"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_flight_are_bounded_in_number_and_in_bytes() {
    let limits = Limits { calls_in_flight_bytes_max: 1 << 20, ..Limits::default() };
    let world = World::start_with(1, limits, Timings::default()).await;
    world.client(0).deploy("faulty").await;
    let reply = world.client(0).call("faulty", "k", "ok", &vec![0; (1 << 20) + 1]).await;
    reply.problem(503, "overloaded", "no");
    assert_eq!(world.client(0).call("faulty", "k", "ok", &vec![0; 1 << 20]).await.status, 200);
    assert_eq!(world.server(0).router.in_flight.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_beyond_the_bound_make_room_least_recently_used_first() {
    let limits = Limits { instances_max: 4, ..Limits::default() };
    let world = World::start_with(1, limits, Timings::default()).await;
    let client = world.client(0);
    client.deploy("word-count").await;
    for number in 0..40 {
        let reply = client.call("word-count", &format!("key-{number}"), "add", b"").await;
        assert_eq!(reply.status, 200);
    }
    let metrics = &world.server(0).metrics;
    assert!(metrics.instances_evicted.get() > 0);
    until("evicted instances are gone", || metrics.instances.get() <= 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_not_sent_waits_and_one_that_was_is_unknown() {
    let world = World::start(2).await;
    world.client(0).deploy("word-count").await;
    let key = key_of(&world, 1);
    world.link(1, Link::Cut);
    let client = world.client(0);
    let waiting = client.call("word-count", &key, "add", b"");
    let (reply, ()) = tokio::join!(waiting, async {
        until("the call waits", || world.server(0).metrics.calls_waiting.get() == 1).await;
        world.link(1, Link::Up);
    });
    assert_eq!(reply.text(), "1");

    world.link(1, Link::RepliesLost);
    let reply = client.call("word-count", &key, "add", b"").await;
    assert_eq!(reply.problem(502, "owner-lost", "unknown")["retryable"], false);
    world.link(1, Link::Up);
    assert_eq!(client.call("word-count", &key, "get", b"").await.text(), "2", "and it did run once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_does_not_take_the_guest_with_it() {
    let world = World::start(1).await;
    let client = world.client(0);
    client.deploy("faulty").await;
    let address = world.address(0);
    let stream = tokio::task::spawn_blocking(move || {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let head = "POST /v1/call/faulty/k?method=slow HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream
    })
    .await
    .unwrap();
    until("the guest has begun", || world.server(0).metrics.instances_made.get() == 1).await;
    drop(stream);
    assert_eq!(client.call("faulty", "k", "ok", b"").await.status, 200);
    assert_eq!(world.server(0).metrics.instances_made.get(), 1);
    until("nothing is under way", || {
        world.in_flight(0) == 0 && world.server(0).router.in_flight.calls() == 0
    })
    .await;
}
