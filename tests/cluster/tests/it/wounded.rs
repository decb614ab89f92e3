//! The files of a node that was killed are damaged: it comes back, rebuilt where it must be, and is never silently empty.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shardloom_harness::cluster::{READY_MAX, check};
use shardloom_harness::wound::Wound;
use shardloom_harness::{Cluster, Options, until};

use crate::failing::{follower, left};
use crate::under_load::{deploy, during, others, some};

/// Which bits and how many bytes: the same in every run.
const SEED: u64 = 7;

/// The documented exit code of a node whose files are damaged.
const EXIT_DAMAGED: i32 = 65;

/// Kills a node, damages its files and starts it again, while the others answer; then it owns shards again, so that what it
/// holds is looked at.
fn comes_back(cluster: &mut Cluster, wound: Wound) -> Result<()> {
    let victim = follower(cluster)?;
    let (id, survivors) = (cluster.id_of(victim)?, others(cluster, victim));
    let mut said = String::new();
    let tally = during(cluster, &format!("{wound:?}"), &survivors, |cluster, load| {
        cluster.kill(victim)?;
        left(cluster, &id)?;
        some(load)?;
        said = wound.inflict(&cluster.node(victim).data(), SEED)?;
        cluster.restart(victim)?;
        if let Some(code) = ended_or_ready(cluster, victim)? {
            // Votes lie in the write-ahead log: a node whose log is damaged does not go on as if it were the same. It says so, and comes
            // back as a new replica once somebody has removed what is damaged.
            ensure!(code == EXIT_DAMAGED, "it ended with {code}: {}", cluster.node(victim).log_tail());
            println!("{wound:?}: it ended with {code}, and is started again with nothing but its identity");
            Wound::OnlyIdentity.inflict(&cluster.node(victim).data(), SEED)?;
            cluster.restart(victim)?;
        }
        Ok(())
    });
    tally.and_then(|tally| tally.verdict()).with_context(|| format!("{wound:?}: {said}"))
}

/// Waits until a node is ready, or has ended by itself: with which code.
fn ended_or_ready(cluster: &mut Cluster, index: usize) -> Result<Option<i32>> {
    until("the node to be ready, or to end", READY_MAX, || {
        if let Ok(status) = cluster.node_mut(index).ended(Duration::ZERO) {
            return Ok(Some(status.code().unwrap_or_default()));
        }
        cluster.ask(index, "GET", "/readyz").send()?.good()?;
        Ok(None)
    })
}

#[test]
fn a_node_whose_files_were_damaged_comes_back_and_costs_no_call() {
    check(Options::of(3), |cluster| {
        deploy(cluster)?;
        let only = std::env::var("ONLY").ok();
        Wound::ALL
            .into_iter()
            .filter(|w| only.as_ref().is_none_or(|o| format!("{w:?}") == *o))
            .try_for_each(|wound| comes_back(cluster, wound))
    });
}
