//! The files of a node that was killed are damaged: it comes back, rebuilt where it must be, and is never silently empty.

use anyhow::{Context, Result};
use shardloom_harness::cluster::check;
use shardloom_harness::wound::Wound;
use shardloom_harness::{Cluster, Options};

use crate::failing::{follower, left};
use crate::under_load::{deploy, during, others, some};

/// Which bits and how many bytes: the same in every run.
const SEED: u64 = 7;

/// Kills a node, damages its files and starts it again, while the others answer; then one of the others is killed, so that what the
/// wounded one holds counts.
fn comes_back(cluster: &mut Cluster, wound: Wound) -> Result<()> {
    let victim = follower(cluster)?;
    let (id, survivors) = (cluster.id_of(victim)?, others(cluster, victim));
    let mut said = String::new();
    let tally = during(cluster, &format!("{wound:?}"), &survivors, |cluster, load| {
        cluster.kill(victim)?;
        left(cluster, &id)?;
        some(load)?;
        said = wound.inflict(&cluster.node(victim).data(), SEED)?;
        cluster.restart(victim)
    });
    tally.and_then(|tally| tally.verdict()).with_context(|| format!("{wound:?}: {said}"))
}

#[test]
fn a_node_whose_files_were_damaged_comes_back_and_costs_no_call() {
    check(Options::of(3), |cluster| {
        deploy(cluster)?;
        Wound::ALL.into_iter().try_for_each(|wound| comes_back(cluster, wound))
    });
}
