//! Objects that all clients share, judged by their histories while nodes fail; and money that is moved meanwhile. `cargo xtask faults` does this
//! for longer, and for more kinds of faults.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shardloom_harness::bank::{self, BankLoad};
use shardloom_harness::cluster::{Cluster, check};
use shardloom_harness::shared::{Record, SharedLoad};
use shardloom_harness::{Options, until};

/// How long the survivors may take on a machine that does much else.
const HEAL_MAX: Duration = Duration::from_secs(60);
/// Operations that must be answered before and after each step.
const MORE: u64 = 300;

/// Waits until so many more calls are answered.
fn more(made: &AtomicU64, count: u64) -> Result<()> {
    let before = made.load(Ordering::Relaxed);
    until("calls to be answered", HEAL_MAX, || {
        ensure!(made.load(Ordering::Relaxed) >= before + count, "they are not");
        Ok(())
    })
}

/// Does something to these nodes while the others, and they, are called. Failures print the seed.
fn under_load(
    cluster: &mut Cluster,
    (seed, victims): (u64, &[usize]),
    act: impl FnOnce(&mut Cluster, &AtomicU64) -> Result<()>,
) -> Result<Record> {
    for guest in SharedLoad::WORKLOADS {
        cluster.deploy(guest, guest, &[])?;
    }
    let urls = |hurt: bool| {
        let nodes = (0..cluster.size()).filter(|index| victims.contains(index) == hurt);
        nodes.map(|index| cluster.url(index, "")).collect::<Vec<_>>()
    };
    let (steady, hurt) = (urls(false), urls(true));
    let load =
        SharedLoad { steady, hurt, clients: 6, seed, name: format!("s{seed}"), made: AtomicU64::new(0) };
    let ((), record) = load
        .during(|| {
            more(&load.made, MORE)?;
            act(cluster, &load.made)?;
            cluster.wait_for_members(3, HEAL_MAX)?;
            cluster.wait_until_served(HEAL_MAX)?;
            more(&load.made, MORE)
        })
        .with_context(|| format!("seed {seed}"))?;
    Ok(record)
}

fn follower(cluster: &Cluster) -> Result<usize> {
    Ok((cluster.leader()? + 1) % cluster.size())
}

/// Waits until the others have taken a node's shards.
fn left(cluster: &Cluster, victim: &str, survivor: usize) -> Result<()> {
    cluster.wait("new owners", HEAL_MAX, |cluster| {
        let owned =
            cluster.shards(survivor)?.into_iter().find(|shard| shard.owner.as_deref() == Some(victim));
        ensure!(owned.is_none(), "{owned:?}");
        Ok(())
    })
}

#[test]
fn shared_objects_are_linearizable_and_no_call_fails_when_an_owner_is_killed() {
    check(Options::of(3), |cluster| {
        let (victim, seed) = (follower(cluster)?, 11);
        let record = under_load(cluster, (seed, &[victim]), |cluster, made| {
            cluster.kill(victim)?;
            more(made, MORE)?;
            cluster.restart(victim)
        })?;
        record.verdict().with_context(|| format!("seed {seed}"))
    });
}

#[test]
fn shared_objects_are_linearizable_when_an_owner_is_halted_and_goes_on() {
    check(Options::of(3), |cluster| {
        let (victim, seed) = (follower(cluster)?, 12);
        let id = cluster.id_of(victim)?;
        let record = under_load(cluster, (seed, &[victim]), |cluster, made| {
            cluster.stop(victim)?;
            left(cluster, &id, (victim + 1) % 3)?;
            more(made, MORE)?;
            cluster.cont(victim)
        })?;
        record.verdict().with_context(|| format!("seed {seed}"))
    });
}

#[test]
fn shared_objects_are_linearizable_when_every_node_is_killed() {
    check(Options::of(3), |cluster| {
        let seed = 13;
        let record = under_load(cluster, (seed, &[0, 1, 2]), |cluster, _| {
            (0..3).try_for_each(|index| cluster.kill(index))?;
            (0..3).try_for_each(|index| cluster.restart(index))
        })?;
        record.contradictions().with_context(|| format!("seed {seed}"))
    });
}

#[test]
fn money_is_neither_made_nor_lost_when_nodes_are_killed_and_drained() {
    check(Options::of(3), |cluster| {
        cluster.deploy(bank::WORKLOAD, bank::WORKLOAD, &[])?;
        let nodes = (0..cluster.size()).map(|index| cluster.url(index, "")).collect();
        let load = BankLoad { nodes, clients: 4, seed: 14, name: "bank".to_owned(), made: AtomicU64::new(0) };
        let ((), books) = load.during(|| {
            for victim in [follower(cluster)?, cluster.leader()?] {
                let drained = cluster.id_of((victim + 1) % 3)?;
                more(&load.made, MORE)?;
                cluster.wait("the node drained", HEAL_MAX, |cluster| {
                    cluster.cli(&["node", "drain", &drained])
                })?;
                more(&load.made, MORE)?;
                cluster.kill(victim)?;
                cluster.restart(victim)?;
                // The leader may just have been killed, and then the answer may be lost: it is said once more.
                cluster.wait("the drained node added again", HEAL_MAX, |cluster| {
                    cluster.cli(&["node", "add", &drained])
                })?;
                cluster.wait_for_members(3, HEAL_MAX)?;
                cluster.wait_until_served(HEAL_MAX)?;
            }
            more(&load.made, MORE)
        })?;
        ensure!(books.transfers > MORE && books.checks > MORE, "too little was done");
        Ok(())
    });
}
