//! Versions of a workload: kept, gone back to, tried on some shards.

use std::sync::Arc;

use serde_json::{Value, json};
use shardloom_sharding::key::shard_of_str;

use crate::client::{Reply, key_of};
use crate::guests::guest;
use crate::waiting::until;
use crate::world::{SHARDS, World};

/// Deploys the guest `faulty` with a word in its configuration.
async fn deploy(world: &World, word: &str, canary: Option<&str>) -> Reply {
    let component = world.client(0).upload(&guest("faulty")).await;
    let mut manifest = json!({ "component": component, "config": { "word": word } });
    if let Some(canary) = canary {
        manifest["canary"] = canary.into();
    }
    world.client(0).admin("PUT", "/v1/workloads/w", manifest.to_string().as_bytes()).await
}

async fn version(world: &World, word: &str, canary: Option<&str>) -> u64 {
    let reply = deploy(world, word, canary).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["version"].as_u64().unwrap()
}

async fn act(world: &World, path: &str) -> Reply {
    world.client(1).admin("POST", &format!("/v1/workloads/{path}"), b"").await
}

async fn shown(world: &World) -> Value {
    world.client(2).admin("GET", "/v1/workloads/w", b"").await.json()
}

/// The word and the version that answer a key, through each of the nodes in turn.
async fn answers(world: &World, key: usize) -> (String, u64) {
    let reply = world.client(key % 3).call("w", &format!("key-{key}"), "config", b"").await;
    let text = reply.text();
    let word = text.split(['=', ' ']).nth(1).unwrap().to_owned();
    (word, reply.header("shardloom-workload-version").parse().unwrap())
}

