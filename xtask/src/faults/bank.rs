//! Money that is moved through many faults in a row, while shards move from node to node.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use shardloom_harness::bank::{BankLoad, WORKLOAD};
use shardloom_harness::cluster::Cluster;
use shardloom_harness::random::Random;
use shardloom_harness::until;

use super::kinds::{Kind, whole};
use super::operator::Operator;
use super::report::Outcome;

/// One more than there are replicas, so that a drained node's replicas go elsewhere.
pub(super) const NODES: usize = 4;
/// What happens to a node, at random.
const KINDS: [Kind; 5] =
    [Kind::KillOwner, Kind::KillLeader, Kind::HaltOwner, Kind::HaltLeader, Kind::Terminate];
/// How long every shard may take to be served after a fault.
const SERVED_MAX: Duration = Duration::from_secs(90);
/// The random stream of faults; the clients have those from 0, and the operator the next.
const FAULTS: u64 = 1_000;

/// Moves money through so many faults.
pub(super) fn run(mut cluster: Cluster, faults: usize, clients: usize, seed: u64) -> Result<Outcome> {
    cluster.deploy(WORKLOAD, WORKLOAD, &[])?;
    let seen = through(&mut cluster, faults, clients, seed);
    seen.map_err(|error| {
        eprintln!("{}", cluster.logs());
        error.context(format!("bank, seed {seed}"))
    })
}

fn through(cluster: &mut Cluster, faults: usize, clients: usize, seed: u64) -> Result<Outcome> {
    let nodes: Vec<String> = (0..cluster.size()).map(|index| cluster.url(index, "")).collect();
    let load = BankLoad { nodes, clients, seed, name: format!("bank-{seed}"), made: AtomicU64::new(0) };
    let operator = Operator::new(cluster, seed)?;
    let (drains, books) = load.during(|| {
        let done = AtomicBool::new(false);
        let drains = thread::scope(|scope| {
            let moves = scope.spawn(|| operator.drain_on(&done));
            let hurt = hurt(cluster, faults, &load, seed);
            done.store(true, Ordering::Relaxed);
            let drains = moves.join().map_err(|_| anyhow!("who moves the shards panicked"))?;
            hurt.and(Ok(drains?.drains))
        })?;
        whole(cluster)?;
        Ok(drains)
    })?;
    eprintln!(
        "bank: {faults} faults, {drains} drains; {} transfers, {} of them answered from an earlier attempt; {} attempts made again; \
         accounts added up {} times",
        books.transfers, books.replayed, books.again, books.checks
    );
    ensure!(drains > 0 || faults < 5, "no shard was moved");
    let mut outcome = Outcome::of(Kind::Bank);
    outcome.calls = books.transfers + books.checks;
    outcome.writes = books.transfers;
    outcome.gaps.push(books.gap());
    outcome.slowest.push(books.slowest);
    Ok(outcome)
}

/// One fault after another; money is moved between them.
fn hurt(cluster: &mut Cluster, faults: usize, load: &BankLoad, seed: u64) -> Result<()> {
    let mut random = Random::new(seed, FAULTS);
    for fault in 1..=faults {
        let kind = *random.pick(&KINDS);
        let victims = kind.victims(cluster, random.below(NODES))?;
        let before = load.made.load(Ordering::Relaxed);
        eprintln!("bank, fault {fault} of {faults}: {kind:?} of node {}, {before} calls so far", victims[0]);
        kind.signal(cluster, &victims).with_context(|| format!("fault {fault}, {kind:?}"))?;
        cluster.wait_until_served(SERVED_MAX).with_context(|| format!("after fault {fault}, {kind:?}"))?;
        until("calls to be answered", SERVED_MAX, || {
            ensure!(load.made.load(Ordering::Relaxed) > before, "none is");
            Ok(())
        })?;
    }
    Ok(())
}
