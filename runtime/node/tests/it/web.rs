//! Requests of components of wasi:http, at `/w/...`.

use serde_json::{Value, json};

use crate::client::{Client, Reply, key_of};
use crate::guests::guest;
use crate::world::World;

/// Uploads a guest and deploys it with this besides.
async fn put(client: &Client, name: &str, besides: Value) -> Reply {
    let mut manifest = json!({ "component": client.upload(&guest(name)).await });
    manifest.as_object_mut().unwrap().extend(besides.as_object().unwrap().clone());
    client.admin("PUT", &format!("/v1/workloads/{name}"), manifest.to_string().as_bytes()).await
}

async fn deploy(client: &Client, name: &str, besides: Value) {
    let reply = put(client, name, besides).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_runs_on_the_owner_of_its_key_whichever_node_takes_it() {
    let world = World::start(3).await;
    deploy(&world.client(0), "web-kv", json!({ "http": { "key_from": "path:1" } })).await;
    for owner in 0..3 {
        let path = format!("/w/web-kv/{}", key_of(&world, owner));
        let stored = world.client(0).send("PUT", &format!("{path}?x=1"), &[], b"tea").await;
        assert_eq!((stored.status, stored.body.len()), (204, 0));
        for taker in 0..3 {
            let reply = world.client(taker).send("GET", &path, &[], b"").await;
            assert_eq!((reply.status, reply.text()), (200, "tea"));
            assert_eq!(reply.header("shardloom-node"), format!("{:016x}", owner + 1));
            assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
        }
    }
    let nothing = world.client(0).send("GET", "/w/web-kv/nothing", &[], b"").await;
    assert_eq!((nothing.status, nothing.text()), (404, "nothing is kept here\n"));
    assert_eq!(world.client(0).send("BREW", "/w/web-kv/x", &[], b"").await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_where_the_workload_says_or_the_request_is_refused() {
    let world = World::start(1).await;
    let client = world.client(0);
    deploy(&client, "web-kv", json!({ "http": { "key_from": "header:x-tenant" } })).await;
    let shard = |key: &str| shardloom_sharding::key::shard_of_str(key, world.view(0).shard_count());
    let reply = client.send("PUT", "/w/web-kv/a", &[("x-tenant", "t1")], b"1").await;
    assert_eq!(reply.header("shardloom-shard"), shard("t1").0.to_string());
    let problem = client.send("GET", "/w/web-kv/a", &[], b"").await.problem(400, "bad-request", "no");
    assert!(problem["detail"].as_str().unwrap().contains("no header:x-tenant"), "{problem}");

    deploy(&client, "web-kv", json!({ "http": { "key_from": "cookie:session" } })).await;
    let reply = client.send("PUT", "/w/web-kv/a", &[("cookie", "a=b; session=s1")], b"1").await;
    assert_eq!(reply.header("shardloom-shard"), shard("s1").0.to_string());
    client.send("GET", "/w/web-kv/a", &[], b"").await.problem(400, "bad-request", "no");

    deploy(&client, "web-kv", json!({ "http": { "key_from": "cookie:session,random" } })).await;
    let reply = client.send("GET", "/w/web-kv/a", &[("cookie", "session=s1")], b"").await;
    assert_eq!((reply.status, reply.header("shardloom-shard")), (200, shard("s1").0.to_string().as_str()));
    let mut shards = std::collections::BTreeSet::new();
    for _ in 0..64 {
        let reply = client.send("GET", "/w/web-kv/b", &[], b"").await;
        assert_eq!(reply.status, 404);
        shards.insert(reply.header("shardloom-shard").to_owned());
    }
    assert!(shards.len() > 1, "{shards:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_sees_the_path_behind_its_name_and_the_callers_host() {
    let world = World::start(2).await;
    let http = json!({ "http": { "key_from": "path:1" }, "grants": ["http:api.example"] });
    deploy(&world.client(0), "web-faulty", http).await;
    for taker in 0..2 {
        let headers = [("host", "shop.example:7080"), ("te", "trailers"), ("x-mine", "1")];
        let seen = world.client(taker).send("POST", "/w/web-faulty/seen?a=b%20c", &headers, b"tea").await;
        let text = seen.text();
        let head = "Method::Post Some(Scheme::Http) Some(\"shop.example:7080\") Some(\"/seen?a=b%20c\")\n";
        assert!(text.starts_with(head), "{text}");
        assert!(text.contains("x-mine: 1\n") && text.contains("content-length: 3\n"), "{text}");
        assert!(!text.contains("te:"), "{text}");
    }
    let root = world.client(0).send("GET", "/w/web-faulty", &[], b"").await;
    assert_eq!(root.text(), "there is nothing at /");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_says_what_a_component_of_wasi_http_needs() {
    let world = World::start(2).await;
    let client = world.client(0);
    let refused = async |name: &str, besides: Value| {
        let problem = put(&client, name, besides).await.problem(400, "bad-request", "no");
        problem["detail"].as_str().unwrap().to_owned()
    };
    let words = refused("web-kv", json!({})).await;
    assert!(words.contains("--key-from"), "{words}");
    let words = refused("web-kv", json!({ "http": { "key_from": "body" } })).await;
    assert!(words.contains("names no part of a request"), "{words}");
    let http = json!({ "key_from": "path:1" });
    let words = refused("web-faulty", json!({ "http": http })).await;
    assert!(words.contains("wasi:http/outgoing-handler@0.2") && words.contains("--grant"), "{words}");
    let words = refused("web-faulty", json!({ "http": http, "grants": ["http:*"] })).await;
    assert!(words.contains("is no grant"), "{words}");
    let words = refused("web-kv", json!({ "http": http, "grants": ["http:a.example"] })).await;
    assert!(words.contains("needs no grant"), "{words}");
    let words = refused("counter", json!({ "http": http })).await;
    assert!(words.contains("is a shard-handler"), "{words}");
    assert_eq!(client.admin("GET", "/v1/workloads", b"").await.json(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_requests_are_told_where_they_belong() {
    let world = World::start(1).await;
    let client = world.client(0);
    deploy(&client, "web-kv", json!({ "http": { "key_from": "path:1" } })).await;
    client.deploy("counter").await;
    let problem = client.call("web-kv", "k", "get", b"").await.problem(400, "bad-request", "no");
    assert!(problem["detail"].as_str().unwrap().contains("/w/web-kv/"), "{problem}");
    let reply = client.send("GET", "/w/counter/k", &[], b"").await;
    let problem = reply.problem(400, "bad-request", "no");
    assert!(problem["detail"].as_str().unwrap().contains("/v1/call/counter/"), "{problem}");
    client.send("GET", "/w/nobody/k", &[], b"").await.problem(404, "unknown-workload", "no");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_fresh_for_each_request_unless_the_deploy_says_otherwise() {
    let world = World::start(1).await;
    let client = world.client(0);
    for (reuse, counts) in [("never", ["1", "1", "1"]), ("always", ["1", "2", "3"])] {
        let http = json!({ "key_from": "path:1", "reuse": reuse });
        deploy(&client, "web-faulty", json!({ "http": http, "grants": ["http:a.example"] })).await;
        for count in counts {
            let reply = client.send("GET", "/w/web-faulty/count", &[], b"").await;
            assert_eq!((reply.status, reply.text()), (200, count), "{reuse}");
        }
    }
    let listed = client.admin("GET", "/v1/workloads", b"").await.json();
    assert_eq!(listed[0]["http"], json!({ "key_from": "path:1", "reuse": "always", "bodies": "whole" }));
    assert_eq!(listed[0]["grants"], json!(["http:a.example"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_request_leaves_nothing_and_a_repeated_one_happens_once() {
    let world = World::start(2).await;
    let client = world.client(0);
    deploy(&client, "web-kv", json!({ "http": { "key_from": "path:1" } })).await;
    let path = format!("/w/web-kv/{}", key_of(&world, 1));
    let failed = client.send("PUT", &path, &[("x-fail", "503")], b"never").await;
    assert_eq!(failed.status, 503);
    assert_eq!(client.send("GET", &path, &[], b"").await.status, 404);

    let key = [("idempotency-key", "once")];
    let first = client.send("PUT", &path, &key, b"1").await;
    assert_eq!((first.status, first.headers.get("idempotent-replayed")), (204, None));
    client.send("PUT", &path, &[], b"2").await;
    let again = client.send("PUT", &path, &key, b"1").await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (204, "true"));
    assert_eq!(client.send("GET", &path, &[], b"").await.text(), "2");
    client.send("PUT", &format!("{path}?other"), &key, b"1").await.problem(400, "bad-request", "no");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_fails_is_answered_for_and_the_next_request_is_served() {
    let world = World::start(2).await;
    let client = world.client(0);
    let besides = json!({
        "http": { "key_from": "query:key" },
        "grants": ["http:a.example"],
        "limits": { "deadline_ms": 100, "reply_bytes": 100_000 },
    });
    deploy(&client, "web-faulty", besides).await;
    for owner in 0..2 {
        let key = key_of(&world, owner);
        for (path, status, code) in
            [("trap", 500, "guest-trap"), ("spin", 504, "guest-timeout"), ("large", 500, "guest-limit")]
        {
            let reply = client.send("GET", &format!("/w/web-faulty/{path}?key={key}"), &[], b"").await;
            reply.problem(status, code, "rolled-back");
        }
        let silent = client.send("GET", &format!("/w/web-faulty/silent?key={key}"), &[], b"").await;
        let problem = silent.problem(502, "no-response", "rolled-back");
        assert_eq!(problem["detail"], "the component gave no response");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_to_this_machine_whatever_is_granted() {
    let world = World::start(1).await;
    let client = world.client(0);
    let grants = ["http:127.0.0.1", "http:localhost", "http:[::1]", "http:0.0.0.0", "http:169.254.1.1"];
    let besides = json!({ "http": { "key_from": "path:1" }, "grants": grants });
    deploy(&client, "web-faulty", besides).await;
    let port = world.address(0).port();
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "169.254.1.1"] {
        let url = format!("http://{host}:{port}/healthz");
        let reply = client.send("POST", "/w/web-faulty/fetch", &[], url.as_bytes()).await;
        assert_eq!(reply.text(), "error: ErrorCode::DestinationIpProhibited", "{host}");
    }
    let reply = client.send("POST", "/w/web-faulty/fetch", &[], b"http://b.example/").await;
    assert_eq!(reply.text(), "error: ErrorCode::HttpRequestDenied");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_interface_is_served_as_the_older_one() {
    let world = World::start(2).await;
    deploy(&world.client(0), "web-new", json!({ "http": { "key_from": "path:1" } })).await;
    let path = format!("/w/web-new/{}", key_of(&world, 1));
    for (taker, count) in [(0, "1\ntea"), (1, "2\ntea"), (0, "3\ntea")] {
        let reply = world.client(taker).send("POST", &path, &[], b"tea").await;
        assert_eq!((reply.status, reply.text()), (200, count));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_memory_grows_is_let_go_of_before_a_request_fails_by_it() {
    let world = World::start(1).await;
    let client = world.client(0);
    let besides = json!({
        "http": { "key_from": "path:1", "reuse": "always" },
        "grants": ["http:a.example"],
        "limits": { "memory_bytes": 16 << 20 },
    });
    deploy(&client, "web-faulty", besides).await;
    let mut lives = 0;
    for _ in 0..100 {
        let reply = client.send("GET", "/w/web-faulty/hoard", &[], b"").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        lives += u32::from(reply.text() == "1");
    }
    assert!((7..20).contains(&lives), "{lives} lives of some ten requests each");
    assert_eq!(world.server(0).metrics.instances_recycled.get(), u64::from(lives) - 1);
}
