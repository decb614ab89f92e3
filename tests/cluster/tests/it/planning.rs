//! Plans: what they say is what is done, and nothing is done that nobody wants.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, check};
use shardloom_harness::http::Shard;

/// How long moves may take, on a machine that does much else.
const MOVED_MAX: Duration = Duration::from_secs(120);
const SHARDS: u32 = 16;
/// What is kept: large beside what nodes tell each other all the time.
const VALUES: usize = 300;
const VALUE_BYTES: usize = 48 << 10;

fn options(nodes: usize) -> Result<Options> {
    Ok(Options { shards: SHARDS, replicas: 2, ..Options::of(nodes)? })
}

fn json(cluster: &Cluster, words: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&cluster.cli(&[words, &["--json"]].concat())?)?)
}

/// Why the command line refuses.
fn refused(cluster: &Cluster, words: &[&str]) -> Result<String> {
    match cluster.cli(words) {
        Ok(said) => bail!("{words:?} was taken: {said}"),
        Err(error) => Ok(error.to_string()),
    }
}

/// The bytes that a node has received from its peers.
fn received(cluster: &Cluster, node: usize) -> Result<f64> {
    let metrics = cluster.admin(node, "GET", "/metrics").send()?.good()?.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("shardloom_peer_received_bytes_total "));
    Ok(line.context("no such metric")?.trim().parse()?)
}

/// The owner and the replicas of each shard.
type Map = Vec<(String, BTreeSet<String>)>;

fn map(shards: &[Shard]) -> Result<Map> {
    let row = |shard: &Shard| {
        let owner = shard.owner.clone().context("a shard without an owner")?;
        Ok((owner, shard.replicas.iter().cloned().collect()))
    };
    shards.iter().map(row).collect()
}

