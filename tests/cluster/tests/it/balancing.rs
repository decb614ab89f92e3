//! Shard functions and weighers, plugged into a running cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardloom_harness::Options;
use shardloom_harness::artefacts;
use shardloom_harness::cluster::{Cluster, check};

/// How long a new plan may take to be served.
const LEVEL_MAX: Duration = Duration::from_secs(40);

/// The shards that keys of one tenant are on.
fn shards_of(cluster: &Cluster, tenant: &str) -> Result<BTreeSet<u32>> {
    (0..20)
        .map(|key| {
            let reply = cluster.call(key % 3, "tenants", &format!("{tenant}:item-{key}"), "", b"")?.good()?;
            Ok(reply.stamp().context("the reply does not say who answered")?.shard)
        })
        .collect()
}

#[test]
fn a_shard_function_keeps_a_tenant_on_one_shard() {
    check(Options::of(3), |cluster| {
        let function = artefacts::guest("by-tenant")?.display().to_string();
        cluster.deploy("word-count", "tenants", &["--shard-function", &function])?;
        let mut seen = BTreeSet::new();
        for tenant in ["acme", "globex", "initech", "umbrella", "hooli"] {
            let shards = shards_of(cluster, tenant)?;
            ensure!(shards.len() == 1, "{tenant} is on {shards:?}");
            seen.extend(shards);
        }
        ensure!(seen.len() > 1, "all tenants are on one shard");
        Ok(())
    });
}

#[test]
fn a_weigher_levels_the_load() {
    check(Options::of(3), |cluster| {
        cluster.deploy("faulty", "busy", &[])?;
        // All the load goes to keys whose shards one node owns.
        let busy = cluster.id_of(1)?;
        let keys = hot_keys(cluster, &busy)?;
        let before = load(cluster, &keys)?;
        let weigher = artefacts::guest("by-busy-time")?.display().to_string();
        cluster.cli(&["weigher", "set", &weigher])?;
        // Loads are sampled now and then, and smoothed: the weigher sees them after some calls.
        cluster.wait("weights that tell busy shards from idle ones", LEVEL_MAX, |cluster| {
            load(cluster, &keys)?;
            let reply: Value = serde_json::from_str(&cluster.cli(&["weigher", "run", "--json"])?)?;
            ensure!(reply["weights"]["max"].as_u64() > reply["weights"]["min"].as_u64(), "{reply}");
            Ok(())
        })?;

        let after = cluster.wait("the hot shards to spread", LEVEL_MAX, |cluster| {
            let after = load(cluster, &keys)?;
            ensure!(after.len() > 1, "all calls still go to one node: {after:?}");
            Ok(after)
        })?;
        println!("calls by node before {before:?}, after {after:?}");
        ensure!(after.values().max() < before.values().max(), "before {before:?}, after {after:?}");

        let shown = cluster.cli(&["weigher", "show", "--json"])?;
        ensure!(serde_json::from_str::<Value>(&shown)?["weights_set"] == true, "{shown}");
        cluster.cli(&["weigher", "unset"])?;
        cluster.wait_until_served(LEVEL_MAX)
    });
}

#[test]
fn a_weigher_that_fails_leaves_the_weights_as_they_were() {
    check(Options::of(2), |cluster| {
        let before = cluster.shards(0)?;
        let weigher = artefacts::guest("faulty-weigher")?.display().to_string();
        cluster.cli_output(&["weigher", "set", &weigher])?;
        let after = cluster.shards(0)?;
        let owners = |shards: &[shardloom_harness::http::Shard]| {
            shards.iter().map(|shard| shard.owner.clone()).collect::<Vec<_>>()
        };
        ensure!(owners(&before) == owners(&after), "shards moved");
        Ok(())
    });
}

/// Keys of several shards that one node owns.
fn hot_keys(cluster: &Cluster, owner: &str) -> Result<Vec<String>> {
    let mut by_shard = BTreeMap::new();
    for key in 0..400 {
        let key = format!("hot-{key}");
        let stamp = cluster.call(0, "busy", &key, "ok", b"")?.good()?.stamp().context("no stamp")?;
        if stamp.node == owner {
            by_shard.insert(stamp.shard, key);
        }
        if by_shard.len() == 6 {
            break;
        }
    }
    ensure!(by_shard.len() >= 4, "only {} shards of one node were met", by_shard.len());
    Ok(by_shard.into_values().collect())
}

/// Keeps the hot keys busy for a while, and counts who answered.
fn load(cluster: &Cluster, keys: &[String]) -> Result<BTreeMap<String, u32>> {
    let mut calls = BTreeMap::new();
    for _ in 0..5 {
        for key in keys {
            let reply = cluster.call(0, "busy", key, "slow", b"20")?.good()?;
            *calls.entry(reply.stamp().context("no stamp")?.node).or_default() += 1;
        }
    }
    Ok(calls)
}
