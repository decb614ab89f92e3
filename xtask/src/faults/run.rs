//! One fault under load: counters that each client has for itself, whose every answer is known at once, and objects that all clients share, whose
//! histories are judged in the end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use shardloom_harness::cluster::Cluster;
use shardloom_harness::load::{Load, Tally};
use shardloom_harness::shared::record::Figures;
use shardloom_harness::shared::{Record, SharedLoad};

use super::kinds::{Kind, whole};
use super::operator::{Done, Operator};

/// The guest of the counters that each client has for itself, and the name it is deployed under: it is one of the shared load's, too.
const WORKLOAD: &str = "counter";
/// How long the load runs before the fault, and after its last step.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(6);
/// How long a node may take to be back on another build.
const BACK_MAX: Duration = Duration::from_secs(90);

/// One run.
pub(super) struct Run {
    pub(super) kind: Kind,
    /// Counts from 1.
    pub(super) number: usize,
    /// Of each load.
    pub(super) clients: usize,
    pub(super) seed: u64,
    /// Whether an operator goes on working meanwhile.
    pub(super) operated: bool,
    /// Whether the nodes begin on a build of older formats, and are replaced by this one meanwhile.
    pub(super) upgraded: bool,
}

/// What the clients have seen.
pub(super) struct Seen {
    pub(super) tally: Tally,
    pub(super) record: Record,
    pub(super) figures: Figures,
    /// What was done to the nodes, where the kind does not say.
    pub(super) done: String,
    /// What the operator has done.
    pub(super) operated: Option<Done>,
}

/// Deploys what the loads call.
pub(super) fn deploy(cluster: &Cluster) -> Result<()> {
    SharedLoad::WORKLOADS.iter().try_for_each(|guest| cluster.deploy(guest, guest, &[]))
}

/// Has nobody quarantined for what is done to it again and again.
pub(super) fn spare(cluster: &Cluster) -> Result<()> {
    // Refused until the leader has raised the level of formats, some seconds after the start.
    cluster.wait("no quarantine", BACK_MAX, |cluster| {
        cluster.cli(&["settings", "set", "flap_limit=0"]).map(drop)
    })
}

impl Run {
    /// Makes the loads, hurts the nodes, and waits until all is whole.
    pub(super) fn make(&self, cluster: &mut Cluster) -> Result<Seen> {
        whole(cluster)?;
        let victims = self.kind.victims(cluster, self.seed as usize)?;
        if let (Some(sickness), Some(victim)) = (self.kind.sickness(), victims.first()) {
            sickness.prepare(cluster, *victim)?;
            whole(cluster)?;
        }
        let urls = |hurt: bool| -> Vec<String> {
            let nodes = (0..cluster.size()).filter(|index| victims.contains(index) == hurt);
            nodes.map(|index| cluster.url(index, "")).collect()
        };
        // An upgrade ends every node once.
        let (steady, hurt) = if self.upgraded {
            (Vec::new(), [urls(false), urls(true)].concat())
        } else {
            (urls(false), urls(true))
        };
        let name = format!("{:?}-{}-{}", self.kind, self.seed, self.number);
        let own = Load {
            workload: WORKLOAD,
            nodes: if steady.is_empty() { hurt.clone() } else { steady.clone() },
            clients: self.clients,
            name: format!("{name}-own"),
            made: AtomicU64::new(0),
        };
        let clients = self.clients;
        let shared = SharedLoad { steady, hurt, clients, seed: self.seed, name, made: AtomicU64::new(0) };
        let mut done = String::new();
        let operator = self.operated.then(|| Operator::new(cluster, self.seed)).transpose()?;
        let seen = own.during(|| {
            shared.during(|| {
                let operated = beside(operator, || {
                    thread::sleep(BEFORE);
                    if self.upgraded {
                        upgrade(cluster, (0..cluster.size()).filter(|node| !victims.contains(node)).take(1))?;
                        // Whoever is started again by the fault itself comes back on this build.
                        victims.iter().for_each(|victim| cluster.node_mut(*victim).binary = None);
                    }
                    done = self.kind.inflict(cluster, &victims, self.seed)?;
                    thread::sleep(AFTER);
                    if self.upgraded {
                        upgrade(cluster, 0..cluster.size())?;
                    }
                    Ok(())
                })?;
                whole(cluster)?;
                if self.upgraded {
                    risen(cluster)?;
                }
                Ok(operated)
            })
        });
        let ((operated, record), tally) = seen.with_context(|| done.clone())?;
        let figures = record.figures();
        ensure!(tally.writes > 0 && figures.writes > 0, "the load wrote nothing");
        Ok(Seen { tally, record, figures, done, operated })
    }
}

/// Replaces the binary of these nodes, one after the other.
fn upgrade(cluster: &mut Cluster, nodes: impl Iterator<Item = usize>) -> Result<()> {
    for node in nodes {
        cluster.node_mut(node).binary = None;
        cluster.terminate(node)?;
        cluster.restart(node)?;
        cluster.wait_for_members(cluster.size(), BACK_MAX)?;
    }
    Ok(())
}

/// Waits until the cluster writes the formats of this build.
fn risen(cluster: &Cluster) -> Result<()> {
    cluster.wait("the level of this build", BACK_MAX, |cluster| {
        let status: Value = cluster.admin(cluster.any()?, "GET", "/v1/status").send()?.good()?.json()?;
        let formats = &status["formats"];
        ensure!(formats["level"] == formats["readable"], "{formats}");
        Ok(())
    })
}

/// Lets the operator, if there is one, work for as long as `act` takes.
fn beside(operator: Option<Operator>, act: impl FnOnce() -> Result<()>) -> Result<Option<Done>> {
    let Some(operator) = operator else { return act().map(|()| None) };
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let work = scope.spawn(|| operator.work_on(&SharedLoad::WORKLOADS, &end));
        let acted = act();
        end.store(true, Ordering::Relaxed);
        let done = work.join().map_err(|_| anyhow!("the operator panicked"))?;
        acted.and(done.map(Some))
    })
}

impl Seen {
    /// Whether every answer was right; and where calls may not fail, whether all were answered.
    pub(super) fn verdict(&self, may_fail: bool) -> Result<()> {
        if may_fail {
            self.tally.contradictions()?;
            return self.record.contradictions();
        }
        self.tally.verdict()?;
        self.record.verdict()
    }

    /// The longest that a call took through nodes that were not hurt.
    pub(super) fn slowest(&self) -> Duration {
        self.tally.slowest.max(self.record.slowest)
    }

    pub(super) fn line(&self) -> String {
        let Figures { operations, writes, pending, keys, gap } = self.figures;
        let operated = self.operated.map(|done| done.to_string()).unwrap_or_default();
        format!(
            "own {} calls, {} of them writes; shared {operations} operations, {writes} of them writes, on {keys} keys, {pending} pending, {} replayed; \
             gap {gap:.3?}, slowest {:.3?}; {} {operated}",
            self.tally.calls,
            self.tally.writes,
            self.record.replayed,
            self.slowest(),
            self.done
        )
    }
}
