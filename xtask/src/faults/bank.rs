//! Money that is moved through many faults in a row, while shards move from node to node.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use shardloom_harness::bank::{BankLoad, WORKLOAD};
use shardloom_harness::cluster::Cluster;
use shardloom_harness::http::{Http, NodeState};
use shardloom_harness::random::Random;
use shardloom_harness::until;

use super::kinds::{Kind, whole};
use super::report::Outcome;

/// One more than there are replicas, so that a drained node's replicas go elsewhere.
pub(super) const NODES: usize = 4;
/// What happens to a node, at random.
const KINDS: [Kind; 5] =
    [Kind::KillOwner, Kind::KillLeader, Kind::HaltOwner, Kind::HaltLeader, Kind::Terminate];
/// How long every shard may take to be served after a fault.
const SERVED_MAX: Duration = Duration::from_secs(90);
/// How long a drained node is given to be rid of its shards.
const DRAINED_MAX: Duration = Duration::from_secs(20);
/// How long a node may take to answer who moves the shards.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// The random streams of faults and of moves; the clients have those from 0.
const FAULTS: u64 = 1_000;
const MOVES: u64 = 1_001;

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
    let mover = Mover::new(cluster, seed)?;
    let (drains, books) = load.during(|| {
        let done = AtomicBool::new(false);
        let drains = thread::scope(|scope| {
            let moves = scope.spawn(|| mover.run(&done));
            let hurt = hurt(cluster, faults, &load, seed);
            done.store(true, Ordering::Relaxed);
            let drains = moves.join().map_err(|_| anyhow!("who moves the shards panicked"))?;
            hurt.and(drains)
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

/// Drains one node after another, and takes it back: so shards move all the time.
struct Mover {
    http: Http,
    nodes: Vec<String>,
    ids: Vec<String>,
    token: String,
    seed: u64,
}

impl Mover {
    fn new(cluster: &Cluster, seed: u64) -> Result<Self> {
        let nodes = (0..cluster.size()).map(|index| cluster.url(index, "")).collect();
        let ids = (0..cluster.size()).map(|index| cluster.id_of(index)).collect::<Result<_>>()?;
        Ok(Self { http: Http::new(), nodes, ids, token: cluster.token().to_owned(), seed })
    }

    /// Says how often a node was rid of all it owned.
    fn run(&self, done: &AtomicBool) -> Result<usize> {
        let mut random = Random::new(self.seed, MOVES);
        let mut drains = 0;
        while !done.load(Ordering::Relaxed) {
            let id = random.pick(&self.ids);
            self.tell(id, "drain")?;
            let rid = until("a node rid of its shards", DRAINED_MAX, || {
                let nodes = self.nodes()?;
                let node = nodes.iter().find(|node| node.id == *id).context("it is no member")?;
                ensure!(node.shards_owned == 0 || done.load(Ordering::Relaxed), "{node:?}");
                Ok(node.shards_owned == 0)
            });
            // It may take longer while a node is hurt; it is taken back all the same.
            drains += usize::from(rid.unwrap_or(false));
            self.tell(id, "add")?;
        }
        Ok(drains)
    }

    /// Through any node that does it.
    fn tell(&self, id: &str, what: &str) -> Result<()> {
        until("a change of a member", SERVED_MAX, || {
            let path = format!("/v1/admin/nodes/{id}/{what}");
            self.first(|node| {
                self.http
                    .ask("POST", format!("{node}{path}"))
                    .token(&self.token)
                    .within(ANSWER_MAX)
                    .send()?
                    .good()
            })
            .map(drop)
        })
    }

    fn nodes(&self) -> Result<Vec<NodeState>> {
        self.first(|node| {
            let ask = self.http.ask("GET", format!("{node}/v1/nodes")).token(&self.token);
            ask.within(ANSWER_MAX).send()?.good()?.json()
        })
    }

    /// The first answer that a node gives.
    fn first<T>(&self, ask: impl Fn(&str) -> Result<T>) -> Result<T> {
        let mut last = anyhow!("there is no node");
        for node in &self.nodes {
            match ask(node) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
