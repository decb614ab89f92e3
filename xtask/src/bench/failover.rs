//! `cargo xtask bench failover`: how long shards go unserved when their owner is killed or halted.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use shardloom_harness::cluster::{Cluster, call_path};
use shardloom_harness::http::Http;
use shardloom_harness::{Witness, until};

use super::figures::Figures;
use super::probe::{self, KEYS};
use super::{WORKLOAD, cluster};

/// How long is probed before something happens, and after.
const QUIET: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(6);
/// How long a halted owner stays halted.
const HALT: Duration = Duration::from_secs(10);
/// How long the cluster may take to be whole again between runs.
const WHOLE_MAX: Duration = Duration::from_secs(60);

/// Kill or halt nodes under load, and measure how long keys go unanswered.
#[derive(Args)]
pub(crate) struct Failover {
    /// How often each case is run.
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// How many shards the cluster has.
    #[arg(long, default_value_t = 1024)]
    shards: u32,
    /// How many closed loops of calls run beside the probes.
    #[arg(long, default_value_t = 2)]
    load: usize,
    /// Only this case.
    #[arg(long)]
    case: Option<Case>,
    /// Print one JSON value.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    /// kill -9 of an owner that does not lead.
    Owner,
    /// kill -9 of the leader.
    Leader,
    /// An owner that does not lead is halted for ten seconds.
    Halt,
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner killed",
            Self::Leader => "leader killed",
            Self::Halt => "owner halted",
        }
    }
}

/// What one case came to.
#[derive(Default)]
struct Outcome {
    victims: Figures,
    others: Figures,
    replies: usize,
}

impl Failover {
    pub(crate) fn run(self) -> Result<()> {
        let mut cluster = cluster(self.shards)?;
        let mut results = Vec::new();
        for case in [Case::Owner, Case::Leader, Case::Halt] {
            if self.case.is_some_and(|only| only != case) {
                continue;
            }
            let mut outcome = Outcome::default();
            for run in 1..=self.runs {
                self.once(&mut cluster, case, &mut outcome)
                    .with_context(|| format!("{}, run {run}", case.name()))?;
                eprintln!("{}: run {run} of {} done", case.name(), self.runs);
            }
            results.push((case, outcome));
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&value(&results))?);
        } else {
            results.iter().for_each(|(case, outcome)| println!("{}", lines(*case, outcome)));
        }
        Ok(())
    }

    fn once(&self, cluster: &mut Cluster, case: Case, outcome: &mut Outcome) -> Result<()> {
        whole(cluster)?;
        let leader = cluster.leader()?;
        let victim = if case == Case::Leader { leader } else { (leader + 1) % cluster.size() };
        let id = cluster.id_of(victim)?;
        let through = (0..cluster.size()).find(|index| *index != victim).context("no survivor")?;
        let groups = probe::groups(cluster, through, &id)?;
        let keys = [groups.victims.as_slice(), &groups.others].concat();
        let survivors: Vec<String> = (0..cluster.size())
            .filter(|index| *index != victim)
            .map(|index| cluster.url(index, ""))
            .collect();

        let (times, mut seen) = probe::during(&keys, &survivors, self.load, || {
            thread::sleep(QUIET);
            let begun = Instant::now();
            let late = match case {
                Case::Owner | Case::Leader => {
                    cluster.kill(victim)?;
                    thread::sleep(AFTER);
                    Witness::default()
                }
                Case::Halt => {
                    cluster.stop(victim)?;
                    thread::sleep(HALT);
                    cluster.cont(victim)?;
                    through_the_victim(&cluster.url(victim, ""), &groups.victims)?
                }
            };
            Ok((begun, Instant::now(), late))
        })?;
        let (begun, end, late) = times;
        seen.witness.join(late)?;
        seen.witness.verdict()?;
        outcome.replies += seen.witness.count();
        let victims = seen.longest_gap(0..KEYS, begun, end);
        let others = seen.longest_gap(KEYS..2 * KEYS, begun, end);
        outcome.victims.add(victims);
        outcome.others.add(others);
        eprintln!("{}: longest gap {victims:.3?}, of other shards {others:.3?}", case.name());
        if victims >= AFTER || others >= AFTER {
            eprintln!("{}", cluster.logs());
        }
        if case != Case::Halt {
            cluster.restart(victim)?;
        }
        Ok(())
    }
}

/// Calls the victim itself, at once after it goes on: it may still believe in its old epoch.
fn through_the_victim(node: &str, keys: &[String]) -> Result<Witness> {
    let (http, mut witness) = (Http::new(), Witness::default());
    let end = Instant::now() + AFTER;
    while Instant::now() < end {
        for key in keys {
            if let Ok(reply) = probe::ask(&http, node, &call_path(WORKLOAD, key, "get")) {
                witness.note(&reply)?;
            }
        }
    }
    Ok(witness)
}

/// Waits until all nodes live, all shards are served, and every node owns enough of them to be a victim.
fn whole(cluster: &mut Cluster) -> Result<()> {
    cluster.wait_for_members(cluster.size(), WHOLE_MAX)?;
    until("shards on every node", WHOLE_MAX, || {
        let nodes = cluster.status(cluster.any()?)?.nodes;
        ensure!(nodes.iter().all(|node| node.shards_owned as usize >= 2 * KEYS), "{nodes:?}");
        Ok(())
    })?;
    // A planned move that is under way when its node dies would be measured as well.
    cluster.wait_until_settled(WHOLE_MAX)
}

fn lines(case: Case, outcome: &Outcome) -> String {
    format!(
        "{}\n{}\n  {} replies, no contradiction among their epochs and owners\n",
        outcome.victims.line(&format!("{}: its shards' longest gap", case.name())),
        outcome.others.line(&format!("{}: other shards' longest gap", case.name())),
        outcome.replies
    )
}

fn value(results: &[(Case, Outcome)]) -> Value {
    let case = |(case, outcome): &(Case, Outcome)| {
        json!({ "case": case.name(), "victim": outcome.victims.value(), "others": outcome.others.value(),
                "replies": outcome.replies, "contradictions": 0 })
    };
    results.iter().map(case).collect()
}
