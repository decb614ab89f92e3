//! `cargo xtask bench neighbours`: what each way in which a guest can misbehave costs the calls beside it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use serde_json::{Value, json};
use shardloom_harness::cluster::{Cluster, call_path};
use shardloom_harness::http::Http;

use super::figures::Figures;
use super::{WORKLOAD, cluster};

/// The guest that misbehaves, by method.
const FAULTY: &str = "faulty";
/// Its methods.
const METHODS: [&str; 17] = [
    "ok",
    "invalid",
    "not-found",
    "conflict",
    "failed",
    "slow",
    "trap",
    "panic",
    "loop",
    "alloc",
    "alloc-and-cope",
    "recurse",
    "big-reply",
    "many-headers",
    "big-headers",
    "big-failure",
    "log-flood",
];
/// How many neighbours are called, each on a key of its own.
const NEIGHBOURS: usize = 16;
/// How often each is called.
const EVERY: Duration = Duration::from_millis(20);
/// How many callers of the faulty method there are, each with one call under way.
const CALLERS: usize = 2;

/// Measure a neighbour's latency beside each method of the guest that misbehaves.
#[derive(Args)]
pub(crate) struct Neighbours {
    /// How many seconds each method is called.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Print one JSON value.
    #[arg(long)]
    json: bool,
}

struct Outcome {
    method: &'static str,
    faults: u64,
    latencies: Figures,
}

impl Neighbours {
    pub(crate) fn run(self) -> Result<()> {
        let cluster = cluster(1024)?;
        cluster.deploy(FAULTY, FAULTY, &[])?;
        let quiet = self.beside(&cluster, "(quiet)")?;
        let base = quiet.latencies.quantile(0.99);
        let mut outcomes = vec![quiet];
        for method in METHODS {
            outcomes.push(self.beside(&cluster, method)?);
            eprintln!("{method} done");
        }
        if self.json {
            let values: Vec<Value> = outcomes.iter().map(Outcome::value).collect();
            println!("{}", serde_json::to_string_pretty(&values)?);
        } else {
            outcomes.iter().for_each(|outcome| println!("{}", outcome.line(base)));
        }
        let live = cluster.status(0)?.nodes.iter().filter(|node| node.state == "live").count();
        ensure!(live == cluster.size(), "{live} nodes live");
        Ok(())
    }

    /// Calls the neighbours while the method is called, or nothing else is.
    fn beside(&self, cluster: &Cluster, method: &'static str) -> Result<Outcome> {
        let (done, faults) = (AtomicBool::new(false), AtomicU64::new(0));
        let nodes: Vec<String> = (0..cluster.size()).map(|index| cluster.url(index, "")).collect();
        let mut latencies = Figures::default();
        let seen: Result<Vec<Vec<Duration>>> = thread::scope(|scope| {
            let neighbours: Vec<_> = (0..NEIGHBOURS)
                .map(|number| {
                    let (nodes, done) = (&nodes, &done);
                    scope.spawn(move || neighbour(nodes, number, done))
                })
                .collect();
            for caller in 0..if METHODS.contains(&method) { CALLERS } else { 0 } {
                let (nodes, done, faults) = (&nodes, &done, &faults);
                scope.spawn(move || misbehave(nodes, method, caller, done, faults));
            }
            thread::sleep(Duration::from_secs(self.seconds));
            done.store(true, Ordering::Relaxed);
            neighbours.into_iter().map(|one| one.join().map_err(|_| anyhow!("a caller panicked"))?).collect()
        });
        seen?.into_iter().flatten().for_each(|latency| latencies.add(latency));
        Ok(Outcome { method, faults: faults.into_inner(), latencies })
    }
}

/// Calls one key of a well-behaved guest, and returns how long each call took. Every call must be answered.
fn neighbour(nodes: &[String], number: usize, done: &AtomicBool) -> Result<Vec<Duration>> {
    let http = Http::with_connections(1);
    let path = call_path(WORKLOAD, &format!("neighbour-{number}"), "get");
    let (mut latencies, mut due, mut turn) = (Vec::new(), Instant::now(), number);
    while !done.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due = (due + EVERY).max(Instant::now());
        turn += 1;
        let begun = Instant::now();
        http.ask("POST", format!("{}{path}", nodes[turn % nodes.len()])).send()?.good()?;
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}

/// Calls the faulty method again and again, on many shards.
fn misbehave(nodes: &[String], method: &str, caller: usize, done: &AtomicBool, faults: &AtomicU64) {
    let http = Http::with_connections(1);
    let mut turn = caller;
    while !done.load(Ordering::Relaxed) {
        turn += 1;
        let path = call_path(FAULTY, &format!("faulty-{caller}-{turn}"), method);
        // It is to fail: how, the tests of the cluster look at.
        let _ = http.ask("POST", format!("{}{path}", nodes[turn % nodes.len()])).send();
        faults.fetch_add(1, Ordering::Relaxed);
    }
}

impl Outcome {
    fn line(&self, base: Duration) -> String {
        let ms = |share| self.latencies.quantile(share).as_secs_f64() * 1000.0;
        let times = self.latencies.quantile(0.99).as_secs_f64() / base.as_secs_f64();
        format!(
            "{:<14} {:>7} calls of it   neighbours' p50 {:>7.2} ms   p99 {:>7.2} ms   {times:>5.1} times quiet",
            self.method,
            self.faults,
            ms(0.5),
            ms(0.99)
        )
    }

    fn value(&self) -> Value {
        json!({ "method": self.method, "calls": self.faults,
                "p50_us": self.latencies.quantile(0.5).as_micros() as u64,
                "p99_us": self.latencies.quantile(0.99).as_micros() as u64 })
    }
}
