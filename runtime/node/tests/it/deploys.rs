//! Uploads and deploys.

use serde_json::json;

use crate::client::{Client, key_of, sha256};
use crate::guests::guest;
use crate::link::Link;
use crate::waiting::until;
use crate::world::World;

async fn put(client: &Client, name: &str, manifest: serde_json::Value) -> crate::client::Reply {
    client.admin("PUT", &format!("/v1/workloads/{name}"), manifest.to_string().as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_is_confirmed_by_all_live_nodes_and_serves_on_each() {
    let world = World::start(3).await;
    let digest = world.client(0).upload(&guest("faulty")).await;
    // The component is on one node, the deploy goes through another one.
    let reply = put(&world.client(1), "w", json!({ "component": digest, "config": { "a": "b" } })).await;
    let deployed = reply.json();
    assert_eq!(deployed["component"], digest.as_str());
    let all = ["0000000000000001", "0000000000000002", "0000000000000003"];
    assert_eq!(deployed["confirmed_by"], json!(all));
    for node in 0..3 {
        assert_eq!(world.client(node).call("w", "k", "ok", b"x").await.text(), "x");
        let listed = world.client(node).admin("GET", "/v1/workloads", b"").await.json();
        assert_eq!(listed[0]["name"], "w");
        assert_eq!(listed[0]["version"], deployed["version"]);
        assert_eq!(listed[0]["config"], json!({ "a": "b" }));
    }
    assert_eq!(world.client(2).admin("DELETE", "/v1/workloads/w", b"").await.json(), json!({}));
    world.client(0).call("w", "k", "ok", b"").await.problem(404, "unknown-workload", "no");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_replaces_the_warm_guests_of_the_old_one() {
    let world = World::start(2).await;
    let client = world.client(0);
    client.deploy("word-count").await;
    let key = key_of(&world, 1);
    let first = client.call("word-count", &key, "add", b"").await;
    client.deploy("word-count").await;
    let second = client.call("word-count", &key, "add", b"").await;
    assert_eq!((first.text(), second.text()), ("1", "2"), "the state is the workload's, not the version's");
    let version =
        |reply: &crate::client::Reply| reply.header("shardloom-workload-version").parse::<u64>().unwrap();
    assert!(version(&second) > version(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_fit_component_is_refused_with_the_reason_and_changes_nothing() {
    let world = World::start(2).await;
    let client = world.client(0);
    let upload = |bytes: Vec<u8>, digest: String| {
        let client = client.clone();
        async move { client.admin("PUT", &format!("/v1/components/{digest}"), &bytes).await }
    };
    let core = b"\0asm\x01\0\0\0".to_vec();
    let reply = upload(core.clone(), sha256(&core)).await.problem(400, "bad-request", "no");
    assert!(reply["detail"].to_string().contains("core WebAssembly module"), "{reply}");

    let ungranted = guest("needs-clock");
    let reply = upload(ungranted.clone(), sha256(&ungranted)).await.problem(400, "bad-request", "no");
    assert!(reply["detail"].to_string().contains("needs-clock/clock"), "{reply}");

    let whole = guest("faulty");
    let truncated = whole[..whole.len() / 2].to_vec();
    upload(truncated.clone(), sha256(&whole)).await.problem(400, "bad-request", "no");
    upload(truncated.clone(), sha256(&truncated)).await.problem(400, "bad-request", "no");
    upload(whole, "0".repeat(64)).await.problem(400, "bad-request", "no");
    upload(Vec::new(), sha256(b"")).await.problem(400, "bad-request", "no");
    upload(Vec::new(), "xyz".into()).await.problem(400, "bad-request", "no");

    let nowhere = put(&client, "w", json!({ "component": "1".repeat(64) })).await;
    let detail = nowhere.problem(400, "bad-request", "no")["detail"].to_string();
    assert!(detail.contains("upload it first"), "{detail}");
    assert_eq!(client.admin("GET", "/v1/workloads", b"").await.json(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_larger_than_the_bound_is_refused_early() {
    let limits = shardloom::server::limits::Limits { component_bytes_max: 1000, ..Default::default() };
    let world = World::start_with(1, limits, Default::default()).await;
    let bytes = guest("faulty");
    let reply = world.client(0).admin("PUT", &format!("/v1/components/{}", sha256(&bytes)), &bytes).await;
    reply.problem(413, "too-large", "no");
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_that_do_not_fit_are_refused() {
    let world = World::start(1).await;
    let client = world.client(0);
    let digest = client.upload(&guest("faulty")).await;
    let function = client.upload(&guest("by-tenant")).await;
    for (name, manifest) in [
        ("w", json!({ "component": digest, "limits": { "memory_bytes": 1_u64 << 50 } })),
        ("w", json!({ "component": digest, "limits": { "made_up": 1 } })),
        ("w", json!({ "component": digest, "more": 1 })),
        ("w", json!({ "component": function })),
        ("w", json!({ "component": digest, "shard_function": digest })),
        ("w%20w", json!({ "component": digest })),
        (".w", json!({ "component": digest })),
        ("w", json!({ "component": digest, "config": { "k": "v".repeat(70_000) } })),
        ("w", json!({ "component": digest, "limits": { "memory_bytes": 65536 } })),
    ] {
        put(&client, name, manifest).await.problem(400, "bad-request", "no");
    }
    assert_eq!(client.admin("GET", "/v1/workloads", b"").await.json(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deploys_of_one_name_at_once_conflict() {
    let world = World::start(2).await;
    let digest = world.client(0).upload(&guest("faulty")).await;
    let clients = [world.client(0), world.client(1)];
    put(&clients[1], "other", json!({ "component": digest })).await;
    let deploys = (0..6).map(|number| put(&clients[number % 2], "w", json!({ "component": digest })));
    let replies = futures::future::join_all(deploys).await;
    let won = replies.iter().filter(|reply| reply.status == 200).count();
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert_eq!(reply.problem(409, "deploy-conflict", "no")["retryable"], true);
    }
    assert!(won >= 1, "{replies:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_node_that_does_not_confirm_stops_the_deploy_and_a_dead_one_does_not() {
    let timings = shardloom::server::limits::Timings { deploy_confirm_ms: 2_000, ..Default::default() };
    let world = World::start_with(2, Default::default(), timings).await;
    let client = world.client(0);
    let digest = client.upload(&guest("faulty")).await;
    world.link(1, Link::Cut);
    let reply = put(&client, "w", json!({ "component": digest })).await;
    let detail = reply.problem(503, "not-confirmed", "no")["detail"].to_string();
    assert!(detail.contains("0000000000000002"), "{detail}");
    world.change(|view| {
        let silent = view.members.values_mut().last().unwrap();
        silent.live = false;
        silent.state = shardloom::server::view::MemberState::Silent;
    });
    let reply = put(&client, "w", json!({ "component": digest })).await;
    assert_eq!(reply.json()["confirmed_by"], json!(["0000000000000001"]));
    // It comes back, and has the component before anybody calls.
    world.link(1, Link::Up);
    world.change(|view| view.members.values_mut().for_each(|member| member.live = true));
    let host = world.server(1).guests.host().clone();
    let digests = || futures::executor::block_on(host.digests()).unwrap();
    until("the node that came later has the component", || {
        tokio::task::block_in_place(|| digests().iter().any(|found| found.to_string() == digest))
    })
    .await;
    let key = key_of(&world, 1);
    assert_eq!(client.call("w", &key, "ok", b"x").await.text(), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_function_keeps_a_tenant_on_one_shard_and_a_failing_one_is_told() {
    let world = World::start(3).await;
    let client = world.client(0);
    let component = client.upload(&guest("faulty")).await;
    let function = client.upload(&guest("by-tenant")).await;
    let reply = put(&client, "w", json!({ "component": component, "shard_function": function })).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut shards = std::collections::BTreeSet::new();
    for tenant in ["acme", "globex", "initech", "hooli"] {
        let mut of_tenant = std::collections::BTreeSet::new();
        for (number, taker) in [(1, 0), (2, 1), (3, 2)] {
            let reply = world.client(taker).call("w", &format!("{tenant}:{number}"), "ok", b"").await;
            of_tenant.insert(reply.header("shardloom-shard").to_owned());
        }
        assert_eq!(of_tenant.len(), 1, "{tenant}");
        shards.extend(of_tenant);
    }
    assert!(shards.len() > 1, "{shards:?}");

    let faulty = client.upload(&guest("faulty-shard-function")).await;
    let reply = put(&client, "f", json!({ "component": component, "shard_function": faulty })).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for key in ["loop", "trap", "out-of-range", "alloc"] {
        client.call("f", key, "ok", b"").await.problem(500, "shard-function-failed", "no");
        assert_eq!(client.call("f", "fine", "ok", b"").await.status, 200, "after {key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_may_set_bounds_for_its_state() {
    let world = World::start(1).await;
    let client = world.client(0);
    let digest = client.upload(&guest("kv")).await;
    let manifest = json!({ "component": digest, "limits": { "value_bytes": 4 } });
    let deployed = client.admin("PUT", "/v1/workloads/kv", manifest.to_string().as_bytes()).await;
    assert_eq!(deployed.status, 200, "{}", deployed.text());
    assert_eq!(client.call("kv", "a", "put", b"1234").await.status, 200);
    let refused = client.call("kv", "a", "put", b"12345").await.problem(400, "invalid", "rolled-back");
    assert!(refused["detail"].as_str().is_some_and(|words| words.contains('4')), "{refused}");
    assert_eq!(client.call("kv", "a", "get", b"").await.text(), "1234");
}
