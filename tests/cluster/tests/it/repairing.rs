//! Shards that have lost too many replicas for good, and the way back that an operator accepts.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, check};

/// How long things may take on a machine that does much else.
const HEAL_MAX: Duration = Duration::from_secs(60);
/// Enough keys to meet every shard.
const KEYS: usize = 80;

fn options(replicas: u32) -> Result<Options> {
    Ok(Options { shards: 24, replicas, ..Options::of(5)? })
}

/// Two nodes that do not lead.
fn victims(cluster: &Cluster) -> Result<[usize; 2]> {
    let leader = cluster.leader()?;
    let mut others = (0..5).filter(|node| *node != leader);
    let two = [others.next(), others.next()];
    Ok([two[0].context("all nodes lead")?, two[1].context("all nodes lead")?])
}

/// The two nodes that hold all replicas of some shard, and do not lead.
fn holders(cluster: &Cluster) -> Result<[usize; 2]> {
    let leader = cluster.id_of(cluster.leader()?)?;
    let shards = cluster.shards(cluster.any()?)?;
    let apart = shards.into_iter().find(|shard| !shard.replicas.contains(&leader));
    let replicas = apart.context("the leader holds every shard")?.replicas;
    ensure!(replicas.len() == 2, "{replicas:?}");
    Ok([cluster.index_of(&replicas[0])?, cluster.index_of(&replicas[1])?])
}

fn count(cluster: &Cluster, node: usize, method: &str, key: usize) -> Result<(u32, String)> {
    cluster.wait("an answer", HEAL_MAX, |cluster| {
        let reply = cluster.call(node, "counter", &format!("k{key}"), method, b"1")?.good()?;
        Ok((reply.stamp().context("no stamp")?.shard, reply.text()))
    })
}

/// The shards of which fewer replicas than this are on other nodes than these.
fn short(cluster: &Cluster, lost: &[String], needed: usize) -> Result<BTreeSet<u64>> {
    let left = |replicas: &[String]| replicas.iter().filter(|node| !lost.contains(node)).count();
    let shards = cluster.shards(cluster.any()?)?;
    Ok(shards.iter().filter(|one| left(&one.replicas) < needed).map(|one| u64::from(one.shard)).collect())
}

fn numbers(rows: &Value) -> BTreeSet<u64> {
    rows.as_array().into_iter().flatten().filter_map(|row| row["shard"].as_u64()).collect()
}

/// What `repair shards` lists, once the cluster has seen that the nodes are gone.
fn damaged(cluster: &Cluster, expected: &BTreeSet<u64>) -> Result<Value> {
    cluster.wait("the damage to be listed", HEAL_MAX, |cluster| {
        let rows: Value = serde_json::from_str(&cluster.cli(&["repair", "shards", "--json"])?)?;
        ensure!(numbers(&rows) == *expected, "{rows}, and {expected:?} were expected");
        Ok(rows)
    })
}

fn refused(cluster: &Cluster, words: &[&str], why: &str) -> Result<()> {
    let output = cluster.cli_output(words)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains(why), "{words:?} was not refused with {why:?}: {said}");
    Ok(())
}

#[test]
fn shards_that_have_lost_two_of_three_replicas_come_back_from_the_third() {
    check(options(3), |cluster| {
        cluster.deploy("counter", "counter", &[])?;
        for key in 0..KEYS {
            count(cluster, key % 5, "add", key)?;
        }
        cluster.wait_until_settled(HEAL_MAX)?;
        let [returns, lost] = victims(cluster)?;
        let ids = [cluster.id_of(returns)?, cluster.id_of(lost)?];
        let expected = short(cluster, &ids, 2)?;
        ensure!(!expected.is_empty() && expected.len() < 24, "{expected:?} lose their quorum");
        cluster.kill(returns)?;
        cluster.kill(lost)?;
        std::fs::remove_dir_all(cluster.node(lost).data())?;

        let rows = damaged(cluster, &expected)?;
        let one_each = rows
            .as_array()
            .into_iter()
            .flatten()
            .all(|row| row["survivors"].as_array().is_some_and(|left| left.len() == 1));
        ensure!(one_each, "{rows}");
        refused(cluster, &["repair", "shards", "--accept-data-loss"], "say which shards")?;
        let healthy = (0..24).find(|shard| !expected.contains(shard)).context("all are damaged")?.to_string();
        let words = ["repair", "shards", "--shard", &healthy, "--accept-data-loss"];
        refused(cluster, &words, "heals by itself")?;
        damaged(cluster, &expected)?;

        let said = cluster.cli(&["repair", "shards", "--unavailable", "--accept-data-loss"])?;
        ensure!(said.contains("were recovered"), "{said}");
        cluster.wait_until_served(HEAL_MAX)?;
        let survivors: Vec<usize> = cluster.running().map(|node| node.index).collect();
        // Nothing was under way when the nodes died, so the third replica of each shard had it all.
        for key in 0..KEYS {
            let (shard, total) = count(cluster, survivors[key % 3], "add", key)?;
            ensure!(total == "2", "k{key} on shard {shard} has {total}");
        }
        damaged(cluster, &BTreeSet::new())?;

        // One of the two was not lost after all: what it has is of an epoch that is over.
        cluster.restart(returns)?;
        cluster.wait_for_members(4, HEAL_MAX)?;
        cluster.wait_until_settled(HEAL_MAX)?;
        for key in 0..KEYS {
            let (shard, total) = count(cluster, returns, "get", key)?;
            ensure!(total == "2", "k{key} on shard {shard} has {total}");
        }
        let short = short(cluster, &ids[1..], 2)?;
        ensure!(short.is_empty(), "{short:?} rest on too few disks still");
        Ok(())
    });
}

