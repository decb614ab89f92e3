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

        // A dry run tells, and changes nothing.
        let before = weights(cluster, 0)?;
        let uniform = cluster.cli(&["weigher", "run", "--dry", "--built-in", "uniform"])?;
        ensure!(uniform.contains("nothing was written") && uniform.contains("WOULD BE"), "{uniform}");
        ensure!(weights(cluster, 0)?.iter().max() > Some(&1), "weights were {before:?}");

        let shown = cluster.cli(&["weigher", "show", "--json"])?;
        ensure!(serde_json::from_str::<Value>(&shown)?["weights_set"] == true, "{shown}");
        cluster.cli(&["weigher", "unset"])?;
        cluster.wait_until_served(LEVEL_MAX)
    });
}

#[test]
fn a_weigher_that_fails_leaves_the_weights_as_they_were_and_an_alarm_and_the_cluster_serves_on() {
    // By the number of shards, it traps, loops, gives too few weights, or such as are too large.
    for (shards, said) in [
        (1, "the weigher trapped"),
        (2, "the weigher ran out of fuel"),
        (3, "the weigher gave 2 weights for 3 shards"),
        (5, "the weigher gave shard 0 the weight 4294967295"),
    ] {
        check(Options::of(2).map(|options| Options { shards, ..options }), |cluster| {
            cluster.deploy("word-count", "words", &[])?;
            // Weights that are not those of a cluster without a weigher.
            cluster.cli(&["weigher", "set", "--built-in", "by-load"])?;
            let before = weights(cluster, 0)?;
            ensure!(before.iter().all(|weight| *weight >= 10), "{before:?}");
            let weigher = artefacts::guest("faulty-weigher")?.display().to_string();
            let refused = cluster.cli_output(&["weigher", "set", &weigher])?;
            ensure!(!refused.status.success(), "a weigher that gives no weights was taken as fine");
            for node in 0..2 {
                ensure!(weights(cluster, node)? == before, "the weights have changed on node {node}");
                let status = cluster.wait("the alarm", LEVEL_MAX, |cluster| {
                    let reply = cluster.admin(node, "GET", "/v1/status").send()?.good()?;
                    let warnings = reply.json::<Value>()?["warnings"].to_string();
                    ensure!(warnings.contains(said), "node {node} warns of {warnings}");
                    Ok(warnings)
                })?;
                ensure!(status.contains("shardloom weigher unset"), "it does not say what to do: {status}");
                cluster.call(node, "words", "key", "", b"")?.good()?;
            }
            let shown = cluster.cli(&["status"])?;
            ensure!(shown.contains(said), "{shown}");
            let shown = cluster.cli(&["weigher", "show"])?;
            ensure!(shown.contains("alarm") && shown.contains(said), "{shown}");
            cluster.cli(&["weigher", "unset"])?;
            ensure!(!cluster.cli(&["status"])?.contains(said), "the alarm has outlived the weigher");
            Ok(())
        });
    }
}

#[test]
fn weights_outlive_the_leader_and_the_next_one_weighs_on() {
    check(Options::of(3), |cluster| {
        cluster.deploy("faulty", "busy", &[])?;
        let keys = hot_keys(cluster, &cluster.id_of(1)?)?;
        load(cluster, &keys)?;
        cluster.cli(&["weigher", "set", "--built-in", "by-load"])?;
        cluster.wait("weights that tell busy shards from idle ones", LEVEL_MAX, |cluster| {
            load(cluster, &keys)?;
            cluster.cli(&["weigher", "run"])?;
            let weights = weights(cluster, 0)?;
            ensure!(weights.iter().max() > weights.iter().min(), "{weights:?}");
            Ok(())
        })?;
        let leader = cluster.leader()?;
        let before = weights(cluster, leader)?;
        cluster.kill(leader)?;
        let next = cluster.wait("the next leader", LEVEL_MAX, |cluster| {
            let next = cluster.leader()?;
            ensure!(next != leader, "the node that died is still named");
            Ok(next)
        })?;
        let after = weights(cluster, next)?;
        ensure!(after.iter().max() > after.iter().min(), "before {before:?}, after {after:?}");
        cluster.wait_until_served(LEVEL_MAX)?;
        let ran: Value = serde_json::from_str(&cluster.cli(&["weigher", "run", "--json"])?)?;
        ensure!(ran["built_in"] == "by-load", "{ran}");
        Ok(())
    });
}

/// The weights of all shards, as a node shows them.
fn weights(cluster: &Cluster, node: usize) -> Result<Vec<u64>> {
    let shards: Vec<Value> = cluster.admin(node, "GET", "/v1/shards").send()?.good()?.json()?;
    shards.iter().map(|shard| shard["weight"].as_u64().context("a shard without a weight")).collect()
}

