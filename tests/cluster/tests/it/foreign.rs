//! Components that were not written for Shardloom run as they are: examples of published crates, built by `cargo xtask guests`.

use anyhow::{Result, ensure};
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, check};

/// What the bindings' own examples say, whatever they are asked.
const HELLO: &str = "Hello, WASI!";

/// Deploys one of them under a name, each of whose paths is a key.
fn deploy(cluster: &Cluster, guest: &str, name: &str) -> Result<()> {
    cluster.deploy(guest, name, &["--key-from", "whole-path"])
}

/// What a component answers by each node: the same from all.
fn says(cluster: &Cluster, path: &str, body: &str, expected: (u16, &str)) -> Result<()> {
    for taker in 0..cluster.size() {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let reply = cluster.ask(taker, method, path).body(body).send()?;
        ensure!((reply.status, reply.text().as_str()) == expected, "{path} by node {taker}: {reply:?}");
        ensure!(reply.stamp().is_some(), "{path}: no word of who answered: {reply:?}");
    }
    Ok(())
}

#[test]
fn a_server_that_was_written_for_other_hosts_runs_unchanged() {
    check(Options::of(3), |cluster| {
        deploy(cluster, "foreign-wstd", "server")?;
        says(cluster, "/w/server/", "", (200, "Hello, wasi:http/proxy world!\n"))?;
        says(cluster, "/w/server/echo", "there and back", (200, "there and back"))?;
        says(cluster, "/w/server/no/such/path", "", (404, ""))?;
        for taker in 0..cluster.size() {
            // It goes on after its head: waits for a clock, and writes the body then.
            let reply = cluster.ask(taker, "GET", "/w/server/wait-body").send()?.good()?;
            let text = reply.text();
            ensure!(text.starts_with("slept for ") && text.ends_with(" millis\n"), "{text}");
            let reply = cluster.ask(taker, "GET", "/w/server/stream-body").send()?.good()?;
            ensure!(reply.text().lines().count() == 5, "{}", reply.text());

            let asked = cluster.ask(taker, "GET", "/w/server/echo-headers").header("x-sent", "1");
            ensure!(asked.send()?.header("x-sent") == "1", "the header did not come back");
            let asked = cluster.ask(taker, "GET", "/w/server/response-status");
            let reply = asked.header("x-response-status", "418").send()?;
            ensure!(reply.status == 418, "{reply:?}");
            let reply = cluster.ask(taker, "GET", "/w/server/response-fail").send()?;
            ensure!((reply.status, reply.code().as_str()) == (502, "no-response"), "{reply:?}");
        }
        Ok(())
    });
}

#[test]
fn the_examples_of_the_bindings_run_unchanged() {
    check(Options::of(3), |cluster| {
        for (guest, name) in [("foreign-wasip2", "old"), ("foreign-wasip3", "new")] {
            deploy(cluster, guest, name)?;
            for path in ["", "a", "b/c?d"] {
                says(cluster, &format!("/w/{name}/{path}"), "", (200, HELLO))?;
                says(cluster, &format!("/w/{name}/{path}"), "unread", (200, HELLO))?;
            }
        }
        Ok(())
    });
}
