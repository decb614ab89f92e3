//! Components come in through any node, and bad ones do not come in at all.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardloom_harness::cluster::{Cluster, DEPLOY_MAX, check};
use shardloom_harness::{Options, artefacts, raw};

/// A core module with nothing in it: magic and version.
const CORE_MODULE: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];
/// The digest of nothing that exists.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Writes bytes to a file of the cluster, to be deployed.
fn file(cluster: &Cluster, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = cluster.directory().join(name);
    std::fs::write(&path, bytes)?;
    Ok(path)
}

/// What the command line says about a deploy that must fail.
fn refusal(cluster: &Cluster, path: &std::path::Path) -> Result<String> {
    let output = cluster.cli_output(&["deploy", &path.display().to_string(), "--name", "bad"])?;
    ensure!(!output.status.success(), "the deploy of {} went through", path.display());
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Nothing has changed: the old workload works on every node, there is no other, and all nodes live.
fn unharmed(cluster: &mut Cluster) -> Result<()> {
    let workloads: Vec<Value> = cluster.admin(0, "GET", "/v1/workloads").send()?.good()?.json()?;
    ensure!(workloads.len() == 1 && workloads[0]["name"] == "words", "{workloads:?}");
    for index in 0..cluster.size() {
        cluster.node_mut(index).check()?;
        cluster.call(index, "words", "still", "get", b"")?.good()?;
    }
    Ok(())
}

#[test]
fn bad_components_are_refused_with_a_reason_and_change_nothing() {
    check(Options::of(3), |cluster| {
        cluster.deploy("word-count", "words", &[])?;

        let said = refusal(cluster, &file(cluster, "core.wasm", &CORE_MODULE)?)?;
        ensure!(said.contains("module") && said.contains("component"), "a core module: {said}");
        let said = refusal(cluster, &file(cluster, "garbage.wasm", b"this is no wasm at all")?)?;
        ensure!(said.contains("component"), "garbage: {said}");
        let said = refusal(cluster, &artefacts::guest("needs-clock")?)?;
        ensure!(said.contains("shardloom:needs-clock/clock"), "the import is not named: {said}");
        let whole = std::fs::read(artefacts::guest("word-count")?)?;
        refusal(cluster, &file(cluster, "half.wasm", &whole[..whole.len() / 2])?)?;
        let said = refusal(cluster, &artefacts::guest("by-tenant")?)?;
        ensure!(!said.is_empty(), "a shard function is no handler");
        unharmed(cluster)
    });
}

#[test]
fn an_upload_must_be_whole_and_match_its_digest() {
    check(Options::of(2), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        let whole = std::fs::read(artefacts::guest("faulty")?)?;
        let path = format!("/v1/components/{NO_DIGEST}");

        let reply = cluster.admin(1, "PUT", &path).body(whole.clone()).within(DEPLOY_MAX).send()?;
        ensure!((400..500).contains(&reply.status), "wrong digest: {} {}", reply.status, reply.text());
        let head = format!(
            "PUT {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
            cluster.token(),
            whole.len() + 1_000_000
        );
        // Less is sent than was promised, then the connection is dropped.
        raw::send(cluster.node(0).addresses.http, head.as_bytes(), 5_000, Duration::from_secs(2))?;
        let reply = cluster.put_workload(0, "bad", NO_DIGEST)?;
        ensure!((400..500).contains(&reply.status), "unknown digest: {} {}", reply.status, reply.text());
        let reply = cluster.admin(0, "PUT", "/v1/components/not-a-digest").body(whole).send()?;
        ensure!((400..500).contains(&reply.status), "no digest: {} {}", reply.status, reply.text());
        unharmed(cluster)
    });
}

#[test]
fn a_workload_that_is_gone_is_unknown_on_every_node() {
    check(Options::of(3), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        cluster.call(2, "words", "key", "", b"")?.good()?;
        cluster.cli(&["undeploy", "words"])?;
        for index in 0..3 {
            cluster.wait("the workload to be unknown", Duration::from_secs(10), |cluster| {
                let reply = cluster.call(index, "words", "key", "", b"")?;
                ensure!(reply.code() == "unknown-workload", "{} {}", reply.status, reply.text());
                Ok(())
            })?;
        }
        Ok(())
    });
}

#[test]
fn a_node_that_joins_later_runs_what_was_deployed_before() {
    check(Options::of(2), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        let late = cluster.join()?;
        cluster.wait_for_members(3, Duration::from_secs(60))?;
        let id = cluster.id_of(late)?;
        cluster.wait("the new node to run calls", Duration::from_secs(60), |cluster| {
            let shards = cluster.shards(0)?;
            ensure!(shards.iter().any(|shard| shard.owner.as_ref() == Some(&id)), "it owns nothing");
            let answered = (0..200).any(|key| {
                let reply =
                    cluster.call(late, "words", &format!("k{key}"), "", b"").and_then(|reply| reply.good());
                reply.ok().and_then(|reply| reply.stamp()).is_some_and(|stamp| stamp.node == id)
            });
            ensure!(answered, "it answers nothing");
            Ok(())
        })
    });
}

#[test]
fn every_fault_of_a_guest_is_its_callers_alone() {
    check(Options::of(3), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        cluster.deploy("faulty", "faulty", &[])?;
        for (method, statuses, codes) in [
            ("trap", [500, 500], ["guest-trap", "guest-trap"]),
            ("panic", [500, 500], ["guest-trap", "guest-trap"]),
            ("loop", [504, 500], ["guest-timeout", "guest-limit"]),
            ("alloc", [500, 500], ["guest-limit", "guest-trap"]),
            ("recurse", [500, 500], ["guest-limit", "guest-trap"]),
            ("big-reply", [500, 500], ["guest-limit", "guest-trap"]),
            ("many-headers", [500, 500], ["guest-limit", "guest-trap"]),
            ("log-flood", [504, 500], ["guest-timeout", "guest-limit"]),
            ("invalid", [400, 400], ["invalid", "invalid"]),
            ("not-found", [404, 404], ["not-found", "not-found"]),
            ("conflict", [409, 409], ["conflict", "conflict"]),
            ("failed", [422, 422], ["failed", "failed"]),
        ] {
            let reply = cluster.call(0, "faulty", "key", method, b"")?;
            let said = || format!("{method}: {} {}", reply.status, reply.text());
            ensure!(statuses.contains(&reply.status) && codes.contains(&reply.code().as_str()), said());
            let problem: Value = reply.json().with_context(said)?;
            ensure!(problem["executed"] == "rolled-back", said());
            // The same shard answers the next call as if nothing had been.
            cluster.call(1, "faulty", "key", "ok", b"fine")?.good().with_context(said)?;
            cluster.call(2, "words", "neighbour", "", b"")?.good().with_context(said)?;
        }
        for index in 0..3 {
            cluster.node_mut(index).check()?;
        }
        ensure!(cluster.status(0)?.nodes.iter().all(|node| node.state == "live"), "a node is not live");
        Ok(())
    });
}