fn words(reply: &Reply) -> String {
    reply.problem(409, "refused", "no")["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_at_once_on_all_nodes_and_goes_where_it_is_told() {
    let world = World::start(3).await;
    let one = version(&world, "one", None).await;
    assert!(words(&act(&world, "w/rollback").await).contains("no other one"));
    let two = version(&world, "two", None).await;
    for key in 0..6 {
        assert_eq!(answers(&world, key).await, ("two".into(), two));
    }
    let back = act(&world, "w/rollback").await.json();
    assert_eq!(
        (&back["version"], &back["before"], &back["canary"]),
        (&json!(one), &json!(two), &Value::Null)
    );
    for key in 0..6 {
        assert_eq!(answers(&world, key).await, ("one".into(), one));
    }
    let three = version(&world, "three", None).await;
    assert!(three > two);
    assert_eq!(act(&world, "w/rollback").await.json()["version"], one, "not the one that was left");
    assert_eq!(act(&world, &format!("w/rollback?to={two}")).await.json()["version"], two);
    assert_eq!(answers(&world, 0).await, ("two".into(), two));
    let refused = words(&act(&world, "w/rollback?to=999").await);
    assert!(refused.contains("no version 999") && refused.contains(&format!("{one}, {three}")), "{refused}");
    act(&world, "w/rollback?to=x").await.problem(400, "bad-request", "no");
    act(&world, "nothing/rollback").await.problem(404, "unknown-workload", "no");

    let shown = shown(&world).await;
    let rows: Vec<(u64, &str, &str)> = shown["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let word = row["config"]["word"].as_str().unwrap();
            (row["version"].as_u64().unwrap(), row["state"].as_str().unwrap(), word)
        })
        .collect();
    assert_eq!(rows, [(one, "kept", "one"), (two, "current", "two"), (three, "kept", "three")]);
    assert_eq!(shown["version"], two);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_would_lose_keys_is_not_gone_back_to() {
    let world = World::start(2).await;
    let client = world.client(0);
    let component = client.upload(&guest("kv")).await;
    let function = client.upload(&guest("by-tenant")).await;
    for manifest in
        [json!({ "component": component }), json!({ "component": component, "shard_function": function })]
    {
        let reply = client.admin("PUT", "/v1/workloads/kv", manifest.to_string().as_bytes()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!(client.call("kv", "acme:1", "put", b"1").await.status, 200);
    let refused = words(&act(&world, "kv/rollback").await);
    assert!(refused.contains("keeps state") && refused.contains("shard function"), "{refused}");
    assert_eq!(client.call("kv", "acme:1", "get", b"").await.text(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_runs_on_its_shards_is_held_against_the_others_and_promoted_or_ended() {
    let world = World::start(3).await;
    let refused = words(&deploy(&world, "one", Some("25%")).await);
    assert!(refused.contains("not deployed"), "{refused}");
    let one = version(&world, "one", None).await;
    assert!(words(&act(&world, "w/promote").await).contains("no canary"));
    for bad in ["0%", "100%", "some"] {
        deploy(&world, "two", Some(bad)).await.problem(400, "bad-request", "no");
    }
    let two = version(&world, "two", Some("25%")).await;
    let canary = shown(&world).await["canary"].clone();
    let status = world.client(0).admin("GET", "/v1/status", b"").await.json();
    let told = &status["canaries"][0];
    assert_eq!(
        (&told["workload"], &told["version"], &told["share"]),
        (&json!("w"), &json!(two), &json!("25%"))
    );
    assert_eq!((&canary["version"], &canary["share"]), (&json!(two), &json!("25%")));
    let shards: Vec<u32> = serde_json::from_value(canary["shards"].clone()).unwrap();
    assert_eq!(shards.len(), SHARDS as usize / 4);
    let on_canary = |key: usize| shards.contains(&shard_of_str(&format!("key-{key}"), SHARDS).0);
    assert!((0..60).any(on_canary) && !(0..60).all(on_canary));
    for key in 0..60 {
        let expected = if on_canary(key) { ("two", two) } else { ("one", one) };
        assert_eq!(answers(&world, key).await, (expected.0.into(), expected.1), "{key}");
    }
    let tried = (0..60).filter(|key| on_canary(*key)).count();
    let failing = (0..60).find(|key| on_canary(*key)).unwrap();
    for method in ["trap", "failed", "not-found"] {
        world.client(0).call("w", &format!("key-{failing}"), method, b"").await;
    }
    let rows = shown(&world).await["versions"].clone();
    let seen = |row: usize, of: &str| rows[row][of].clone();
    assert_eq!((seen(0, "state"), seen(1, "state")), (json!("current"), json!("canary")));
    assert_eq!((seen(0, "shards"), seen(1, "shards")), (json!(SHARDS * 3 / 4), json!(SHARDS / 4)));
    assert_eq!((seen(0, "calls"), seen(1, "calls")), (json!(60 - tried), json!(tried + 3)));
    assert_eq!((seen(0, "errors"), seen(1, "errors")), (json!(0), json!(2)));
    assert!(
        seen(0, "p50_ms").as_f64() > Some(0.0) && seen(1, "p99_ms").as_f64() >= seen(1, "p50_ms").as_f64()
    );

    for canary in [None, Some("25%")] {
        let refused = words(&deploy(&world, "three", canary).await);
        assert!(
            refused.contains("shardloom promote w") && refused.contains("shardloom rollback w"),
            "{refused}"
        );
    }
    let promoted = act(&world, "w/promote").await.json();
    assert_eq!(
        (&promoted["version"], &promoted["before"], &promoted["canary"]),
        (&json!(two), &json!(one), &json!(null))
    );
    for key in 0..60 {
        assert_eq!(answers(&world, key).await, ("two".into(), two));
    }
    assert_eq!(act(&world, "w/rollback").await.json()["version"], one);
    let three = version(&world, "three", Some("50%")).await;
    let ended = act(&world, "w/rollback").await.json();
    assert_eq!((&ended["version"], &ended["canary"]), (&json!(one), &json!(three)));
    assert!(shown(&world).await["canary"].is_null());
    for key in 0..60 {
        assert_eq!(answers(&world, key).await, ("one".into(), one));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_cannot_have_another_shard_function() {
    let world = World::start(2).await;
    version(&world, "one", None).await;
    let client = world.client(0);
    let component = client.upload(&guest("faulty")).await;
    let function = client.upload(&guest("by-tenant")).await;
    let manifest = json!({ "component": component, "shard_function": function, "canary": "10%" });
    let reply = client.admin("PUT", "/v1/workloads/w", manifest.to_string().as_bytes()).await;
    let refused = words(&reply);
    assert!(refused.contains("shard function"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_says_which_version_runs_and_waits_for_what_the_sender_knows() {
    let world = World::start(2).await;
    let one = version(&world, "one", None).await;
    let [here, there] = [0, 1].map(|node| key_of(&world, node));
    // The first node has not applied what makes this version current.
    world.change_but_for(&[0], |view| {
        let newer = view.workloads.get_mut("w").map(Arc::make_mut).unwrap();
        (newer.version, newer.activation) = (one + 1, view.applied);
    });
    let asked = async |node: usize, key: &str| {
        let reply = world.client(node).call("w", key, "ok", b"").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.header("shardloom-workload-version").parse::<u64>().unwrap()
    };
    assert_eq!(asked(0, &there).await, one + 1, "by what the owner has applied, not by what the router has");
    assert_eq!(asked(0, &here).await, one);
    let (version, ()) = tokio::join!(asked(1, &here), async {
        until("the call is with the owner", || world.server(1).metrics.calls_forwarded.get() == 1).await;
        world.change(|_| ());
    });
    assert_eq!(version, one + 1);
    assert_eq!(asked(0, &here).await, one + 1);
}
