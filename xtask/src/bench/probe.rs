//! Keys that are called again and again while something happens to a node, and how long each went unanswered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use shardloom_harness::Witness;
use shardloom_harness::cluster::{Cluster, call_path};
use shardloom_harness::http::{Http, Reply};

use super::WORKLOAD;

/// How often a key is probed.
const EVERY: Duration = Duration::from_millis(20);
/// How long the node may hold one probe. Short: a probe that is stuck must not hide that the next would be answered.
const PROBE_MS: u64 = 200;
/// How much longer the client waits.
const SLACK: Duration = Duration::from_millis(100);
/// How many keys of each group are probed.
pub(crate) const KEYS: usize = 32;
/// How many keys are looked at to find them.
const LOOKED_AT_MAX: usize = 20_000;

/// Keys of one node's shards, and of the others'.
pub(crate) struct Groups {
    /// Keys whose shards the victim owns.
    pub(crate) victims: Vec<String>,
    /// Keys whose shards others own.
    pub(crate) others: Vec<String>,
}

/// Finds keys on different shards, half of them owned by a node.
pub(crate) fn groups(cluster: &Cluster, through: usize, victim: &str) -> Result<Groups> {
    let mut by_shard: BTreeMap<u32, (bool, String)> = BTreeMap::new();
    let count = |by_shard: &BTreeMap<u32, (bool, String)>, of_victim| {
        by_shard.values().filter(|(own, _)| *own == of_victim).count()
    };
    for number in 0..LOOKED_AT_MAX {
        let key = format!("probe-{number}");
        let stamp = cluster.call(through, WORKLOAD, &key, "get", b"")?.good()?.stamp().context("no stamp")?;
        by_shard.entry(stamp.shard).or_insert((stamp.node == victim, key));
        if count(&by_shard, true) >= KEYS && count(&by_shard, false) >= KEYS {
            break;
        }
    }
    let keys = |of_victim| {
        let keys = by_shard.values().filter(|(own, _)| *own == of_victim).map(|(_, key)| key.clone());
        keys.take(KEYS).collect::<Vec<_>>()
    };
    let groups = Groups { victims: keys(true), others: keys(false) };
    ensure!(groups.victims.len() == KEYS && groups.others.len() == KEYS, "too few shards on one side");
    Ok(groups)
}

/// What was seen of the keys.
pub(crate) struct Seen {
    /// For each key, when it was answered.
    pub(crate) answers: Vec<Vec<Instant>>,
    /// All replies, to be held against each other.
    pub(crate) witness: Witness,
}

impl Seen {
    /// The longest time that one of these keys went unanswered, from a moment on until the end of the probing.
    pub(crate) fn longest_gap(&self, keys: std::ops::Range<usize>, from: Instant, end: Instant) -> Duration {
        let gaps = self.answers[keys].iter().map(|answers| {
            let before = answers.iter().rev().find(|at| **at <= from).copied().unwrap_or(from);
            let later = answers.iter().filter(|at| **at > from).copied().chain([end]);
            let mut last = before;
            later.map(|at| at.duration_since(std::mem::replace(&mut last, at))).max().unwrap_or_default()
        });
        gaps.max().unwrap_or_default()
    }
}

/// Probes keys through some nodes while `act` runs, with closed loops of calls beside them as load.
pub(crate) fn during<T>(
    keys: &[String],
    nodes: &[String],
    load: usize,
    act: impl FnOnce() -> Result<T>,
) -> Result<(T, Seen)> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let probers: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(turn, key)| {
                let done = &done;
                scope.spawn(move || probe(key, nodes, turn, done))
            })
            .collect();
        for seed in 0..load {
            let done = &done;
            scope.spawn(move || burden(nodes, seed, done));
        }
        let acted = act();
        done.store(true, Ordering::Relaxed);
        let mut seen = Seen { answers: Vec::new(), witness: Witness::default() };
        for prober in probers {
            let (answers, witness) = prober.join().map_err(|_| anyhow!("a prober panicked"))??;
            seen.answers.push(answers);
            seen.witness.join(witness)?;
        }
        Ok((acted?, seen))
    })
}

/// Probes one key every 20 ms, through each node in turn.
fn probe(key: &str, nodes: &[String], turn: usize, done: &AtomicBool) -> Result<(Vec<Instant>, Witness)> {
    let http = Http::with_connections(1);
    let path = call_path(WORKLOAD, key, "get");
    let (mut answers, mut witness) = (Vec::new(), Witness::default());
    let mut turn = turn;
    // Spread over the interval, so that the keys do not come in bursts.
    let mut due = Instant::now() + EVERY.mul_f64(turn as f64 / KEYS as f64 / 2.0);
    while !done.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due = (due + EVERY).max(Instant::now());
        turn += 1;
        if let Ok(reply) = ask(&http, &nodes[turn % nodes.len()], &path) {
            witness.note(&reply)?;
            if reply.status == 200 {
                answers.push(reply.answered);
            }
        }
    }
    Ok((answers, witness))
}

/// One probe, held for a short time only.
pub(crate) fn ask(http: &Http, node: &str, path: &str) -> Result<Reply> {
    let within = Duration::from_millis(PROBE_MS) + SLACK;
    let ask = http.ask("POST", format!("{node}{path}")).header("shardloom-timeout-ms", &PROBE_MS.to_string());
    ask.within(within).send()
}

/// Calls one key after another without pause.
fn burden(nodes: &[String], seed: usize, done: &AtomicBool) {
    let http = Http::with_connections(1);
    let mut turn = seed;
    while !done.load(Ordering::Relaxed) {
        turn = turn.wrapping_add(1);
        let path = call_path(WORKLOAD, &format!("load-{}-{}", seed, turn % 1000), "");
        // It is load: whether it is answered is for the probes to see.
        let _ = ask(&http, &nodes[turn % nodes.len()], &path);
    }
}