fn names(list: &Value) -> Vec<String> {
    let list = list.as_array().cloned().unwrap_or_default();
    list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The map that a plan leads to.
fn planned(mut map: Map, plan: &Value) -> Result<Map> {
    for one in plan["moves"].as_array().context("no moves")? {
        let shard = one["shard"].as_u64().context("no shard")? as usize;
        let (owner, held) = &mut map[shard];
        ensure!(one["from"] == owner.as_str(), "{one} does not move it from {owner}");
        *owner = one["to"].as_str().context("no owner")?.to_owned();
        let loses = names(&one["loses"]);
        held.retain(|node| !loses.contains(node));
        held.extend(names(&one["gains"]));
    }
    Ok(map)
}

#[test]
fn what_is_planned_is_what_is_done_and_the_bytes_are_as_many() {
    check(options(3), |cluster| {
        cluster.deploy("kv", "kv", &[])?;
        let value = vec![b'v'; VALUE_BYTES];
        for key in 0..VALUES {
            cluster.call(key % 3, "kv", &format!("key-{key}"), "put", &value)?.good()?;
        }
        cluster.cli(&["rebalance", "pause"])?;
        let status = cluster.cli(&["status"])?;
        ensure!(status.contains("levelling  paused"), "{status}");
        let newcomer = cluster.join()?;
        cluster.wait_for_members(4, MOVED_MAX)?;
        cluster.wait_until_settled(MOVED_MAX)?;
        let four = cluster.id_of(newcomer)?;

        let before = map(&cluster.shards(0)?)?;
        ensure!(before.iter().all(|(_, held)| !held.contains(&four)), "something has moved: {before:?}");
        let supposed = json(cluster, &["plan", "--with-nodes", "1"])?;
        let id = supposed["plan"].as_str().context("no id")?;
        let said = refused(cluster, &["rebalance", "now", "--plan", id])?;
        ensure!(said.contains("supposes nodes that are not there"), "{said}");
        let said = refused(cluster, &["rebalance", "now", "--plan", "00000000000000aa"])?;
        ensure!(said.contains("knows no plan 00000000000000aa"), "{said}");

        let shown = cluster.cli(&["plan"])?;
        ensure!(shown.contains("holds nothing yet") && shown.contains("rebalance now --plan"), "{shown}");
        let plan = json(cluster, &["plan"])?;
        ensure!(plan["levelling"] == "paused" && plan["unknown_sizes"] == 0, "{plan}");
        let gains: Vec<String> = plan["moves"]
            .as_array()
            .context("no moves")?
            .iter()
            .flat_map(|one| names(&one["gains"]))
            .collect();
        ensure!(!gains.is_empty() && gains.iter().all(|node| *node == four), "{plan}");
        let copied = plan["copy_bytes"].as_f64().context("no bytes")?;
        ensure!(copied >= (VALUES * VALUE_BYTES / 4) as f64, "{copied} bytes are to be copied");

        let at_first = received(cluster, newcomer)?;
        let id = plan["plan"].as_str().context("no id")?.to_owned();
        let said = cluster.cli(&["rebalance", "now", "--plan", &id])?;
        ensure!(said.contains("are to move"), "{said}");
        let wanted = planned(before, &plan)?;
        cluster.wait("what was planned", MOVED_MAX, |cluster| {
            let now = map(&cluster.shards(0)?)?;
            ensure!(now == wanted, "{now:?}");
            Ok(())
        })?;
        let took = received(cluster, newcomer)? - at_first;
        println!("planned {copied} bytes, the newcomer received {took}");
        ensure!((0.8..1.2).contains(&(took / copied)), "planned {copied} bytes, received {took}");
        cluster.wait_until_settled(MOVED_MAX)?;
        ensure!(map(&cluster.shards(0)?)? == wanted, "something else has moved");
        ensure!(json(cluster, &["plan"])?["moves"].as_array().is_some_and(Vec::is_empty), "there is more");

        let said = refused(cluster, &["rebalance", "now", "--plan", &id])?;
        ensure!(said.contains("the map has changed since") && said.contains("shardloom plan"), "{said}");
        let said = cluster.cli(&["rebalance", "now"])?;
        ensure!(said.contains("nothing is to be moved") || said.contains("are to move"), "{said}");
        Ok(())
    });
}

#[test]
fn while_levelling_is_paused_the_lost_are_replaced_and_the_leaving_go() {
    let options = options(4).map(|options| Options { replicas: 3, ..options });
    check(options, |cluster| {
        cluster.cli(&["rebalance", "pause"])?;
        let owns = |cluster: &Cluster, id: &str| -> Result<usize> {
            let shards = cluster.shards(cluster.any()?)?;
            Ok(shards.iter().filter(|shard| shard.owner.as_deref() == Some(id)).count())
        };
        let victim = (cluster.leader()? + 1) % 4;
        let id = cluster.id_of(victim)?;
        ensure!(owns(cluster, &id)? > 0, "it owns nothing to begin with");
        cluster.kill(victim)?;
        cluster.wait("others to own its shards", MOVED_MAX, |cluster| {
            ensure!(owns(cluster, &id)? == 0, "it still owns some");
            Ok(())
        })?;
        cluster.restart(victim)?;
        cluster.wait_for_members(4, MOVED_MAX)?;
        cluster.wait_until_settled(MOVED_MAX)?;
        ensure!(owns(cluster, &id)? == 0, "it got shards although levelling is paused");
        let plan = json(cluster, &["plan"])?;
        let why = &plan["moves"][0]["reason"];
        ensure!(why == "levels-owners" || why == "levels-replicas", "{plan}");

        let leaver = cluster.id_of((victim + 1) % 4)?;
        cluster.cli(&["node", "drain", &leaver, "--wait", "120"])?;
        let held = cluster.shards(cluster.any()?)?;
        ensure!(held.iter().all(|shard| !shard.replicas.contains(&leaver)), "it holds some: {held:?}");

        cluster.cli(&["rebalance", "resume"])?;
        cluster.wait("the one that came back to own its share", MOVED_MAX, |cluster| {
            let owned = owns(cluster, &id)?;
            ensure!(owned >= SHARDS as usize / 3 - 1, "it owns {owned}");
            Ok(())
        })
    });
}
