//! The weigher: loads of all nodes in, weights in the control log out.

use serde_json::{Value, json};

use crate::client::key_of;
use crate::guests::guest;
use crate::link::Link;
use crate::waiting::until;
use crate::world::World;

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
        json!({ "component": null, "built_in": null, "weights_set": false, "weights": null, "last_run": null, "alarm": null })
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
    let busiest = world.client(0).admin("GET", "/v1/shards?busiest=3", b"").await.json();
    assert_eq!((busiest.as_array().unwrap().len(), &busiest[0]["shard"]), (3, &json!(shard)), "{busiest}");
    assert_eq!(busiest[0]["load_told"], true);
    assert!(busiest[0]["busy_ms_per_second"].as_f64() > Some(0.0), "{busiest}");
    world.client(0).admin("GET", "/v1/shards?busiest=x", b"").await.problem(400, "bad-request", "no");
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
async fn a_weigher_that_gives_huge_weights_leaves_the_old_ones_and_status_says_what_to_do() {
    // With five shards, the faulty weigher gives the largest number that there is to each.
    let world = World::start_shards(5, 2, Default::default(), Default::default()).await;
    assert_eq!(set(&world, 0, "by-busy-time").await.status, 200);
    let before = world.view(0).weights.clone();
    let reply = set(&world, 1, "faulty-weigher").await;
    let detail = reply.problem(409, "refused", "no")["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("shard 0 the weight 4294967295"), "{detail}");
    until("the alarm is known everywhere", || {
        world.view(1).weigher.as_ref().is_some_and(|weigher| weigher.alarm.is_some())
    })
    .await;
    assert_eq!(world.view(1).weights, before);
    let status = world.client(1).admin("GET", "/v1/status", b"").await.json();
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains(&detail) && warnings.contains("shardloom weigher run --dry"), "{warnings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_would_change_and_writes_nothing() {
    let world = World::start(3).await;
    let client = world.client(0);
    client.deploy("kv").await;
    let key = key_of(&world, 1);
    client.call("kv", &key, "put", &[b'x'; 40_000]).await;
    client.admin("POST", "/v1/admin/weigher/run?dry=true", b"").await.problem(400, "bad-request", "no");

    let digest = client.upload(&guest("by-state-size")).await;
    let choice = json!({ "component": digest }).to_string();
    let applied = world.view(2).applied;
    // Whichever node is asked: it need not lead.
    let dry = world.client(2).admin("POST", "/v1/admin/weigher/run?dry=true", choice.as_bytes()).await.json();
    let shard = shardloom_sharding::key::shard_of_str(&key, crate::world::SHARDS);
    let changes = dry["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "{dry}");
    let change = &changes[0];
    assert_eq!(
        (&change["shard"], &change["weight"], &change["would_be"]),
        (&json!(shard), &json!(1), &json!(2))
    );
    assert!(change["state_bytes"].as_u64() > Some(40_000), "{change}");
    assert_eq!(dry["nodes"].as_array().map(Vec::len), Some(3), "{dry}");
    assert_eq!((world.view(2).applied, &world.view(2).weights), (applied, &None));

    // Only a dry run takes a weigher that is not set.
    world.client(2).admin("POST", "/v1/admin/weigher/run", choice.as_bytes()).await.problem(
        400,
        "bad-request",
        "no",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_built_in_weigher_needs_no_component() {
    let world = World::start(2).await;
    let client = world.client(1);
    client.deploy("faulty").await;
    let by_load = json!({ "built_in": "by-load" }).to_string();
    let reply = client.admin("POST", "/v1/admin/weigher", by_load.as_bytes()).await;
    assert_eq!(
        reply.json()["weights"],
        json!({ "min": 1_000, "max": 1_000, "sum": 1_000 * crate::world::SHARDS })
    );
    let key = key_of(&world, 1);
    let mut busy = Value::Null;
    for _ in 0..40 {
        client.call("faulty", &key, "slow", b"").await;
        busy = client.admin("POST", "/v1/admin/weigher/run", b"").await.json()["weights"].clone();
        if busy["max"].as_u64() > Some(2_000) {
            break;
        }
    }
    assert!(busy["max"].as_u64() > Some(2_000) && busy["min"] == 1_000, "{busy}");
    let shown = shown(&world).await;
    assert_eq!((&shown["component"], &shown["built_in"]), (&Value::Null, &json!("by-load")));
    for wrong in [
        json!({ "built_in": "by-weight" }),
        json!({}),
        json!({ "built_in": "uniform", "component": "1".repeat(64) }),
    ] {
        client.admin("POST", "/v1/admin/weigher", wrong.to_string().as_bytes()).await.problem(
            400,
            "bad-request",
            "no",
        );
    }
    let uniform = json!({ "built_in": "uniform" }).to_string();
    let reply = client.admin("POST", "/v1/admin/weigher", uniform.as_bytes()).await;
    assert_eq!((&reply.json()["weights"]["min"], &reply.json()["weights"]["max"]), (&json!(1), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_whose_owner_does_not_tell_keeps_its_weight() {
    let world = World::start(2).await;
    let weights: Vec<u32> = (0..crate::world::SHARDS).map(|shard| 100 + shard).collect();
    world.change(|view| view.weights = Some(std::sync::Arc::new(weights)));
    world.link(1, Link::Cut);
    let by_load = json!({ "built_in": "by-load" }).to_string();
    let dry =
        world.client(0).admin("POST", "/v1/admin/weigher/run?dry=true", by_load.as_bytes()).await.json();
    for (shard, weight) in dry["weight_of_shards"].as_array().unwrap().iter().enumerate() {
        // Node 1 owns the odd ones; node 0 says that its own are idle.
        assert_eq!(*weight, json!(if shard % 2 == 1 { 100 + shard } else { 1_000 }), "shard {shard}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_is_no_weigher() {
    let world = World::start(1).await;
    set(&world, 0, "faulty").await.problem(400, "bad-request", "no");
}
