//! Versions change under load: no call fails but for what a bad canary does, and no key sees an older version but by a rollback.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardloom_harness::cluster::{Cluster, check};
use shardloom_harness::{Options, until};

use crate::paced::{CALLS_BETWEEN, CALLS_WITHIN, Heard, Step, WORKLOAD, step, under_load};

fn deploy(cluster: &Cluster, flags: &[&str]) -> Result<Step> {
    let begun = Instant::now();
    cluster.deploy("counter", WORKLOAD, flags)?;
    let done = Instant::now();
    println!("deploy {}: {:?}", flags.join(" "), done - begun);
    Ok(Step { begun, done })
}

fn shown(cluster: &Cluster) -> Result<Value> {
    Ok(serde_json::from_str(&cluster.cli(&["workloads", "w", "--json"])?)?)
}

/// The row of a version.
fn row(shown: &Value, version: u64) -> Result<&Value> {
    let rows = shown["versions"].as_array().context("no versions")?;
    rows.iter()
        .find(|row| row["version"] == version)
        .with_context(|| format!("no version {version}: {shown}"))
}

fn canary_shards(shown: &Value) -> Result<BTreeSet<u64>> {
    let shards = shown["canary"]["shards"].as_array().with_context(|| format!("no canary: {shown}"))?;
    shards.iter().map(|shard| shard.as_u64().context("no number")).collect()
}

#[test]
fn deploys_canaries_promotions_and_rollbacks_under_load_cost_no_call() {
    check(Options::of(3), |cluster| {
        deploy(cluster, &["--config", "word=one"])?;
        let nodes: Vec<String> = (0..3).map(|node| cluster.url(node, "")).collect();
        let (steps, seen) = under_load(&nodes, |progress| {
            progress.more(CALLS_BETWEEN)?;
            let second = deploy(cluster, &["--config", "word=two"])?;
            progress.more(CALLS_BETWEEN)?;
            let canary = deploy(cluster, &["--config", "word=three", "--canary", "30%"])?;
            progress.more(CALLS_BETWEEN)?;
            let both = shown(cluster)?;
            for (version, state) in [(2, "current"), (3, "canary")] {
                let row = row(&both, version)?;
                ensure!(row["state"] == state && row["errors"] == 0, "{row}");
                ensure!(row["calls"].as_u64() > Some(0) && row["p99_ms"].as_f64() > Some(0.0), "{row}");
            }
            let refused = cluster.cli_output(&["promote", "nothing"])?;
            ensure!(!refused.status.success(), "there is nothing to promote");
            let promoted = step(cluster, &["promote", "w"])?;
            progress.more(CALLS_BETWEEN)?;
            let back = step(cluster, &["rollback", "w"])?;
            progress.more(CALLS_BETWEEN)?;
            let end = Step { begun: Instant::now(), done: Instant::now() };
            Ok(([second, canary, promoted, back, end], canary_shards(&both)?))
        })?;
        let ([second, canary, promoted, back, end], shards) = steps;
        seen.all_answered()?;
        seen.verdict(&[(&back, 3, 2)])?;
        seen.only(&[2], &second, &canary)?;
        seen.only(&[2, 3], &canary, &promoted)?;
        seen.only(&[3], &promoted, &back)?;
        seen.only(&[2], &back, &end)?;
        for (key, sights) in &seen.sights {
            let Some(shard) = seen.shards.get(key) else { continue };
            for sight in sights.iter().filter(|s| s.sent > canary.done && s.answered < promoted.begun) {
                let tried = matches!(sight.heard, Heard::Version(3));
                ensure!(tried == shards.contains(shard), "{key} on shard {shard}: {sight:?}");
            }
        }
        println!("{}", seen.pauses());
        Ok(())
    });
}

#[test]
fn a_bad_canary_fails_on_its_shards_alone_and_is_ended_at_once() {
    check(Options::of(3), |cluster| {
        deploy(cluster, &[])?;
        let nodes: Vec<String> = (0..3).map(|node| cluster.url(node, "")).collect();
        let (steps, seen) = under_load(&nodes, |progress| {
            progress.more(CALLS_BETWEEN)?;
            // It may answer with one digit, and its counters have two.
            let bad = deploy(cluster, &["--limit", "reply_bytes=1", "--canary", "30%"])?;
            until("the canary to fail", CALLS_WITHIN, || {
                let failed = progress.failed.load(Ordering::Relaxed);
                ensure!(failed >= 20, "{failed} calls have failed");
                Ok(())
            })?;
            let both = shown(cluster)?;
            let (current, canary) = (row(&both, 1)?, row(&both, 2)?);
            ensure!(current["errors"] == 0 && current["calls"].as_u64() > Some(0), "{current}");
            ensure!(canary["error_rate"] == 1.0 && canary["errors"].as_u64() >= Some(20), "{canary}");
            let ended = step(cluster, &["rollback", "w"])?;
            progress.more(CALLS_BETWEEN)?;
            ensure!(shown(cluster)?["canary"].is_null(), "the canary has not ended");
            Ok((bad, ended, canary_shards(&both)?))
        })?;
        let (bad, ended, shards) = steps;
        seen.verdict(&[])?;
        for (key, sights) in &seen.sights {
            for sight in sights {
                let Heard::Failed(code) = &sight.heard else { continue };
                let shard = seen.shards.get(key).with_context(|| format!("{key} was never answered"))?;
                ensure!(code == "guest-limit" && shards.contains(shard), "{key} on shard {shard}: {sight:?}");
                ensure!(sight.answered > bad.begun && sight.sent < ended.done, "after its end: {sight:?}");
            }
        }
        println!("{}", seen.pauses());
        Ok(())
    });
}

#[test]
fn no_key_sees_an_older_version_when_its_owner_dies_in_the_midst_of_a_canary() {
    check(Options::of(3), |cluster| {
        deploy(cluster, &["--config", "word=one"])?;
        // The node that will die is called by no client: what it owns is.
        let nodes: Vec<String> = (0..2).map(|node| cluster.url(node, "")).collect();
        let (back, seen) = under_load(&nodes, |progress| {
            progress.more(CALLS_BETWEEN)?;
            deploy(cluster, &["--config", "word=two", "--canary", "50%"])?;
            cluster.kill(2)?;
            progress.more(CALLS_BETWEEN)?;
            cluster.wait_until_served(CALLS_WITHIN)?;
            step(cluster, &["promote", "w"])?;
            cluster.restart(2)?;
            cluster.wait_for_members(3, CALLS_WITHIN)?;
            progress.more(CALLS_BETWEEN)?;
            let back = step(cluster, &["rollback", "w"])?;
            progress.more(CALLS_BETWEEN)?;
            Ok(back)
        })?;
        seen.all_answered()?;
        seen.verdict(&[(&back, 2, 1)])?;
        println!("{}", seen.pauses());
        Ok(())
    });
}
