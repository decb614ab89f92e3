//! `why` is right: who gained or lost a shard, and for what reason.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, READY_MAX, check};

/// How long until what has been done shows.
const SHOWN_MAX: Duration = Duration::from_secs(60);

fn why(cluster: &Cluster, shard: u32) -> Result<Value> {
    Ok(serde_json::from_str(&cluster.cli(&["why", &shard.to_string(), "--json"])?)?)
}

/// The shards that a node owns.
fn owned(cluster: &Cluster, node: &str) -> Result<Vec<u32>> {
    let shards = cluster.shards(cluster.any()?)?;
    Ok(shards.iter().filter(|shard| shard.owner.as_deref() == Some(node)).map(|shard| shard.shard).collect())
}

/// Waits until the last change of a shard is for this reason, about this node; and returns what is said of it.
fn wait_for_reason(cluster: &Cluster, shard: u32, reason: &str, node: &str) -> Result<Value> {
    cluster.wait(&format!("shard {shard} to have changed because of {reason}"), SHOWN_MAX, |cluster| {
        let why = why(cluster, shard)?;
        let last = why["history"].as_array().and_then(|all| all.last()).context("no history")?;
        let given = last["reasons"].as_array().context("no reasons")?;
        let is_given = given.iter().any(|given| given["reason"] == reason && given["node"] == node);
        ensure!(is_given && why["epoch"] == last["epoch"], "{why:#}");
        Ok(why)
    })
}

#[test]
fn why_names_the_newcomer_the_drained_the_leaver_and_the_dead() {
    check(Options::of(3), |cluster| {
        let first = why(cluster, 0)?;
        ensure!(first["history"][0]["reasons"][0]["reason"] == "first", "{first:#}");
        ensure!(first["history"][0]["from"].is_null() && first["state"] == "served", "{first:#}");
        ensure!(first["not_served"].is_null() && first["pending"].is_null(), "{first:#}");
        ensure!(first["replicas"].as_array().is_some_and(|all| all.len() == 3), "{first:#}");

        let index = cluster.join()?;
        cluster.wait_for_members(4, READY_MAX)?;
        cluster.wait_until_settled(READY_MAX)?;
        let newcomer = cluster.id_of(index)?;
        let gained = owned(cluster, &newcomer)?;
        let shard = *gained.first().context("the newcomer owns nothing")?;
        let told = why(cluster, shard)?;
        let history = told["history"].as_array().context("no history")?;
        let came = |change: &&Value| {
            change["reasons"].as_array().is_some_and(|all| {
                all.iter().any(|given| given["reason"] == "newcomer" && given["node"] == newcomer.as_str())
            })
        };
        ensure!(history.iter().any(|change| came(&change)), "{told:#}");

        let drained = cluster.id_of(1)?;
        let shard = *owned(cluster, &drained)?.first().context("node 2 owns nothing")?;
        cluster.cli(&["node", "drain", &drained])?;
        let told = wait_for_reason(cluster, shard, "draining", &drained)?;
        ensure!(told["owner"] != drained.as_str(), "{told:#}");
        cluster.wait_until_settled(READY_MAX)?;

        let leaver = cluster.id_of(index)?;
        let shard = *owned(cluster, &leaver)?.first().context("the newcomer owns nothing")?;
        cluster.terminate(index)?;
        wait_for_reason(cluster, shard, "leaving", &leaver)?;
        cluster.restart(index)?;
        cluster.wait_until_settled(READY_MAX)?;

        let dead = cluster.id_of(2)?;
        let shard = *owned(cluster, &dead)?.first().context("node 3 owns nothing")?;
        cluster.kill(2)?;
        let told = wait_for_reason(cluster, shard, "silent", &dead)?;
        let last = told["history"].as_array().and_then(|all| all.last()).context("no history")?;
        ensure!(last["from"] == dead.as_str() && last["to"] == told["owner"], "{told:#}");
        // Who is live is news that the node that is asked may hear a little later.
        cluster.wait("the dead node not to count as live", SHOWN_MAX, |cluster| {
            let told = why(cluster, shard)?;
            let live = told["live_nodes"].as_array().context("no nodes")?;
            ensure!(live.len() == 3 && !live.contains(&Value::from(dead.as_str())), "{told:#}");
            Ok(())
        })
    });
}

#[test]
fn why_says_what_to_do_about_a_shard_that_is_not_served() {
    check(Options::of(5).map(|options| Options { replicas: 3, ..options }), |cluster| {
        // Two of the replicas of one shard die at once, and most of the voters go on.
        let told = why(cluster, 0)?;
        let replicas = told["replicas"].as_array().context("no replicas")?.clone();
        let ids: Vec<&str> = replicas.iter().filter_map(|replica| replica["node"].as_str()).take(2).collect();
        for id in &ids {
            let index = cluster.index_of(id)?;
            cluster.kill(index)?;
        }
        cluster.wait("what to do", SHOWN_MAX, |cluster| {
            let told = why(cluster, 0)?;
            let words = told["not_served"].as_str().context("it is served")?;
            ensure!(told["state"] != "served", "{told:#}");
            ensure!(words.contains("1 of its 3 replicas answer"), "{words}");
            ensure!(ids.iter().all(|id| words.contains(id)), "{words}");
            ensure!(words.contains("shardloom repair shards"), "{words}");
            Ok(())
        })?;
        let index = (0..cluster.size()).find(|index| !cluster.running().any(|node| node.index == *index));
        cluster.restart(index.context("all run")?)?;
        cluster.wait("it to be served again", READY_MAX, |cluster| {
            let told = why(cluster, 0)?;
            ensure!(told["state"] == "served" && told["not_served"].is_null(), "{told:#}");
            Ok(())
        })?;
        ensure!(
            cluster.cli_output(&["why", "4000000"]).is_ok_and(|output| !output.status.success()),
            "no such shard"
        );
        Ok(())
    });
}
