//! Calls while shards change hands.

use std::time::Duration;

use shardloom_sharding::ids::ShardId;
use shardloom_sharding::key::shard_of_str;
use shardloom_sharding::route::Progress;

use crate::client::key_of;
use crate::link::Link;
use crate::views::{commit, propose};
use crate::waiting::until;
use crate::world::{SHARDS, World};

fn shard(key: &str) -> ShardId {
    shard_of_str(key, SHARDS)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_call_is_served_by_the_new_owner_after_the_commit() {
    let world = World::start(3).await;
    world.client(0).deploy("word-count").await;
    let key = key_of(&world, 1);
    let moving = shard(&key);
    assert_eq!(world.client(0).call("word-count", &key, "add", b"7").await.text(), "7");
    world.change(|view| propose(view, [moving]));
    for taker in 0..3 {
        let client = world.client(taker);
        let waiting = client.call("word-count", &key, "add", b"");
        let (reply, ()) = tokio::join!(waiting, async {
            if taker == 0 {
                until("the call waits", || world.server(0).metrics.calls_waiting.get() == 1).await;
                world.change(|view| commit(view, 2, [moving]));
            }
        });
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("shardloom-node"), "0000000000000003");
        assert_eq!(reply.text(), (taker + 8).to_string(), "the new owner goes on with the state");
    }
    until("the old owner has dropped its guest", || world.server(1).metrics.instances.get() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_shards_go_on_while_one_is_handed_over() {
    let world = World::start(2).await;
    world.client(0).deploy("word-count").await;
    let (moving, other) = (key_of(&world, 0), "key-that-stays-7");
    assert_ne!(shard(&moving), shard(other));
    world.change(|view| propose(view, [shard(&moving)]));
    assert_eq!(world.client(1).call("word-count", other, "add", b"").await.status, 200);
    let hurried = [("shardloom-timeout-ms", "60")];
    let reply = world.client(1).call_with("word-count", &moving, "", &hurried, b"").await;
    assert_eq!(reply.problem(503, "resharding", "no")["retryable"], true);
    assert_eq!(reply.header("retry-after"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_for_waiting_in_vain_is_told() {
    let world = World::start(2).await;
    world.client(0).deploy("word-count").await;
    let key = key_of(&world, 0);
    let hurried = [("shardloom-timeout-ms", "60")];
    let unavailable = [(shard(&key), Progress::Unavailable)].into();
    world.change(|view| view.unsettled = std::sync::Arc::new(unavailable));
    let reply = world.client(0).call_with("word-count", &key, "", &hurried, b"").await;
    reply.problem(503, "shard-unavailable", "no");
    world.change(|view| (view.unsettled, view.leader) = (std::sync::Arc::default(), None));
    world.lease(0, false);
    for taker in 0..2 {
        let reply = world.client(taker).call_with("word-count", &key, "", &hurried, b"").await;
        reply.problem(503, "no-leader", "no");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_lease_runs_nothing_and_goes_on_when_it_has_one_again() {
    let world = World::start(2).await;
    world.client(0).deploy("word-count").await;
    let key = key_of(&world, 1);
    world.lease(1, false);
    for taker in 0..2 {
        let client = world.client(taker);
        let waiting = client.call("word-count", &key, "add", b"");
        let (reply, ()) = tokio::join!(waiting, async {
            until("the call waits", || world.server(taker).metrics.calls_waiting.get() == 1).await;
            assert_eq!(world.in_flight(1), 0);
            world.lease(1, true);
        });
        assert_eq!(reply.text(), (taker + 1).to_string());
        world.lease(1, false);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ran_while_its_shard_was_taken_runs_again_where_the_shard_is_served() {
    let world = World::start(2).await;
    world.client(0).deploy("faulty").await;
    let key = key_of(&world, 0);
    for taker in 0..2 {
        let client = world.client(taker);
        let running = client.call("faulty", &key, "slow", b"");
        let (reply, ()) = tokio::join!(running, async {
            until("the call runs", || world.in_flight(0) == 1).await;
            world.change(|view| propose(view, [shard(&key)]));
            until("the call waits", || world.server(taker).metrics.calls_waiting.get() == 1).await;
            world.change(|view| commit(view, 0, [shard(&key)]));
        });
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reply_leaves_before_what_it_rests_on_is_committed() {
    let world = World::start(2).await;
    world.client(0).deploy("counter").await;
    let key = key_of(&world, 0);
    let state = world.state(shard(&key));
    state.hold();
    for taker in 0..2 {
        let client = world.client(taker);
        let hurried = [("shardloom-timeout-ms", "300")];
        let written = client.call_with("counter", &key, "add", &hurried, b"1").await;
        written.problem(504, "deadline-exceeded", "unknown");
        let read = client.call_with("counter", &key, "get", &hurried, b"").await;
        read.problem(504, "deadline-exceeded", "unknown");
        let refused = client.call_with("counter", &key, "add", &hurried, b"x").await;
        refused.problem(504, "deadline-exceeded", "unknown");
    }
    let client = world.client(1);
    let (reply, ()) = tokio::join!(client.call("counter", &key, "get", b""), async {
        until("the read has run", || world.in_flight(0) > 6).await;
        state.commit();
    });
    assert_eq!(reply.text(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_call_does_not_hold_up_the_reply_of_the_one_before() {
    let world = World::start(1).await;
    let client = world.client(0);
    // However slow the machine is, the guest is not ended for what it computes.
    client.deploy_within("faulty", &serde_json::json!({ "deadline_ms": 60_000 })).await;
    let key = key_of(&world, 0);
    let state = world.state(shard(&key));
    state.hold();
    let (under_way, slow, ()) = tokio::join!(
        async {
            assert_eq!(client.call("faulty", &key, "write-blindly", b"x").await.status, 200);
            world.in_flight(0)
        },
        async {
            until("the first call has written", || state.writes() == 1).await;
            client.call("faulty", &key, "slow", b"700").await
        },
        async {
            let running = || world.in_flight(0) == 2 && world.server(0).metrics.queue_depth.get() == 0;
            until("the slow call runs", running).await;
            state.commit();
        }
    );
    assert_eq!(slow.status, 200);
    assert_eq!(under_way, 1, "the slow call was still running when the other's reply came");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_writes_outlived_its_owner_is_answered_once_and_not_run_again() {
    let world = World::start(3).await;
    world.client(0).deploy("counter").await;
    let key = key_of(&world, 1);
    let state = world.state(shard(&key));
    for (taker, total) in [(0, "5"), (1, "10"), (2, "15")] {
        state.hold();
        let client = world.client(taker);
        let (reply, ()) = tokio::join!(client.call("counter", &key, "add", b"5"), async {
            let owner = if taker == 0 { 1 } else { 2 };
            until("the call has written", || world.in_flight(owner) == 1 && state.writes() == taker + 1)
                .await;
            world.change(|view| propose(view, [shard(&key)]));
            state.commit();
            world.change(|view| commit(view, 2, [shard(&key)]));
        });
        assert_eq!((reply.status, reply.text()), (200, total));
    }
    assert_eq!(world.client(0).call("counter", &key, "get", b"").await.text(), "15");
    assert_eq!(state.writes(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_reply_is_lost_on_the_way_is_answered_by_the_log() {
    let world = World::start(2).await;
    world.client(0).deploy("counter").await;
    let key = key_of(&world, 1);
    world.link(1, Link::RepliesLost);
    let client = world.client(0);
    let (reply, ()) = tokio::join!(client.call("counter", &key, "add", b"5"), async {
        until("an attempt has written", || world.state(shard(&key)).writes() == 1).await;
        world.link(1, Link::Up);
    });
    assert_eq!((reply.status, reply.text()), (200, "5"));
    assert_eq!(world.state(shard(&key)).writes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs_at_a_former_owner_is_given_up_soon_after_the_commit() {
    let world = World::start(3).await;
    world.client(0).deploy("faulty").await;
    let key = key_of(&world, 1);
    world.link(1, Link::Mute);
    let client = world.client(0);
    let started = std::time::Instant::now();
    let (reply, ()) = tokio::join!(client.call("faulty", &key, "ok", b""), async {
        until("the call is forwarded", || world.server(0).metrics.calls_forwarded.get() == 1).await;
        world.change(|view| commit(view, 2, [shard(&key)]));
    });
    assert_eq!((reply.status, reply.header("shardloom-node")), (200, "0000000000000003"));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(client.call("faulty", &key, "ok", b"").await.header("shardloom-node"), "0000000000000003");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_shard_finishes_what_runs_and_starts_nothing() {
    let world = World::start(2).await;
    world.client(0).deploy("word-count").await;
    let key = key_of(&world, 0);
    world.client(0).call("word-count", &key, "add", b"3").await;
    world.hold(0, [shard(&key)]);
    let client = world.client(1);
    let (reply, ()) = tokio::join!(client.call("word-count", &key, "add", b""), async {
        until("the call waits", || world.server(1).metrics.calls_waiting.get() == 1).await;
        assert_eq!(world.in_flight(0), 0);
        world.hold(0, []);
    });
    assert_eq!(reply.text(), "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_behind_is_told_and_waits_until_it_knows() {
    let world = World::start(3).await;
    world.client(0).deploy("word-count").await;
    let key = key_of(&world, 1);
    world.change_but_for(&[0], |view| commit(view, 2, [shard(&key)]));
    let client = world.client(0);
    let (reply, ()) = tokio::join!(client.call("word-count", &key, "add", b""), async {
        until("the call waits", || world.server(0).metrics.calls_waiting.get() == 1).await;
        world.change(|_| ());
    });
    assert_eq!((reply.text(), reply.header("shardloom-node")), ("1", "0000000000000003"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_behind_waits_for_the_epoch_that_the_router_knows() {
    let world = World::start(3).await;
    world.client(0).deploy("word-count").await;
    let key = key_of(&world, 1);
    world.change_but_for(&[2], |view| commit(view, 2, [shard(&key)]));
    let client = world.client(0);
    let (reply, ()) = tokio::join!(client.call("word-count", &key, "add", b""), async {
        until("it is forwarded", || world.server(0).metrics.calls_forwarded.get() == 1).await;
        world.change(|_| ());
    });
    assert_eq!((reply.text(), reply.header("shardloom-node")), ("1", "0000000000000003"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_a_silent_owner_waits_for_the_next_one() {
    let world = World::start(3).await;
    world.client(0).deploy("word-count").await;
    let key = key_of(&world, 1);
    world.link(1, Link::Mute);
    world.change(|view| view.members.values_mut().nth(1).unwrap().live = false);
    let client = world.client(0);
    let (reply, ()) = tokio::join!(client.call("word-count", &key, "add", b""), async {
        until("the call waits", || world.server(0).metrics.calls_waiting.get() == 1).await;
        world.change(|view| commit(view, 2, [shard(&key)]));
    });
    assert_eq!((reply.text(), reply.header("shardloom-node")), ("1", "0000000000000003"));
}
