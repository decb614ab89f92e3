//! The weigher: loads of all nodes in, weights in the control log out.

use serde_json::{Value, json};

use crate::client::key_of;
use crate::guests::guest;
use crate::world::{World, until};

async fn set(world: &World, node: usize, name: &str) -> crate::client::Reply {
    let client = world.client(node);
    let digest = client.upload(&guest(name)).await;
    let choice = json!({ "component": digest }).to_string();
    client.admin("POST", "/v1/admin/weigher", choice.as_bytes()).await
}

async fn shown(world: &World) -> Value {
    world.client(1).admin("GET", "/v1/admin/weigher", b"").await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_shard_on_any_node_weighs_more_after_the_weigher_ran() {
    let world = World::start(3).await;
    world.client(0).deploy("faulty").await;
    assert_eq!(
        shown(&world).await,
        json!({ "component": null, "weights_set": false, "last_run": null, "alarm": null })
    );
    let reply = set(&world, 2, "by-busy-time").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["weights"]["min"], 1);

    let key = key_of(&world, 1);
    let mut busy = Value::Null;
    for _ in 0..40 {
        world.client(0).call("faulty", &key, "slow", b"").await;
        let ran = world.client(1).admin("POST", "/v1/admin/weigher/run", b"").await;
        busy = ran.json()["weights"].clone();
        if busy["max"].as_u64() > Some(5) {
            break;
        }
    }
    assert!(busy["max"].as_u64() > Some(5) && busy["min"] == 1, "{busy}");
    let shard = shardloom_sharding::key::shard_of_str(&key, crate::world::SHARDS);
    let shards = world.client(2).admin("GET", "/v1/shards", b"").await.json();
    assert_eq!(shards[shard.index()]["weight"], busy["max"]);
    let shown = shown(&world).await;
    assert_eq!((&shown["weights_set"], &shown["alarm"]), (&json!(true), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weigher_that_fails_raises_an_alarm_and_the_old_weights_stay() {
    // With four shards, the faulty weigher refuses.
    let world = World::start_shards(4, 2, Default::default(), Default::default()).await;
    assert_eq!(set(&world, 0, "by-busy-time").await.status, 200);
    let before = world.view(0).weights.clone();
    let reply = set(&world, 1, "faulty-weigher").await;
    let detail = reply.problem(409, "refused", "no")["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("four is too many"), "{detail}");
    until("the alarm is known everywhere", || {
        world.view(1).weigher.as_ref().is_some_and(|weigher| weigher.alarm.is_some())
    })
    .await;
    assert_eq!(shown(&world).await["alarm"], detail.as_str());
    assert_eq!(world.view(1).weights, before);
    assert_eq!(world.client(0).admin("DELETE", "/v1/admin/weigher", b"").await.json(), json!({}));
    assert_eq!(shown(&world).await["component"], Value::Null);
    world.client(0).admin("POST", "/v1/admin/weigher/run", b"").await.problem(409, "refused", "no");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_is_no_weigher() {
    let world = World::start(1).await;
    set(&world, 0, "faulty").await.problem(400, "bad-request", "no");
}
