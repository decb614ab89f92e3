//! Requests, good and bad, through any node.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shardloom_harness::cluster::{call_path, check};
use shardloom_harness::http::Shard;
use shardloom_harness::{Options, Witness, raw};

/// How long a refusal may take that should come at once.
const REFUSAL_MAX: Duration = Duration::from_secs(20);
/// One gigabyte, as somebody might send it.
const GIGABYTE: u64 = 1_000_000_000;
/// How much of it may have gone out before the refusal was read: what fits into buffers on the way.
const UNREAD_MAX: u64 = 64 * 1024 * 1024;

#[test]
fn calls_through_every_node_run_on_the_owner_and_nowhere_else() {
    check(Options::of(3), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        let owners: BTreeMap<u32, String> = cluster
            .shards(0)?
            .into_iter()
            .map(|Shard { shard, owner, .. }| Ok((shard, owner.context("no owner")?)))
            .collect::<Result<_>>()?;
        let mut witness = Witness::default();
        for round in 1..=3_u32 {
            for key in 0..60 {
                let key = format!("key-{key}");
                let through = (round as usize + key.len()) % 3;
                let reply = cluster.call(through, "words", &key, "", b"")?.good()?;
                witness.note(&reply)?;
                ensure!(reply.text().trim() == round.to_string(), "{key}, round {round}: {}", reply.text());
                let stamp = reply.stamp().context("the reply does not say who answered")?;
                ensure!(owners.get(&stamp.shard) == Some(&stamp.node), "{stamp:?} is not the owner");
                ensure!(!reply.header("shardloom-workload-version").is_empty(), "no version in the reply");
            }
        }
        witness.verdict()
    });
}

#[test]
fn any_key_that_is_text_is_a_key() {
    check(Options::of(2), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        for key in ["a/b/c", "..", ".", "süß 蟹", "a?b=c#d", "100%", " ", "%2e%2e", "+"] {
            for through in 0..2 {
                let reply = cluster.call(through, "words", key, "add", b"1")?.good().context(key)?;
                ensure!(reply.text().trim() == (through + 1).to_string(), "{key:?}: {}", reply.text());
            }
        }
        let reply = cluster.ask(0, "POST", "/v1/call/words/%FF%FE").send()?;
        ensure!(reply.status == 400 && reply.code() == "bad-request", "{}: {}", reply.status, reply.text());
        Ok(())
    });
}

#[test]
fn requests_that_cannot_be_served_are_refused_with_a_reason() {
    check(Options::of(2), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        for (method, path, status, code) in [
            ("POST", "/v1/call/nobody/key", 404, "unknown-workload"),
            ("GET", "/v1/nothing/here", 404, "unknown-route"),
            ("DELETE", "/v1/call/words/key", 405, "method-not-allowed"),
        ] {
            let reply = cluster.admin(1, method, path).send()?;
            ensure!(
                reply.status == status && reply.code() == code,
                "{path}: {} {}",
                reply.status,
                reply.text()
            );
            ensure!(reply.header("content-type").starts_with("application/problem+json"), "{path}");
        }
        for (method, body, status) in [("add", "x", 400), ("no-such-method", "", 400)] {
            let reply = cluster.call(0, "words", "key", method, body.as_bytes())?;
            ensure!(reply.status == status, "{method} {body}: {} {}", reply.status, reply.text());
        }
        // One line of 100 KB: whatever refuses it, HTTP parser or router, must say so and live on.
        let head =
            format!("POST {} HTTP/1.1\r\nhost: x\r\n\r\n", call_path("words", &"k".repeat(100 * 1024), ""));
        let reply = raw::send(cluster.node(0).addresses.http, head.as_bytes(), 0, REFUSAL_MAX)?;
        ensure!(matches!(reply.status, Some(413 | 414 | 431)), "a key of 100 KB: {reply:?}");
        let reply = cluster.call(0, "words", &"k".repeat(5 * 1024), "", b"")?;
        ensure!(reply.code() == "too-large", "a key of 5 KB: {} {}", reply.status, reply.text());
        cluster.call(1, "words", "key", "", b"")?.good()?;
        Ok(())
    });
}

#[test]
fn a_body_of_a_gigabyte_is_refused_without_being_read() {
    check(Options::of(2), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        let path = call_path("words", "key", "add");
        let address = cluster.node(0).addresses.http;
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n");
        let told = format!("{head}content-length: {GIGABYTE}\r\n\r\n");
        let reply = raw::send(address, told.as_bytes(), GIGABYTE, REFUSAL_MAX)?;
        ensure!(reply.status == Some(413), "{reply:?}");
        ensure!(reply.body_bytes_sent < UNREAD_MAX, "{} bytes were taken", reply.body_bytes_sent);

        // A chunked body does not say how long it is: it is refused when it has become too long.
        let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n40000000\r\n");
        let reply = raw::send(address, chunked.as_bytes(), GIGABYTE, REFUSAL_MAX)?;
        ensure!(reply.body_bytes_sent < UNREAD_MAX, "{} bytes were taken", reply.body_bytes_sent);
        ensure!(matches!(reply.status, Some(413) | None), "{reply:?}");
        cluster.call(0, "words", "key", "", b"")?.good()?;
        Ok(())
    });
}

#[test]
fn noise_on_every_port_harms_nobody() {
    check(Options::of(2), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        for index in 0..2 {
            let addresses = cluster.node(index).addresses;
            raw::noise(addresses.peer, 2_000)?;
            raw::noise(addresses.gossip, 2_000)?;
            for bytes in
                [b"\x16\x03\x01\x02\x00garbage".as_slice(), b"\0\0\0\0", b"GET\r\n\r\n", &[0xFF; 4096]]
            {
                raw::send(addresses.http, bytes, 0, Duration::from_secs(2))?;
            }
        }
        for index in 0..2 {
            cluster.node_mut(index).check()?;
            cluster.call(index, "words", "key", "", b"")?.good()?;
        }
        ensure!(cluster.status(0)?.nodes.iter().all(|node| node.state == "live"), "a node is not live");
        Ok(())
    });
}
