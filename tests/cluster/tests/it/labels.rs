//! Labels: a workload asks for them, and shards are owned by nodes that have them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, READY_MAX, check};

use crate::upgrading::wait_for_level_2;

/// How long shards may take to move.
const MOVED_MAX: Duration = Duration::from_secs(60);

/// Waits until these nodes, and no others, own shards.
fn wait_for_owners(cluster: &Cluster, owners: &[&str]) -> Result<()> {
    cluster.wait("the owners of all shards", MOVED_MAX, |cluster| {
        let shards = cluster.shards(0)?;
        for shard in &shards {
            let owner = shard.owner.as_deref().context("a shard has no owner")?;
            ensure!(owners.contains(&owner), "{owner} owns {}", shard.shard);
        }
        let owns = |node: &str| shards.iter().any(|shard| shard.owner.as_deref() == Some(node));
        ensure!(owners.iter().all(|node| owns(node)), "one of {owners:?} owns nothing");
        Ok(())
    })
}

#[test]
fn a_workload_that_asks_for_a_label_has_shards_owned_by_nodes_that_have_it() {
    check(Options::of(2), |cluster| {
        wait_for_level_2(cluster)?;
        let wanted = ["--require-label", "disk=nvme"];
        let refused = cluster.deploy("counter", "counter", &wanted).err().context("nobody has the label")?;
        ensure!(format!("{refused:#}").contains("no live node has disk=nvme"), "{refused:#}");
        for label in ["disk=nvme", "disk=tape"] {
            let token = cluster.create_token()?;
            let mut flags = cluster.join_flags(&token)?;
            flags.extend(["--label".to_owned(), label.to_owned()]);
            cluster.add(&flags)?;
        }
        cluster.wait_for_members(4, READY_MAX)?;
        cluster.wait_until_settled(READY_MAX)?;
        let ids = (0..4).map(|index| cluster.id_of(index)).collect::<Result<Vec<String>>>()?;
        let with_label = ids[2].as_str();
        let shards = cluster.shards(0)?;
        let elsewhere = shards.iter().find(|shard| shard.owner.as_deref() != Some(with_label));
        let moved = elsewhere.context("one owns all")?.shard;
        cluster.deploy("counter", "counter", &wanted)?;
        wait_for_owners(cluster, &[with_label])?;
        for index in 0..4 {
            for key in 0..8 {
                cluster.call(index, "counter", &key.to_string(), "add", b"1")?.good()?;
            }
        }
        let shards = cluster.shards(0)?;
        ensure!(shards.iter().all(|shard| shard.replicas.len() == 3), "copies are on any node");
        let told: Value = serde_json::from_str(&cluster.cli(&["why", &moved.to_string(), "--json"])?)?;
        let history = told["history"].as_array().context("no history")?;
        let given = |change: &Value| change["reasons"][0]["reason"] == "label-missing";
        ensure!(history.iter().any(given), "{told:#}");
        let warnings = cluster.status(0)?.warnings;
        let says = |text: &String| text.contains("3 node(s) own no shards") && text.contains(&ids[0]);
        ensure!(warnings.iter().any(says), "{warnings:?}");
        let nodes: Value = serde_json::from_str(&cluster.cli(&["nodes", "--json"])?)?;
        let row = nodes.as_array().and_then(|all| all.iter().find(|node| node["id"] == ids[3].as_str()));
        let lacks = row.context("it is not listed")?["lacks_labels"].to_string();
        ensure!(lacks.contains("disk=nvme (counter asks for it)"), "{lacks}");
        cluster.wait_until_settled(READY_MAX)?;
        let plan: Value = serde_json::from_str(&cluster.cli(&["plan", "--json"])?)?;
        ensure!(plan["moves"].as_array().is_some_and(Vec::is_empty), "the plan would undo it: {plan:#}");
        // The one that has it dies: better owners without the label than none.
        cluster.kill(2)?;
        cluster.wait_until_served(READY_MAX)?;
        for key in 0..8 {
            let count = cluster.call(0, "counter", &key.to_string(), "get", b"")?.good()?.text();
            ensure!(count.trim() == "4", "key {key} reads {count}");
        }
        // What a node is labelled with, it says at each start.
        cluster.node_mut(2).start(&["--label", "disk=nvme"].map(str::to_owned))?;
        wait_for_owners(cluster, &[with_label])?;
        // A deploy that asks for nothing lets all own again.
        cluster.deploy("counter", "counter", &[])?;
        wait_for_owners(cluster, &ids.iter().map(String::as_str).collect::<Vec<_>>())
    });
}
