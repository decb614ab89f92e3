//! What does not heal by itself is told, with what to do; what has healed is counted.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, READY_MAX, check};

/// How long until a replica counts as one that stays behind: it has been silent for some twenty seconds by then.
const TOLD_MAX: Duration = Duration::from_secs(90);

/// The sum of a metric over all nodes that run, and over all series that begin so.
fn metric(cluster: &Cluster, begins: &str) -> Result<f64> {
    let mut sum = 0.0;
    let running: Vec<usize> = cluster.running().map(|node| node.index).collect();
    for index in running {
        let text = cluster.admin(index, "GET", "/metrics").send()?.good()?.text();
        let values = text.lines().filter(|line| line.starts_with(begins));
        sum += values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
    }
    Ok(sum)
}

#[test]
fn a_replica_that_stays_behind_is_told_until_it_has_caught_up_and_takeovers_are_counted() {
    check(Options::of(3), |cluster| {
        cluster.deploy("counter", "counter", &[])?;
        let lost = cluster.id_of(2)?;
        let owned = cluster.shards(0)?.iter().filter(|shard| shard.owner.as_ref() == Some(&lost)).count();
        ensure!(owned > 0, "it owns nothing");
        let (taken_over, served_by_others) = (
            "shardloom_moves_total{outcome=\"done\",reason=\"node-lost\"}",
            "shardloom_handover_seconds_count",
        );
        ensure!(metric(cluster, "shardloom_shards_unowned")? == 0.0, "all are served");
        cluster.kill(2)?;
        let before = metric(cluster, served_by_others)?;
        cluster.wait_until_served(READY_MAX)?;
        cluster.wait("its shards to be counted", READY_MAX, |cluster| {
            let moved = metric(cluster, taken_over)?;
            ensure!(moved >= owned as f64, "{moved} of {owned} were taken over");
            ensure!(metric(cluster, served_by_others)? > before, "no hand-over is timed");
            ensure!(metric(cluster, "shardloom_shards_unowned")? == 0.0, "some are unowned");
            Ok(())
        })?;
        for key in 0..64 {
            cluster.call(0, "counter", &key.to_string(), "add", b"1")?.good()?;
        }
        let says = |text: &String| text.contains(&lost) && text.contains("takes in nothing of");
        let told = cluster.wait("the alarm", TOLD_MAX, |cluster| {
            let warnings = cluster.status(1)?.warnings;
            let told = warnings.iter().find(|text| says(text)).cloned();
            told.ok_or_else(|| anyhow::anyhow!("{warnings:?}"))
        })?;
        ensure!(told.contains("start it again") && told.contains("10m (replica_grace)"), "{told}");
        let status: Value = serde_json::from_str(&cluster.cli(&["status", "--json"])?)?;
        ensure!(status["last_election_seconds_ago"].is_u64(), "{status:#}");
        ensure!(cluster.cli(&["status"])?.contains("(last election "), "it is not shown");
        cluster.restart(2)?;
        cluster.wait("the end of the alarm", TOLD_MAX, |cluster| {
            let warnings = cluster.status(1)?.warnings;
            ensure!(!warnings.iter().any(says), "{warnings:?}");
            Ok(())
        })
    });
}
