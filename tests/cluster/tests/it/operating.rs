//! What an operator does to nodes and shards under load costs no call, and no key sees an older version.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, check};

use crate::paced::{CALLS_BETWEEN, WORKLOAD, step, under_load};

/// How long shards may take to move, on a machine that does much else.
const MOVED_MAX: Duration = Duration::from_secs(120);

fn json(cluster: &Cluster, words: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&cluster.cli(&[words, &["--json"]].concat())?)?)
}

/// Who owns each shard now.
fn owners(cluster: &Cluster) -> Result<Vec<Option<String>>> {
    Ok(cluster.shards(cluster.any()?)?.into_iter().map(|shard| shard.owner).collect())
}

/// Has the leader's plan carried out, and waits until it is; says how many shards it moves.
fn rebalance(cluster: &Cluster) -> Result<usize> {
    let plan = json(cluster, &["plan"])?;
    let moves = plan["moves"].as_array().context("no moves")?.clone();
    let id = plan["plan"].as_str().context("no plan")?;
    step(cluster, &["rebalance", "now", "--plan", id])?;
    cluster.wait("the plan to be carried out", MOVED_MAX, |cluster| {
        let owners = owners(cluster)?;
        for one in &moves {
            let shard = one["shard"].as_u64().context("no shard")? as usize;
            ensure!(
                owners[shard].as_deref() == one["to"].as_str(),
                "shard {shard} is at {:?}",
                owners[shard]
            );
        }
        Ok(())
    })?;
    Ok(moves.len())
}

#[test]
fn drains_joins_and_rebalances_under_load_cost_no_call() {
    let options = Options::of(3).map(|options| Options { replicas: 2, ..options });
    check(options, |cluster| {
        cluster.deploy("counter", WORKLOAD, &["--config", "word=one"])?;
        let nodes: Vec<String> = (0..3).map(|node| cluster.url(node, "")).collect();
        let (moved, seen) = under_load(&nodes, |progress| {
            progress.more(CALLS_BETWEEN)?;
            let last = cluster.id_of(2)?;
            step(cluster, &["node", "drain", &last])?;
            progress.more(CALLS_BETWEEN)?;
            ensure!(!owners(cluster)?.contains(&Some(last.clone())), "the drained node owns shards");
            cluster.deploy("counter", WORKLOAD, &["--config", "word=two"])?;
            step(cluster, &["node", "add", &last])?;
            cluster.wait_until_settled(MOVED_MAX)?;
            ensure!(owners(cluster)?.contains(&Some(last)), "who was drained has nothing back");
            progress.more(CALLS_BETWEEN)?;

            let fourth = cluster.join()?;
            cluster.wait_for_members(4, MOVED_MAX)?;
            cluster.wait_until_settled(MOVED_MAX)?;
            let fourth = cluster.id_of(fourth)?;
            ensure!(owners(cluster)?.contains(&Some(fourth.clone())), "who has joined owns nothing");
            progress.more(CALLS_BETWEEN)?;

            // Nothing moves by itself, so what moves is the plan.
            step(cluster, &["rebalance", "pause"])?;
            step(cluster, &["weigher", "set", "--built-in", "by-load"])?;
            let moved = rebalance(cluster)?;
            step(cluster, &["rebalance", "resume"])?;
            progress.more(CALLS_BETWEEN)?;

            step(cluster, &["node", "drain", &fourth])?;
            step(cluster, &["node", "remove", &fourth])?;
            progress.more(CALLS_BETWEEN)?;
            Ok(moved)
        })?;
        println!("{moved} shards moved by the plan; {}", seen.pauses());
        ensure!(moved > 0, "the plan had no moves");
        seen.all_answered()?;
        seen.verdict(&[])
    });
}