#[test]
fn a_shard_of_which_nothing_is_left_begins_anew_only_if_that_is_accepted() {
    check(options(2), |cluster| {
        cluster.deploy("counter", "counter", &[])?;
        for key in 0..KEYS {
            count(cluster, key % 5, "add", key)?;
        }
        cluster.wait_until_settled(HEAL_MAX)?;
        let gone = holders(cluster)?;
        let ids = [cluster.id_of(gone[0])?, cluster.id_of(gone[1])?];
        let expected = short(cluster, &ids, 1)?;
        ensure!(!expected.is_empty(), "every shard has a replica left");
        // Shards that have one of two replicas left heal by themselves once the other is given up.
        cluster.cli(&["settings", "set", "replica_grace=3s"])?;
        for node in gone {
            cluster.kill(node)?;
            std::fs::remove_dir_all(cluster.node(node).data())?;
        }
        let rows = damaged(cluster, &expected)?;
        ensure!(rows[0]["may_be_lost"].as_str().is_some_and(|text| text.contains("everything")), "{rows}");
        let words = ["repair", "shards", "--unavailable", "--accept-data-loss"];
        refused(cluster, &words, "--accept-empty")?;
        cluster.cli(&[&words[..], &["--accept-empty"]].concat())?;
        cluster.wait_until_served(HEAL_MAX)?;
        let survivor = cluster.any()?;
        for key in 0..KEYS {
            let (shard, total) = count(cluster, survivor, "add", key)?;
            let right = if expected.contains(&u64::from(shard)) { "1" } else { "2" };
            ensure!(total == right, "k{key} on shard {shard} has {total}");
        }
        Ok(())
    });
}

#[test]
fn a_control_group_that_has_lost_its_majority_goes_on_from_one_of_its_nodes() {
    check(options(5).map(|options| Options { shards: 16, ..options }), |cluster| {
        cluster.deploy("counter", "counter", &[])?;
        for key in 0..KEYS {
            count(cluster, key % 5, "add", key)?;
        }
        cluster.wait_until_settled(HEAL_MAX)?;
        let lost = [2, 3, 4].map(|node| cluster.id_of(node));
        let epoch = cluster.status(0)?.epoch;
        (0..5).try_for_each(|node| cluster.kill(node))?;
        for node in 2..5 {
            std::fs::remove_dir_all(cluster.node(node).data())?;
        }
        let ends = |node: usize, words: &[&str]| {
            let data = cluster.node(node).data().display().to_string();
            let words = [&["repair", "control", "--json", "--data", &data], words].concat();
            let reply: Value = serde_json::from_str(&cluster.cli(&words)?)?;
            let part = |name: &str| reply[name].as_u64().with_context(|| reply.to_string());
            Ok::<_, anyhow::Error>((part("last_term")?, part("last_index")?))
        };
        let (first, second) = if ends(0, &[])? >= ends(1, &[])? { (0, 1) } else { (1, 0) };
        ends(first, &["--accept-data-loss"])?;

        cluster.restart(first)?;
        cluster.wait("the node to run", HEAL_MAX, |cluster| {
            cluster.ask(first, "GET", "/healthz").send()?.good()
        })?;
        let running = cluster.cli_output(&[
            "repair",
            "control",
            "--data",
            &cluster.node(first).data().display().to_string(),
            "--accept-data-loss",
        ])?;
        ensure!(!running.status.success(), "a node whose process runs was repaired");
        cluster.restart(second)?;
        cluster.wait_for_members(2, HEAL_MAX)?;
        damaged(cluster, &(0..16).collect())?;
        cluster.cli(&["repair", "shards", "--unavailable", "--accept-data-loss"])?;
        cluster.wait_until_served(HEAL_MAX)?;
        ensure!(cluster.status(first)?.epoch > epoch, "the epochs went back");
        for key in 0..KEYS {
            let (shard, total) = count(cluster, key % 2, "add", key)?;
            ensure!(total == "2", "k{key} on shard {shard} has {total}");
        }
        for id in lost {
            cluster.cli(&["node", "remove", &id?, "--force"])?;
        }
        cluster.join()?;
        cluster.wait_for_members(3, HEAL_MAX)?;
        cluster.wait_until_settled(HEAL_MAX)?;
        let voters = cluster.status(first)?.nodes.iter().filter(|node| node.role != "learner").count();
        ensure!(voters == 3, "{voters} of three nodes vote");
        Ok(())
    });
}
