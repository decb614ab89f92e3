//! Quarantine: a node that ends again and again owns nothing until somebody releases it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, READY_MAX, check};
use shardloom_harness::http::NodeState;

use crate::upgrading::wait_for_level_2;

/// How long until what has been done shows.
const SHOWN_MAX: Duration = Duration::from_secs(60);
/// Outages after which a node must have been quarantined: four in the eyes of one leader, and there may be several.
const OUTAGES_MAX: u32 = 12;

/// How a node stands, as the node of that number sees it.
fn seen(cluster: &Cluster, by: usize, id: &str) -> Result<NodeState> {
    cluster.status(by)?.nodes.into_iter().find(|node| node.id == id).context("it is no member")
}

fn wait_for(
    cluster: &Cluster,
    by: usize,
    id: &str,
    what: &str,
    is_so: fn(&NodeState) -> bool,
) -> Result<NodeState> {
    cluster.wait(what, SHOWN_MAX, |cluster| {
        let node = seen(cluster, by, id)?;
        ensure!(is_so(&node), "{node:?}");
        Ok(node)
    })
}

/// How many shards have a replica there.
fn held(cluster: &Cluster, by: usize, id: &str) -> Result<usize> {
    Ok(cluster.shards(by)?.iter().filter(|shard| shard.replicas.iter().any(|node| node == id)).count())
}

#[test]
fn a_node_that_is_killed_again_and_again_is_quarantined_and_owns_nothing_until_it_is_released() {
    check(Options::of(3), |cluster| {
        wait_for_level_2(cluster)?;
        cluster.deploy("counter", "counter", &[])?;
        let leader = cluster.leader()?;
        let victim = (leader + 1) % 3;
        let other = (leader + 2) % 3;
        let id = cluster.id_of(victim)?;
        let mut outages = 0;
        loop {
            cluster.kill(victim)?;
            outages += 1;
            wait_for(cluster, other, &id, "its silence", |node| node.state == "silent")?;
            cluster.call(other, "counter", "k", "add", b"1")?.good()?;
            cluster.restart(victim)?;
            let node = wait_for(cluster, other, &id, "its return", |node| node.state != "silent")?;
            if node.state == "quarantined" {
                break;
            }
            ensure!(outages < OUTAGES_MAX, "it goes on as {node:?}");
        }
        ensure!(outages >= 4, "{outages} outages were enough");
        wait_for(cluster, other, &id, "it to own nothing", |node| node.shards_owned == 0)?;
        cluster.wait_until_settled(READY_MAX)?;
        ensure!(seen(cluster, other, &id)?.shards_owned == 0, "it owns shards again");
        ensure!(held(cluster, other, &id)? == 64, "it keeps its replicas");
        let alarm = |text: &String| text.contains(&id) && text.contains("shardloom node release");
        for index in 0..3 {
            let warnings = cluster.status(index)?.warnings;
            ensure!(warnings.iter().any(alarm), "node {index} raises no alarm: {warnings:?}");
        }
        let nodes = cluster.cli(&["nodes"])?;
        ensure!(nodes.lines().any(|line| line.contains(&id) && line.contains("quarantined")), "{nodes}");
        let audit = cluster.cli(&["audit"])?;
        ensure!(audit.contains(&format!("quarantine node {id}: it fell silent or started again")), "{audit}");
        for index in 0..3 {
            for key in 0..16 {
                cluster.call(index, "counter", &format!("k{key}"), "add", b"1")?.good()?;
            }
        }
        cluster.cli(&["node", "release", &id])?;
        let node = wait_for(cluster, other, &id, "it to own shards again", |node| node.shards_owned > 0)?;
        ensure!(node.state == "live", "{node:?}");
        let status = cluster.status(victim)?;
        ensure!(!status.warnings.iter().any(alarm), "{:?}", status.warnings);
        let counted = cluster.call(victim, "counter", "k", "get", b"")?.good()?.text();
        ensure!(counted.trim() == outages.to_string(), "{counted} of {outages}");
        Ok(())
    });
}

#[test]
fn an_operator_quarantines_a_node_and_sees_what_for() {
    check(Options::of(3), |cluster| {
        wait_for_level_2(cluster)?;
        let id = cluster.id_of(1)?;
        let shards = cluster.shards(0)?;
        let owned = shards.iter().find(|shard| shard.owner.as_deref() == Some(&id));
        let shard = owned.context("it owns nothing")?.shard;
        let said = cluster.cli(&["node", "quarantine", &id, "--reason", "its memory is faulty"])?;
        ensure!(said.contains("quarantined"), "{said}");
        wait_for(cluster, 0, &id, "it to own nothing", |node| node.shards_owned == 0)?;
        let told: Value = serde_json::from_str(&cluster.cli(&["why", &shard.to_string(), "--json"])?)?;
        let last = told["history"].as_array().and_then(|all| all.last()).context("no history")?;
        ensure!(
            last["reasons"][0]["reason"] == "quarantined" && last["reasons"][0]["node"] == id.as_str(),
            "{told:#}"
        );
        let plan: Value = serde_json::from_str(&cluster.cli(&["plan", "--json"])?)?;
        ensure!(plan["moves"].as_array().is_some_and(Vec::is_empty), "the plan would undo it: {plan:#}");
        // A second one of three would be most of them.
        let refused = cluster.cli_output(&["node", "quarantine", &cluster.id_of(2)?])?;
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(!refused.status.success() && words.contains("fewer than half"), "{words}");
        let nodes: Value = serde_json::from_str(&cluster.cli(&["nodes", "--json"])?)?;
        let row = nodes.as_array().and_then(|all| all.iter().find(|node| node["id"] == id.as_str()));
        let row = row.context("it is not listed")?;
        ensure!(row["quarantine"] == "its memory is faulty" && row["state"] == "quarantined", "{row:#}");
        // It goes on through a restart of the node, and of the whole cluster.
        for index in 0..3 {
            cluster.kill(index)?;
        }
        for index in 0..3 {
            cluster.restart(index)?;
        }
        cluster.wait_until_served(READY_MAX)?;
        wait_for(cluster, 0, &id, "it to be back", |node| {
            node.state == "quarantined" && node.shards_owned == 0
        })?;
        cluster.cli(&["node", "release", &id])?;
        wait_for(cluster, 0, &id, "it to own shards again", |node| node.shards_owned > 0)?;
        let events = cluster.cli(&["events"])?;
        ensure!(events.contains("node-quarantined") && events.contains("node-released"), "{events}");
        Ok(())
    });
}
