//! What happens and who did it, as clients of a node are told.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use shardloom_cluster::control::{EVENTS_MAX, Event};

use crate::client::Client;
use crate::waiting::until;
use crate::world::{ADMIN_TOKEN, World};

/// Streams that a node serves at once.
const STREAMS_MAX: usize = 64;

fn undeployed(name: &str) -> Event {
    Event::Undeployed { name: name.to_owned() }
}

/// The events of a stream: id, type and what it says.
fn read(text: &str) -> Vec<(u64, String, Value)> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {block:?}")).to_owned()
    };
    let blocks = text.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':'));
    blocks
        .map(|block| {
            let data: Value = serde_json::from_str(&field(block, "data: ")).unwrap();
            assert_eq!(data["index"].to_string(), field(block, "id: "));
            assert_eq!(data["type"], field(block, "event: "));
            (field(block, "id: ").parse().unwrap(), field(block, "event: "), data)
        })
        .collect()
}

async fn kept(client: &Client, query: &str) -> Vec<(u64, String, Value)> {
    let reply = client.admin("GET", &format!("/v1/events?follow=false{query}"), b"").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/event-stream"));
    read(reply.text())
}

/// Follows by hand, and returns the head's first line and what comes after the head.
fn follow(address: SocketAddr, query: &str) -> (String, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(
        stream,
        "GET /v1/events?{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\r\n"
    )
    .unwrap();
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the head breaks off: {first}");
    }
    (first, reader)
}

/// The next line of a stream that holds an event.
fn next_data(reader: &mut BufReader<TcpStream>) -> Value {
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the stream has ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_again_with_the_last_index_misses_nothing_and_gets_nothing_twice() {
    let world = World::start(2).await;
    let at: Vec<u64> = ["a", "b", "c"].map(|name| world.happen(undeployed(name))).into();
    let client = world.client(0);
    let all = kept(&client, "").await;
    assert_eq!(all.iter().map(|(index, ..)| *index).collect::<Vec<_>>(), at);
    assert_eq!(all[1].2, json!({ "index": at[1], "type": "undeployed", "name": "b" }));

    let elsewhere = world.client(1);
    assert_eq!(kept(&elsewhere, &format!("&since={}", at[0])).await, all[1..]);
    let token = format!("Bearer {ADMIN_TOKEN}");
    let last = at[1].to_string();
    // The header says how far a client has come that repeats the query that it began with.
    let headers = [("authorization", token.as_str()), ("last-event-id", last.as_str())];
    let reply = elsewhere.send("GET", "/v1/events?follow=false&since=0", &headers, b"").await;
    assert_eq!(read(reply.text()), all[2..]);

    let odd = [("authorization", token.as_str()), ("last-event-id", "x")];
    elsewhere.send("GET", "/v1/events", &odd, b"").await.problem(400, "bad-request", "no");
    client.admin("GET", "/v1/events?since=x", b"").await.problem(400, "bad-request", "no");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_away_for_too_long_is_told_of_the_gap() {
    let world = World::start(1).await;
    let first = world.happen(undeployed("first"));
    for _ in 0..EVENTS_MAX + 5 {
        world.happen(undeployed("w"));
    }
    let client = world.client(0);
    let resumed = kept(&client, &format!("&since={first}")).await;
    let (index, kind, about) = &resumed[0];
    assert_eq!((kind.as_str(), about["since"].as_u64()), ("gap", Some(first)));
    assert_eq!(resumed[1].0, index + 1, "all after the gap is there");
    assert_eq!(resumed.len(), EVENTS_MAX + 1);
    let fresh = kept(&client, "").await;
    assert_eq!(fresh, resumed[1..], "who names no index has missed nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_they_happen_until_the_node_ends() {
    let world = World::start(1).await;
    world.happen(undeployed("a"));
    let address = world.address(0);
    let (head, mut reader) = tokio::task::spawn_blocking(move || follow(address, "since=0")).await.unwrap();
    assert!(head.contains("200"), "{head}");
    let (first, mut reader) =
        tokio::task::spawn_blocking(move || (next_data(&mut reader), reader)).await.unwrap();
    assert_eq!(first["name"], "a");
    world.happen(undeployed("b"));
    let (second, mut reader) =
        tokio::task::spawn_blocking(move || (next_data(&mut reader), reader)).await.unwrap();
    assert_eq!(second["name"], "b");
    world.server(0).finish(Duration::from_secs(20)).await;
    let rest = tokio::task::spawn_blocking(move || {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut reader, &mut rest).map(|_| rest)
    });
    assert!(!rest.await.unwrap().unwrap().contains("data:"), "nothing else has happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_so_many_follow_a_node() {
    let world = World::start(1).await;
    let address = world.address(0);
    let mut streams = tokio::task::spawn_blocking(move || {
        (0..STREAMS_MAX).map(|_| follow(address, "since=0")).collect::<Vec<_>>()
    })
    .await
    .unwrap();
    assert!(streams.iter().all(|(head, _)| head.contains("200")));
    world.client(0).admin("GET", "/v1/events", b"").await.problem(503, "overloaded", "no");
    drop(streams.pop());
    let server = world.server(0);
    until("the one that left has made room", || {
        // What is written to a connection that is gone is how the node notices.
        world.happen(undeployed("w"));
        server.metrics.connections.get() < STREAMS_MAX as i64
    })
    .await;
    assert!(!kept(&world.client(0), "").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_names_the_token_what_was_done_and_what_was_refused() {
    let world = World::start(2).await;
    let client = world.client(0);
    let wanted = json!({ "name": "ci", "role": "deployer" }).to_string();
    let made = client.admin("POST", "/v1/admin/access", wanted.as_bytes()).await.json();
    let secret = made["token"].as_str().unwrap();
    let bearer = format!("Bearer {secret}");
    let as_ci = [("authorization", bearer.as_str())];
    let undeploy = client.send("DELETE", "/v1/workloads/none", &as_ci, b"").await;
    undeploy.problem(404, "unknown-workload", "no");
    client.send("DELETE", "/v1/admin/access/ci", &as_ci, b"").await.problem(403, "forbidden", "no");
    client.admin("POST", "/v1/admin/step-down", b"").await.json();

    let reply = world.client(1).admin("GET", "/v1/audit", b"").await;
    assert!(!reply.text().contains(secret), "the secret is nowhere: {}", reply.text());
    let audit = reply.json();
    let told: Vec<(&str, &str)> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["by"].as_str().unwrap(), entry["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("founder", "done"), ("ci", "refused"), ("founder", "done")], "{audit}");
    let refused = &audit["entries"][1];
    assert!(refused["reason"].as_str().unwrap().contains("none"), "{refused}");
    assert!(
        refused["at"].as_str().unwrap().starts_with("1970-01-01T"),
        "as the tests' log dates it: {refused}"
    );
    let since = format!("/v1/audit?since={}&tail=1", refused["index"].as_u64().unwrap() - 1);
    let newest = client.admin("GET", &since, b"").await.json();
    assert_eq!(newest["entries"].as_array().unwrap().len(), 1);
    assert_eq!(newest["entries"][0], audit["entries"][2]);
    assert_eq!(world.audit().len(), 3);
}
