//! Nodes find each other and agree on one map.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use shardloom_harness::cluster::check;
use shardloom_harness::http::Shard;
use shardloom_harness::{Cluster, Options};

/// How long the nodes' views may differ while a map spreads.
const AGREE_MAX: Duration = Duration::from_secs(20);

#[test]
fn three_nodes_agree_on_who_owns_each_shard() {
    check(Options::of(3), |cluster| {
        let shards = cluster.wait("one view on all nodes", AGREE_MAX, |cluster| {
            let views: Vec<Vec<Shard>> = (0..3).map(|index| cluster.shards(index)).collect::<Result<_>>()?;
            ensure!(views.windows(2).all(|pair| pair[0] == pair[1]), "the views differ");
            Ok(views.into_iter().next().unwrap_or_default())
        })?;
        ensure!(shards.len() == 64, "{} shards", shards.len());
        let mut owned: BTreeMap<String, u32> = BTreeMap::new();
        for (number, shard) in shards.iter().enumerate() {
            ensure!(shard.shard as usize == number && shard.epoch > 0, "{shard:?}");
            let owner = shard.owner.clone().unwrap_or_default();
            ensure!(shard.replicas.contains(&owner), "the owner holds no replica: {shard:?}");
            ensure!(shard.replicas.iter().collect::<BTreeSet<_>>().len() == 3, "{shard:?}");
            *owned.entry(owner).or_default() += 1;
        }
        ensure!(owned.len() == 3, "only {owned:?} own shards");
        ensure!(owned.values().all(|count| (15..=27).contains(count)), "uneven: {owned:?}");
        Ok(())
    });
}

#[test]
fn a_single_node_works_alone_and_says_that_it_is_alone() {
    check(Options::of(1), |cluster| {
        let status = cluster.status(0)?;
        ensure!(status.shards.all_served(), "{:?}", status.shards);
        ensure!(!status.warnings.is_empty(), "no warning about the missing replicas");
        cluster.deploy("word-count", "words", &[])?;
        let reply = cluster.call(0, "words", "alone", "add", b"7")?.good()?;
        ensure!(reply.text().trim() == "7", "{}", reply.text());
        Ok(())
    });
}

#[test]
fn two_nodes_are_a_cluster_too() {
    check(Options::of(2), |cluster| {
        let owners: BTreeSet<_> = cluster.shards(1)?.into_iter().filter_map(|shard| shard.owner).collect();
        ensure!(owners.len() == 2, "{owners:?}");
        Ok(())
    });
}

#[test]
fn the_command_line_shows_what_other_programs_rely_on() {
    check(Options::of(3), |cluster| {
        let status: Value = serde_json::from_str(&cluster.cli(&["status", "--json"])?)?;
        for field in ["cluster_id", "epoch", "leader", "nodes", "shards"] {
            ensure!(!status[field].is_null(), "status has no {field}: {status}");
        }
        for node in status["nodes"].as_array().into_iter().flatten() {
            for field in ["id", "state", "role", "http", "shards_owned"] {
                ensure!(!node[field].is_null(), "a node has no {field}: {node}");
            }
        }
        for field in ["total", "served", "unavailable"] {
            ensure!(status["shards"][field].is_u64(), "shards has no {field}: {status}");
        }
        let shards: Vec<Shard> = serde_json::from_str(&cluster.cli(&["shards", "--json"])?)?;
        ensure!(shards.len() == 64);
        let nodes = cluster.cli(&["nodes"])?;
        ensure!(nodes.lines().count() == 4, "{nodes}");
        let endpoints: Vec<Value> = serde_json::from_str(&cluster.cli(&["endpoints", "--json"])?)?;
        ensure!(endpoints.iter().filter(|endpoint| endpoint["name"] == "http").count() == 3, "{endpoints:?}");
        token_is_printed_alone(cluster)
    });
}

fn token_is_printed_alone(cluster: &Cluster) -> Result<()> {
    let token = cluster.cli(&["token", "create"])?;
    ensure!(token.lines().count() == 1 && !token.trim().contains(char::is_whitespace), "{token:?}");
    Ok(())
}

#[test]
fn shards_are_listed_by_what_there_is_alone() {
    check(Options::of(1), |cluster| {
        let node = cluster.id_of(0)?;
        let of_node = cluster.cli(&["shards", "--state", "served", "--node", &node])?;
        ensure!(of_node.lines().count() == 65, "{of_node}");
        for (words, why) in [
            (["--state", "bogus"], "served, resharding, unavailable"),
            (["--node", "00000000000000aa"], "`shardloom nodes` lists them"),
            (["--busiest", "0"], "1.."),
        ] {
            match cluster.cli(&[["shards"].as_slice(), &words].concat()) {
                Ok(said) => bail!("{words:?} was taken: {said}"),
                Err(error) => ensure!(error.to_string().contains(why), "{error}"),
            }
        }
        Ok(())
    });
}

#[test]
fn everything_but_calls_and_health_needs_the_token() {
    check(Options::of(1), |cluster| {
        for (method, path) in [
            ("GET", "/v1/status"),
            ("GET", "/v1/nodes"),
            ("GET", "/v1/shards"),
            ("GET", "/v1/endpoints"),
            ("GET", "/v1/workloads"),
            ("GET", "/metrics"),
            ("POST", "/v1/admin/tokens"),
            ("POST", "/v1/admin/step-down"),
            ("GET", "/v1/admin/weigher"),
        ] {
            let reply = cluster.ask(0, method, path).send()?;
            ensure!(reply.status == 401 && reply.code() == "unauthenticated", "{path}: {}", reply.status);
            let reply = cluster.ask(0, method, path).token("wrong").send()?;
            ensure!(matches!(reply.status, 401 | 403), "{path} with a wrong token: {}", reply.status);
        }
        for path in ["/healthz", "/readyz"] {
            let reply = cluster.ask(0, "GET", path).send()?;
            ensure!(reply.status == 200, "{path}: {}", reply.status);
        }
        Ok(())
    });
}

#[test]
fn another_node_leads_after_a_step_down() {
    check(Options::of(3), |cluster| {
        let before = cluster.leader()?;
        cluster.cli(&["step-down"])?;
        cluster.wait("another leader", AGREE_MAX, |cluster| {
            let after = cluster.leader()?;
            ensure!(after != before, "node {before} leads still");
            Ok(())
        })?;
        cluster.wait_until_served(AGREE_MAX)
    });
}
