//! What is set for the whole cluster, through any node.

use serde_json::{Value, json};

use crate::world::World;

const PATH: &str = "/v1/admin/settings";

async fn shown(world: &World, name: &str) -> Value {
    let list = world.client(1).admin("GET", PATH, b"").await.json();
    list.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_set_by_number_or_text_and_shown_by_every_node() {
    let world = World::start(2).await;
    assert_eq!(shown(&world, "replica_grace").await["text"], "10m");
    let wanted = json!({ "replicas": 5, "move_rate": "64MiB/s" }).to_string();
    let reply = world.client(0).admin("PUT", PATH, wanted.as_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(shown(&world, "replicas").await["value"], 5);
    let rate = shown(&world, "move_rate").await;
    assert_eq!(
        (&rate["value"], &rate["text"], &rate["unit"]),
        (&json!(64 << 20), &json!("64MiB/s"), &json!("bytes/s"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_value_refuses_all() {
    let world = World::start(2).await;
    for bad in [
        json!({ "replicas": 5, "moves_in_flight": 0 }),
        json!({ "replicas": "many" }),
        json!({ "replica": 5 }),
        json!({ "replicas": -1 }),
        json!({}),
    ] {
        let reply = world.client(0).admin("PUT", PATH, bad.to_string().as_bytes()).await;
        reply.problem(400, "bad-request", "no");
        assert_eq!(shown(&world, "replicas").await["value"], 3, "{bad}");
    }
}
