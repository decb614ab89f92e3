//! The HTTP contract, without any workload.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use shardloom::server::http::operation::Verb;
use shardloom::server::http::routes::table;
use shardloom::server::limits::{Limits, Timings};

use crate::waiting::until;
use crate::world::{ADMIN_TOKEN, SHARDS, World};

/// Sends bytes as they are, and returns what comes back until the node closes.
async fn raw(world: &World, bytes: Vec<u8>) -> String {
    let address = world.address(0);
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        String::from_utf8(reply).unwrap()
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_needs_no_token() {
    let world = World::start(1).await;
    let client = world.client(0);
    assert_eq!(client.send("GET", "/healthz", &[], b"").await.status, 200);
    assert_eq!(client.send("GET", "/readyz", &[], b"").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_described_operation_exists_and_nothing_else_does() {
    let world = World::start(1).await;
    let client = world.client(0);
    let table = table(world.server(0));
    let description = client.admin("GET", "/v1/openapi.json", b"").await.json();
    for operation in table.operations() {
        let mut path = operation.path.replace(['{', '}'], "");
        if path == "/v1/events" {
            // It would go on for as long as the node does.
            path.push_str("?follow=false");
        }
        let reply = client.admin(&operation.verb.name().to_uppercase(), &path, b"").await;
        let code =
            serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap_or_default()["code"].clone();
        assert!(code != "unknown-route" && code != "method-not-allowed", "{operation:?}: {reply:?}");
        if operation.verb == Verb::Any {
            // Which methods there are is for the component to say.
            continue;
        }
        client.admin("PATCH", &path, b"").await.problem(405, "method-not-allowed", "no");
    }
    for path in ["/", "/v1", "/v1/call/w", "/v1/call/w/a/b", "/v1/call//k", "/v1/nodes/x"] {
        client.admin("POST", path, b"").await.problem(404, "unknown-route", "no");
    }
    let paths = description["paths"].as_object().unwrap();
    for operation in table.operations() {
        for method in operation.verb.methods() {
            assert!(
                paths[operation.path][*method].is_object(),
                "{method} of {} is not described",
                operation.path
            );
        }
    }
    let described: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
    let there: usize = table.operations().iter().map(|operation| operation.verb.methods().len()).sum();
    assert_eq!(described, there);
    assert!(
        paths["/w/{workload}/{path}"]["put"]["responses"]["307"].is_object(),
        "who streams may send its callers elsewhere"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_lease_or_about_to_end_is_not_ready() {
    let world = World::start(1).await;
    let client = world.client(0);
    world.lease(0, false);
    assert_eq!(client.send("GET", "/readyz", &[], b"").await.status, 503);
    world.lease(0, true);
    assert_eq!(client.send("GET", "/readyz", &[], b"").await.status, 200);
    world.server(0).begin_shutdown();
    let reply = client.send("GET", "/readyz", &[], b"").await;
    assert_eq!((reply.status, reply.header("connection")), (503, "close"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_the_cluster_reads_as_the_contract_says() {
    let world = World::start(2).await;
    let status = world.client(1).admin("GET", "/v1/status", b"").await.json();
    assert_eq!(status["cluster_id"], "0000000000000007");
    assert_eq!(status["leader"], "0000000000000001");
    assert_eq!(status["epoch"], 1);
    assert_eq!(status["shards"], serde_json::json!({ "total": SHARDS, "served": SHARDS, "unavailable": 0 }));
    let node = &status["nodes"][1];
    assert_eq!(node["state"], "live");
    assert_eq!(node["role"], "voter");
    assert_eq!(node["http"], world.address(1).to_string());
    assert_eq!(node["shards_owned"], SHARDS / 2);
    let nodes = world.client(0).admin("GET", "/v1/nodes", b"").await.json();
    assert_eq!(nodes, status["nodes"]);

    let shards = world.client(0).admin("GET", "/v1/shards", b"").await.json();
    assert_eq!(shards.as_array().unwrap().len(), SHARDS as usize);
    assert_eq!(
        shards[1],
        serde_json::json!({
            "shard": 1, "owner": "0000000000000002", "epoch": 1, "state": "served", "weight": 1,
            "replicas": ["0000000000000002", "0000000000000001"],
        })
    );
    let endpoints = world.client(0).admin("GET", "/v1/endpoints", b"").await.json();
    assert_eq!(endpoints.as_array().unwrap().len(), 6);
    assert_eq!(world.client(0).admin("GET", "/v1/workloads", b"").await.json(), serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_with_a_reason() {
    let world = World::start(1).await;
    let client = world.client(0);
    client.call("nothing", "k", "", b"").await.problem(404, "unknown-workload", "no");
    client.call("nothing", "%ff", "", b"").await.problem(400, "bad-request", "no");
    client.call("nothing", &"k".repeat(4097), "", b"").await.problem(414, "too-large", "no");
    let twisted = [("shardloom-timeout-ms", "soon")];
    world.client(0).deploy("faulty").await;
    client.call_with("faulty", "k", "", &twisted, b"").await.problem(400, "bad-request", "no");
    client.send("POST", "/v1/call/faulty/k?m=x", &[], b"").await.problem(400, "bad-request", "no");
    let reply = client.admin("PUT", "/v1/workloads/w", b"{\"component\":\"x\"}").await;
    let detail = reply.problem(400, "bad-request", "no")["detail"].to_string();
    assert!(detail.contains("64 hexadecimal digits"), "{detail}");
    client.admin("POST", "/v1/admin/nodes/xyz/drain", b"").await.problem(400, "bad-request", "no");
    let unknown = "/v1/admin/nodes/00000000000000ff/drain";
    client.admin("POST", unknown, b"").await.problem(409, "refused", "no");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_100_kb_and_endless_headers_and_garbage_are_told_so() {
    let world = World::start(1).await;
    let long = format!("POST /v1/call/w/{} HTTP/1.1\r\nhost: x\r\n\r\n", "k".repeat(100_000));
    let reply = raw(&world, long.into_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 4") && reply.contains("\"code\":\"too-large\""), "{reply}");

    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    let reply = raw(&world, many.into_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 431") && reply.contains("\"code\":\"too-large\""), "{reply}");

    let reply = raw(&world, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 garbage\r\n\r\n".to_vec()).await;
    assert!(reply.contains("\"code\":\"bad-request\""), "{reply}");
    assert_eq!(world.client(0).send("GET", "/healthz", &[], b"").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_1_gb_is_refused_before_it_is_read() {
    let world = World::start(1).await;
    world.client(0).deploy("faulty").await;
    let head = "POST /v1/call/faulty/k HTTP/1.1\r\nhost: x\r\ncontent-length: 1073741824\r\n\r\n";
    let address = world.address(0);
    let reply = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // A client that does not look before it has sent a good part still gets to see the answer.
        let part = vec![0; 1 << 20];
        for _ in 0..32 {
            stream.write_all(&part).unwrap();
        }
        let mut reply = [0; 4096];
        let length = stream.read(&mut reply).unwrap();
        String::from_utf8(reply[..length].to_vec()).unwrap()
    })
    .await
    .unwrap();
    assert!(reply.starts_with("HTTP/1.1 413") && reply.contains("\"code\":\"too-large\""), "{reply}");

    let chunk = "100000\r\n".to_owned() + &"x".repeat(1 << 20) + "\r\n";
    let chunked = "POST /v1/call/faulty/k HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        .to_owned()
        + &chunk.repeat(9);
    let reply = raw(&world, chunked.into_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 413"), "{}", &reply[..200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_bound_wait_and_slow_heads_are_cut_off() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let timings = Timings { header_read_ms: 300, ..Timings::default() };
    let world = World::start_with(1, limits, timings).await;
    let idle: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(world.address(0)).unwrap()).collect();
    until("both are open", || world.server(0).metrics.connections.get() == 2).await;
    // The third is served once the two have been cut off for sending nothing.
    assert_eq!(world.client(0).send("GET", "/healthz", &[], b"").await.status, 200);
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn administration_answers_as_the_contract_says() {
    let world = World::start(3).await;
    let client = world.client(1);
    let token = client.admin("POST", "/v1/admin/tokens", b"").await.json();
    assert_eq!(token["expires_in_s"], 900);
    assert!(token["token"].is_string());
    let stepped = client.admin("POST", "/v1/admin/step-down", b"").await.json();
    assert_eq!(stepped, serde_json::json!({ "leader": "0000000000000003" }));
    let drained = client.admin("POST", "/v1/admin/nodes/0000000000000002/drain", b"").await.json();
    assert_eq!(drained, serde_json::json!({ "id": "0000000000000002", "state": "draining" }));
    let remove = "/v1/admin/nodes/0000000000000002/remove?force=false";
    let detail = client.admin("POST", remove, b"").await.problem(409, "refused", "no")["detail"].to_string();
    assert!(detail.contains("orphan"), "{detail}");
    client.admin("DELETE", "/v1/workloads/none", b"").await.problem(404, "unknown-workload", "no");
    world.change(|view| view.leader = None);
    let reply = client.admin("POST", "/v1/admin/tokens", b"").await;
    assert_eq!(reply.problem(503, "no-leader", "no")["retryable"], true);
    assert_eq!(reply.header("retry-after"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_calls_by_workload_and_outcome_and_unknown_names_not_at_all() {
    let world = World::start(1).await;
    let client = world.client(0);
    client.deploy("faulty").await;
    assert_eq!(client.call("faulty", "k", "ok", b"").await.status, 200);
    client.call("faulty", "k", "invalid", b"").await;
    client.call("made-up", "k", "", b"").await;
    let text = client.admin("GET", "/metrics", b"").await;
    let text = text.text();
    assert!(text.contains(r#"shardloom_call_seconds_count{workload="faulty",outcome="ok"} 1"#), "{text}");
    assert!(
        text.contains(r#"shardloom_call_seconds_count{workload="faulty",outcome="invalid"} 1"#),
        "{text}"
    );
    assert!(text.contains("shardloom_instances 1"), "{text}");
    assert!(!text.contains("made-up"), "{text}");
    assert!(!text.contains(ADMIN_TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_finishes_answers_what_is_under_way_and_takes_nothing_new() {
    let world = World::start(1).await;
    let client = world.client(0);
    client.deploy("faulty").await;
    let slow = {
        let client = client.clone();
        async move { client.call("faulty", "k", "slow", b"").await }
    };
    let (reply, ()) = tokio::join!(slow, async {
        until("the call runs", || world.in_flight(0) == 1).await;
        world.server(0).finish(Duration::from_secs(20)).await;
        assert!(TcpStream::connect(world.address(0)).is_err());
    });
    assert_eq!((reply.status, reply.header("connection")), (200, "close"));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_hold_up_the_end() {
    let world = World::start(1).await;
    let idle = TcpStream::connect(world.address(0)).unwrap();
    until("it is open", || world.server(0).metrics.connections.get() == 1).await;
    let started = std::time::Instant::now();
    world.server(0).finish(Duration::from_secs(20)).await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    drop(idle);
}
