//! Shard functions: what is refused at a deploy, what an operator hears, and that no key gets lost.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::{Client, Reply};
use crate::guests::guest;
use crate::link::Link;
use crate::world::World;

/// The shard function that is asked for; none for the built-in one.
async fn deploy(client: &Client, name: &str, handler: &str, function: Option<&str>) -> Reply {
    let component = client.upload(&guest(handler)).await;
    let function = match function {
        Some(function) => json!(client.upload(&guest(function)).await),
        None => Value::Null,
    };
    put(client, name, &json!({ "component": component, "shard_function": function })).await
}

async fn put(client: &Client, name: &str, manifest: &Value) -> Reply {
    client.admin("PUT", &format!("/v1/workloads/{name}"), manifest.to_string().as_bytes()).await
}

async fn warnings(client: &Client) -> Vec<String> {
    let status = client.admin("GET", "/v1/status", b"").await.json();
    serde_json::from_value(status["warnings"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_function_with_an_import_is_refused_by_the_imports_name() {
    let world = World::start(1).await;
    let bytes = guest("impure-shard-function");
    let path = format!("/v1/components/{}", crate::client::sha256(&bytes));
    let refused = world.client(0).admin("PUT", &path, &bytes).await.problem(400, "bad-request", "no");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("shardloom:impure/clock@0.1.0") && detail.contains("shard-function"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changing_the_shard_function_where_state_exists_is_refused_and_no_key_is_lost() {
    let world = World::start(3).await;
    let client = world.client(0);
    assert_eq!(deploy(&client, "w", "word-count", None).await.status, 200);
    // One key, on a shard of some node.
    assert_eq!(client.call("w", "acme:1", "add", b"5").await.text(), "5");
    let version = world.view(0).workloads["w"].version;

    // Through any node, and whatever the change is.
    let refused = deploy(&world.client(2), "w", "word-count", Some("by-tenant")).await;
    let detail = refused.problem(409, "refused", "no")["detail"].as_str().unwrap().to_owned();
    for part in ["w keeps state on 1 shard(s)", "under another name", "shardloom undeploy w --delete-state"] {
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(world.view(0).workloads["w"].version, version);
    assert_eq!(client.call("w", "acme:1", "get", b"").await.text(), "5");
    // Without a change of the function it goes on as ever.
    assert_eq!(deploy(&client, "w", "word-count", None).await.status, 200);

    // To take the workload away changes nothing about where its keys are.
    assert_eq!(client.admin("DELETE", "/v1/workloads/w", b"").await.json(), json!({}));
    deploy(&client, "w", "word-count", Some("by-tenant")).await.problem(409, "refused", "no");
    assert_eq!(deploy(&client, "w", "word-count", None).await.status, 200);
    assert_eq!(client.call("w", "acme:1", "get", b"").await.text(), "5");

    let gone = world.client(1).admin("DELETE", "/v1/workloads/w?delete_state=true", b"").await.json();
    assert_eq!(gone, json!({ "rows_deleted": 1 }));
    for function in [Some("by-tenant"), Some("by-range"), None] {
        // Nothing is kept now, so it may be this one or that.
        let reply = deploy(&client, "w", "word-count", function).await;
        assert_eq!(reply.status, 200, "{function:?}: {}", reply.text());
        assert_eq!(client.call("w", "acme:1", "get", b"").await.text(), "0");
    }
    // What was added under one function is not lost by removing or replacing it.
    assert_eq!(deploy(&client, "w", "word-count", Some("by-tenant")).await.status, 200);
    client.call("w", "acme:1", "add", b"7").await;
    for function in [None, Some("by-range")] {
        deploy(&client, "w", "word-count", function).await.problem(409, "refused", "no");
    }
    assert_eq!(world.client(2).call("w", "acme:1", "get", b"").await.text(), "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_state_exists_must_be_known_before_the_function_changes() {
    let world = World::start(2).await;
    let client = world.client(0);
    assert_eq!(deploy(&client, "w", "word-count", None).await.status, 200);
    world.hold(1, [shardloom_sharding::ids::ShardId(1)]);
    let refused = deploy(&client, "w", "word-count", Some("by-tenant")).await;
    let detail = refused.problem(503, "not-confirmed", "no")["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("1 shard(s) (1)"), "{detail}");
    world.hold(1, []);
    assert_eq!(deploy(&client, "w", "word-count", Some("by-tenant")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_is_deleted_is_only_that_of_the_name() {
    let world = World::start(2).await;
    let client = world.client(0);
    client.deploy("word-count").await;
    client.deploy("kv").await;
    for key in 0..40 {
        client.call("word-count", &format!("k{key}"), "add", b"1").await;
        client.call("kv", &format!("k{key}"), "put", b"kept").await;
    }
    let gone = client.admin("DELETE", "/v1/workloads/word-count?delete_state=true", b"").await.json();
    assert_eq!(gone, json!({ "rows_deleted": 40 }));
    for key in 0..40 {
        assert_eq!(client.call("kv", &format!("k{key}"), "get", b"").await.text(), "kept");
    }
    // Again it is no error, though there is nothing left; a name that never was is one.
    let again = client.admin("DELETE", "/v1/workloads/word-count?delete_state=true", b"").await.json();
    assert_eq!(again, json!({ "rows_deleted": 0 }));
    let never = client.admin("DELETE", "/v1/workloads/never?delete_state=true", b"").await;
    never.problem(404, "unknown-workload", "no");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_a_shard_fails_alone_and_every_node_s_status_says_so() {
    let world = World::start(3).await;
    let client = world.client(0);
    assert_eq!(deploy(&client, "f", "faulty", Some("faulty-shard-function")).await.status, 200);
    assert!(warnings(&client).await.iter().all(|warning| !warning.contains("shard function")));
    for key in ["trap", "out-of-range", "loop"] {
        client.call("f", key, "ok", b"").await.problem(500, "shard-function-failed", "no");
        assert_eq!(client.call("f", "fine", "ok", b"x").await.text(), "x", "after {key}");
    }
    // Seen on node 0, told by node 2.
    let warnings = warnings(&world.client(2)).await;
    let said: Vec<&String> =
        warnings.iter().filter(|warning| warning.contains("shard function of f")).collect();
    assert_eq!(said.len(), 1, "{warnings:?}");
    for part in ["3 call(s)", "\"loop\"", "ran out of fuel", "shard-function-failed", "Mend the function"] {
        assert!(said[0].contains(part), "{said:?}");
    }
    // Another function is not to blame.
    assert_eq!(deploy(&client, "f", "faulty", Some("by-tenant")).await.status, 200);
    let status = world.client(1).admin("GET", "/v1/status", b"").await.json();
    assert!(!status["warnings"].to_string().contains("shard function of f"), "{status}");
}

/// Where a node has the compiled code of a component.
fn code(world: &World, node: usize, digest: &str) -> PathBuf {
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(digest) && name.ends_with(".native")
    };
    let files = fs::read_dir(world.components(node)).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(named).unwrap()
}

/// Puts, on one node's disk, the code of one component in the place of another's, as a fault might that no checksum finds: the file says that it is of the
/// component, and its sum is right.
fn damage(world: &World, node: usize, digest: &str, by: &str) {
    // Magic and version, the sum of the rest, the length of the label, the label, the code.
    const SUM_AT: usize = 12;
    const REST_AT: usize = SUM_AT + 32;
    let parts = |bytes: &[u8]| {
        let label = u32::from_le_bytes(bytes[REST_AT..REST_AT + 4].try_into().unwrap()) as usize;
        let code_at = REST_AT + 4 + label;
        (bytes[REST_AT..code_at].to_vec(), bytes[code_at..].to_vec())
    };
    let path = code(world, node, digest);
    let own = fs::read(&path).unwrap();
    let other = fs::read(code(world, node, by)).unwrap();
    let rest = [parts(&own).0, parts(&other).1].concat();
    let sum = Sha256::digest(&rest);
    fs::write(path, [&own[..SUM_AT], &sum, &rest].concat()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_answers_differently_stops_the_deploy_and_is_named_with_the_other_and_the_key() {
    let world = World::start(3).await;
    let client = world.client(0);
    let component = client.upload(&guest("word-count")).await;
    let function = client.upload(&guest("by-tenant")).await;
    // Node 1 has the components before the deploy, and runs the one in the place of the other.
    let other = world.client(1).upload(&guest("by-range")).await;
    world.client(1).upload(&guest("by-tenant")).await;
    damage(&world, 1, &function, &other);

    let manifest = json!({ "component": component, "shard_function": function });
    let refused = put(&client, "w", &manifest).await.problem(409, "refused", "no");
    let detail = refused["detail"].as_str().unwrap();
    for part in ["for the key", "node 0000000000000001 says shard", "node 0000000000000002 says shard"] {
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(client.admin("GET", "/v1/workloads", b"").await.json(), json!([]));

    // Without that node, or with its disk mended, it goes.
    fs::remove_file(code(&world, 1, &function)).unwrap();
    world.server(1).guests.forget_all_but(|_| false);
    let reply = put(&client, "w", &manifest).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_to_answer_differently_is_found_out_by_the_owner_of_the_shard_that_it_names() {
    let world = World::start(2).await;
    let client = world.client(0);
    assert_eq!(deploy(&client, "w", "word-count", Some("by-tenant")).await.status, 200);
    let function = crate::client::sha256(&guest("by-tenant"));
    let other = world.client(1).upload(&guest("by-range")).await;
    damage(&world, 1, &function, &other);
    world.server(1).guests.forget_all_but(|_| false);

    // Through the wrong node, a key goes to a shard of the other node, which knows better.
    let mut disagreed = 0;
    for letter in 'a'..='z' {
        // By its range each letter has a shard of its own, so that some are the other node's.
        let key = format!("{letter}:x");
        let reply = world.client(1).call("w", &key, "add", b"1").await;
        if reply.status == 500 {
            let problem = reply.problem(500, "shard-function-failed", "no");
            assert!(problem["detail"].as_str().unwrap().contains("on node 0000000000000001"), "{problem}");
            disagreed += 1;
        }
    }
    assert!(disagreed > 0, "all calls came to the right shard by chance");
    let warnings = warnings(&client).await;
    assert!(warnings.iter().any(|warning| warning.contains("shard function of w")), "{warnings:?}");
    // The node that is right serves on what is its own.
    let served = world.client(0).call("w", &key_at(&world, "by-tenant", 0).await, "add", b"1").await;
    assert_eq!(served.status, 200, "{}", served.text());
}

/// A key whose shard, by a shard function, a node owns.
async fn key_at(world: &World, function: &str, node: usize) -> String {
    let digest = shardloom_protocol::digest::Digest(Sha256::digest(guest(function)).into());
    let function = world.server(node).guests.shard_function(&digest).await.unwrap();
    let view = world.view(node);
    let owned = |key: &String| {
        let shard = shardloom_sharding::ids::ShardId(function.shard_of(key, view.shard_count()).unwrap());
        view.map.owner(shard) == Some(view.this_node)
    };
    (0..).map(|number| format!("key-{number}:x")).find(owned).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_does_not_stop_a_status() {
    let world = World::start(2).await;
    let client = world.client(0);
    assert_eq!(deploy(&client, "f", "faulty", Some("faulty-shard-function")).await.status, 200);
    client.call("f", "trap", "ok", b"").await.problem(500, "shard-function-failed", "no");
    world.link(1, Link::Cut);
    assert!(warnings(&client).await.iter().any(|warning| warning.contains("shard function of f")));
}