#[test]
fn a_transfer_between_two_accounts_of_a_tenant_is_one_transaction() {
    check(Options::of(3), |cluster| {
        let function = artefacts::guest("by-tenant")?.display().to_string();
        cluster.deploy("bank", "bank", &["--shard-function", &function])?;
        let tell = |node: usize, key: &str, method: &str, body: &str| {
            cluster.call(node, "bank", key, method, body.as_bytes())
        };
        // Each account has a key of its own, and each call goes through another node.
        tell(0, "acme:ann", "open", r#"{"account": "ann", "amount": 100}"#)?.good()?;
        tell(1, "acme:bob", "open", r#"{"account": "bob", "amount": 0}"#)?.good()?;
        let mut shards = BTreeSet::new();
        for round in 0..10 {
            let key = ["acme:ann", "acme:bob", "acme"][round % 3];
            let moved =
                tell(round % 3, key, "transfer", r#"{"from": "ann", "to": "bob", "amount": 10}"#)?.good()?;
            shards.insert(moved.stamp().context("no stamp")?.shard);
            let (ann, bob) = (90 - 10 * round, 10 + 10 * round);
            ensure!(moved.text() == format!(r#"{{"ann":{ann},"bob":{bob}}}"#), "{}", moved.text());
        }
        ensure!(shards.len() == 1, "the accounts are on {shards:?}");
        // What cannot be moved whole is not moved in part.
        let refused = tell(2, "acme:bob", "transfer", r#"{"from": "ann", "to": "bob", "amount": 1}"#)?;
        ensure!(refused.status == 409, "{}", refused.text());
        let balances = tell(0, "acme:zoe", "balances", "")?.good()?;
        ensure!(balances.text() == r#"{"ann":0,"bob":100}"#, "{}", balances.text());

        // The owner dies: both accounts come back together.
        let owner = cluster.index_of(&balances.stamp().context("no stamp")?.node)?;
        cluster.kill(owner)?;
        let other = (owner + 1) % 3;
        let balances = cluster.wait("the next owner", LEVEL_MAX, |cluster| {
            cluster.call(other, "bank", "acme:ann", "balances", b"")?.good()
        })?;
        ensure!(balances.text() == r#"{"ann":0,"bob":100}"#, "{}", balances.text());

        // Without the function the two keys need not meet.
        cluster.deploy("bank", "apart", &[])?;
        let shard = |key: &str| {
            let reply = cluster.call(other, "apart", key, "balances", b"")?.good()?;
            Ok::<u32, anyhow::Error>(reply.stamp().context("no stamp")?.shard)
        };
        ensure!(
            shard("acme:ann")? != shard("acme:bob")?,
            "the built-in function put both on one shard by chance"
        );
        Ok(())
    });
}

#[test]
fn a_shard_function_that_fails_for_some_keys_is_an_alarm_and_all_others_are_served() {
    check(Options::of(3), |cluster| {
        let function = artefacts::guest("faulty-shard-function")?.display().to_string();
        cluster.deploy("word-count", "words", &["--shard-function", &function])?;
        for key in ["trap", "out-of-range", "loop", "alloc"] {
            let failed = cluster.call(0, "words", key, "", b"")?;
            ensure!(failed.code() == "shard-function-failed", "{key}: {}", failed.text());
            cluster.call(1, "words", "fine", "", b"")?.good()?;
        }
        let status = cluster.cli(&["status"])?;
        for part in ["the shard function of words gives no shard", "4 call(s)", "Mend the function"] {
            ensure!(status.contains(part), "{part:?} is not in {status}");
        }
        // A deploy that changes the function where there is state names a way out, which goes.
        let by_tenant = artefacts::guest("by-tenant")?.display().to_string();
        let file = artefacts::guest("word-count")?;
        let refused = cluster.deploy_file(&file, "words", &["--shard-function", &by_tenant]);
        let said = refused.err().context("the deploy went through")?.to_string();
        ensure!(said.contains("words keeps state") && said.contains("--delete-state"), "{said}");
        cluster.deploy_file(&file, "other-words", &["--shard-function", &by_tenant])?;
        cluster.cli(&["undeploy", "words", "--delete-state"])?;
        cluster.deploy_file(&file, "words", &["--shard-function", &by_tenant])?;
        let begun = cluster.call(2, "words", "fine", "get", b"")?.good()?;
        ensure!(begun.text() == "0", "{}", begun.text());
        let served = cluster.call(0, "words", "trap", "", b"")?.good()?;
        ensure!(served.text() == "1", "{}", served.text());
        ensure!(
            !cluster.cli(&["status"])?.contains("the shard function of words"),
            "the alarm has outlived the function"
        );
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
