//! `cargo xtask faults`: faults under load, again and again. No acknowledged write may be lost, none carried out twice, no old value read;
//! and where only one node fails, no call may fail: each is only late.

use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use shardloom_harness::cluster::Cluster;
use shardloom_harness::load::{Load, Tally};
use shardloom_harness::{Options, artefacts, until};

use crate::{guests, step, wasm_target};

/// The guest that counts, and the name it is deployed under.
const WORKLOAD: &str = "counter";
/// How long the load runs before the fault, and after the last step of it.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(6);
/// How long a halted node stays halted.
const HALT: Duration = Duration::from_secs(10);
/// How long the cluster may take to be whole again.
const WHOLE_MAX: Duration = Duration::from_secs(60);

/// Hurt a cluster under load, and hold every answer against what it must be.
#[derive(Args)]
pub(crate) struct Faults {
    /// Only these kinds; left out, all.
    #[arg(long)]
    kind: Vec<Kind>,
    /// How often each kind is run.
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// How many clients call at once, half of their calls writes.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// How many shards the cluster has.
    #[arg(long, default_value_t = 256)]
    shards: u32,
    /// Print one JSON value.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// kill -9 of an owner that does not lead.
    KillOwner,
    /// kill -9 of the leader.
    KillLeader,
    /// An owner that does not lead is halted for ten seconds.
    HaltOwner,
    /// The leader is halted for ten seconds.
    HaltLeader,
    /// SIGTERM to a node, which is started again.
    Terminate,
    /// kill -9 of every node at once, all started again from their disks.
    KillAll,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::KillOwner,
        Kind::KillLeader,
        Kind::HaltOwner,
        Kind::HaltLeader,
        Kind::Terminate,
        Kind::KillAll,
    ];

    /// Whether clients of the nodes that are left may see a call fail: only where none is left.
    fn may_fail(self) -> bool {
        self == Kind::KillAll
    }
}

struct Outcome {
    kind: Kind,
    slowest: Vec<Duration>,
    tally: Tally,
}

impl Faults {
    pub(crate) fn run(self) -> Result<()> {
        guests::build_rust(&wasm_target::ensure()?)?;
        if std::env::var_os("SHARDLOOM_BIN").is_none() {
            artefacts::use_binary(step::build_binary(true)?);
        }
        let mut cluster = Cluster::start_with(Options { shards: self.shards, ..Options::of(3)? })?;
        cluster.deploy(WORKLOAD, WORKLOAD, &[])?;
        let kinds = if self.kind.is_empty() { Kind::ALL.to_vec() } else { self.kind.clone() };
        let mut outcomes = Vec::new();
        for kind in kinds {
            let mut outcome = Outcome { kind, slowest: Vec::new(), tally: Tally::default() };
            for run in 1..=self.runs {
                let tally =
                    self.once(&mut cluster, kind, run).with_context(|| format!("{kind:?}, run {run}"))?;
                eprintln!(
                    "{kind:?}, run {run} of {}: {} calls, slowest {:.3?}",
                    self.runs, tally.calls, tally.slowest
                );
                let verdict = if kind.may_fail() { tally.contradictions() } else { tally.verdict() };
                if let Err(error) = verdict {
                    eprintln!("{}", cluster.logs());
                    return Err(error.context(format!("{kind:?}, run {run}")));
                }
                outcome.slowest.push(tally.slowest);
                outcome.tally.join(tally)?;
            }
            outcomes.push(outcome);
        }
        if self.json {
            let values: Vec<Value> = outcomes.iter_mut().map(Outcome::value).collect();
            println!("{}", serde_json::to_string_pretty(&values)?);
        } else {
            outcomes.iter_mut().for_each(|outcome| println!("{}", outcome.line()));
        }
        Ok(())
    }

    fn once(&self, cluster: &mut Cluster, kind: Kind, run: usize) -> Result<Tally> {
        whole(cluster)?;
        let leader = cluster.leader()?;
        let victim = match kind {
            Kind::KillLeader | Kind::HaltLeader => leader,
            _ => (leader + 1 + run % 2) % cluster.size(),
        };
        let survivors = (0..cluster.size()).filter(|index| *index != victim || kind == Kind::KillAll);
        let load = Load {
            workload: WORKLOAD,
            nodes: survivors.map(|index| cluster.url(index, "")).collect(),
            clients: self.clients,
            name: format!("{kind:?}-{run}"),
            made: AtomicU64::new(0),
        };
        let ((), tally) = load.during(|| {
            thread::sleep(BEFORE);
            match kind {
                Kind::KillOwner | Kind::KillLeader => {
                    cluster.kill(victim)?;
                    thread::sleep(AFTER);
                    cluster.restart(victim)?;
                }
                Kind::HaltOwner | Kind::HaltLeader => {
                    cluster.stop(victim)?;
                    thread::sleep(HALT);
                    cluster.cont(victim)?;
                }
                Kind::Terminate => {
                    cluster.terminate(victim)?;
                    cluster.restart(victim)?;
                }
                Kind::KillAll => {
                    (0..cluster.size()).try_for_each(|index| cluster.kill(index))?;
                    (0..cluster.size()).try_for_each(|index| cluster.restart(index))?;
                }
            }
            thread::sleep(AFTER);
            whole(cluster)
        })?;
        ensure!(tally.writes > 0, "the load wrote nothing");
        Ok(tally)
    }
}

/// Waits until all nodes live and own something, and nothing moves any more.
fn whole(cluster: &mut Cluster) -> Result<()> {
    cluster.wait_for_members(cluster.size(), WHOLE_MAX)?;
    until("shards on every node", WHOLE_MAX, || {
        let nodes = cluster.status(cluster.any()?)?.nodes;
        ensure!(nodes.iter().all(|node| node.shards_owned > 0), "{nodes:?}");
        Ok(())
    })?;
    cluster.wait_until_settled(WHOLE_MAX)
}

impl Outcome {
    fn sorted(&mut self) -> (Duration, Duration) {
        self.slowest.sort_unstable();
        let middle = self.slowest.get(self.slowest.len() / 2).copied().unwrap_or_default();
        (middle, self.slowest.last().copied().unwrap_or_default())
    }

    fn line(&mut self) -> String {
        let (middle, worst) = self.sorted();
        format!(
            "{:<12} {} runs   {:>9} calls, {:>8} of them writes   {} failed   {} wrong   slowest call p50 {middle:.3?} worst {worst:.3?}",
            format!("{:?}", self.kind),
            self.slowest.len(),
            self.tally.calls,
            self.tally.writes,
            self.tally.failures.len(),
            self.tally.wrong.len()
        )
    }

    fn value(&mut self) -> Value {
        let (middle, worst) = self.sorted();
        json!({ "kind": format!("{:?}", self.kind), "runs": self.slowest.len(), "calls": self.tally.calls,
                "writes": self.tally.writes, "failed": self.tally.failures.len(), "wrong": self.tally.wrong.len(),
                "slowest_p50_ms": middle.as_millis() as u64, "slowest_worst_ms": worst.as_millis() as u64 })
    }
}
