//! Disks that fail a sync, or are full.

use anyhow::{Result, bail, ensure};
use shardloom_harness::cluster::{END_MAX, check};
use shardloom_harness::failing_sync::FailingSync;
use shardloom_harness::fullness::Filler;
use shardloom_harness::means::Means;
use shardloom_harness::mount::Disks;
use shardloom_harness::{Cluster, Options};

use crate::failing::{HEAL_MAX, follower, left};
use crate::under_load::{deploy, during, others, some};

/// The documented exit code of a node whose write or fdatasync failed.
const EXIT_DISK_FAILED: i32 = 74;

#[test]
fn a_node_whose_fdatasync_fails_ends_and_its_calls_are_only_late() {
    if !Means::offered(&[Means::Compiler]) {
        return;
    }
    check(Options::of(3), |cluster| {
        deploy(cluster)?;
        let victim = follower(cluster)?;
        let sync = FailingSync::compile(cluster.directory())?;
        cluster.terminate(victim)?;
        cluster.node_mut(victim).environment = sync.environment();
        cluster.restart(victim)?;
        cluster.wait_for_members(3, HEAL_MAX)?;
        cluster.wait_until_settled(HEAL_MAX)?;
        let id = cluster.id_of(victim)?;
        let survivors = others(cluster, victim);
        let tally = during(cluster, "fdatasync fails", &survivors, |cluster, load| {
            sync.fail()?;
            let status = cluster.node_mut(victim).ended(END_MAX)?;
            ensure!(status.code() == Some(EXIT_DISK_FAILED), "it ended with {status}");
            left(cluster, &id)?;
            some(load)?;
            cluster.node_mut(victim).environment.clear();
            cluster.restart(victim)
        })?;
        tally.verdict()
    });
}

/// The size of the nodes' disks: small, so that it is soon full, but large enough for some segments of the write-ahead log.
const DISK_BYTES: u64 = 192 << 20;
/// A value large enough that some hundred of them fill what the write-ahead log has prepared.
const VALUE_BYTES: usize = 40 << 10;
/// How many of these are written while the disk is full: more than the write-ahead log has room for.
const VALUES: usize = 1500;

#[test]
fn a_node_whose_disk_is_full_loses_nothing_and_heals_without_a_restart() {
    if !Means::offered(&[Means::Tmpfs]) {
        return;
    }
    let disks = Disks::Tmpfs { bytes: DISK_BYTES };
    check(Options::of(3).map(|options| Options { disks, ..options }), |cluster| {
        deploy(cluster)?;
        cluster.deploy("kv", "kv", &[])?;
        let victim = follower(cluster)?;
        let survivors = others(cluster, victim);
        let tally = during(cluster, "disk full", &survivors, |cluster, load| {
            let filler = Filler::fill(&cluster.node(victim).data())?;
            write_much(cluster, &survivors)?;
            some(load)?;
            // Full is not broken: it runs, and goes on by itself.
            cluster.node_mut(victim).check()?;
            filler.empty()
        })?;
        let others = tally.failures.iter().filter(|failure| !failure.contains("disk-full"));
        let others: Vec<&String> = others.collect();
        ensure!(others.is_empty(), "{} calls failed, the first: {}", others.len(), others[0]);
        Ok(())
    });
}

/// Writes large values; each is taken, or refused since the disk is full.
fn write_much(cluster: &Cluster, nodes: &[usize]) -> Result<()> {
    let value = vec![b'v'; VALUE_BYTES];
    let mut refused = 0;
    for number in 0..VALUES {
        let node = nodes[number % nodes.len()];
        let reply = cluster.call(node, "kv", &format!("large-{}", number % 100), "put", &value)?;
        match reply.code().as_str() {
            "" if reply.status == 200 => {}
            "disk-full" => refused += 1,
            _ => bail!("put: {} {}", reply.status, reply.text()),
        }
    }
    println!("{refused} of {VALUES} large values were refused since the disk is full");
    Ok(())
}
