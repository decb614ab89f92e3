//! `cargo xtask bench requests`: requests a second through one node, beside the same server without a guest.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde_json::{Value, json};
use shardloom_harness::cluster::{Cluster, call_path};

use super::connection::Connection;
use super::figures::Figures;
use super::{WORKLOAD, cluster};

/// How long is called before it counts: instances are made, code is warm.
const WARM_UP: Duration = Duration::from_secs(1);
/// How many keys are called for a case, each on another shard, so that calls do not wait for one guest.
const KEYS: usize = 64;
/// How many keys are looked at to find them.
const LOOKED_AT_MAX: usize = 20_000;

/// Measure requests a second: local shards, remote shards, and no guest at all.
#[derive(Args)]
pub(crate) struct Requests {
    /// How many connections call at once.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How many seconds each case is measured in a round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many rounds; the cases take turns, and the middle round counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Print one JSON value.
    #[arg(long)]
    json: bool,
}

/// One way of calling.
struct Case {
    name: &'static str,
    requests: Vec<Vec<u8>>,
    rates: Vec<f64>,
    latencies: Figures,
}

impl Requests {
    pub(crate) fn run(self) -> Result<()> {
        let cluster = cluster(1024)?;
        let address = cluster.node(0).addresses.http;
        let id = cluster.id_of(0)?;
        let call = |key: &String| {
            let path = call_path(WORKLOAD, key, "get");
            format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: 0\r\n\r\n").into_bytes()
        };
        let (local, remote) = keys(&cluster, &id)?;
        let plain = b"GET /healthz HTTP/1.1\r\nhost: bench\r\n\r\n".to_vec();
        let case = |name, requests| Case { name, requests, rates: Vec::new(), latencies: Figures::default() };
        let mut cases = [
            case("no guest (/healthz)", vec![plain]),
            case("local shard", local.iter().map(call).collect()),
            case("remote shard, one hop", remote.iter().map(call).collect()),
        ];
        for round in 1..=self.rounds {
            for case in &mut cases {
                self.measure(address, case).with_context(|| case.name)?;
            }
            eprintln!("round {round} of {} done", self.rounds);
        }
        let base = cases[0].rate();
        if self.json {
            let values: Vec<Value> = cases.iter().map(|case| case.value(base)).collect();
            println!("{}", serde_json::to_string_pretty(&values)?);
        } else {
            cases.iter().for_each(|case| println!("{}", case.line(base)));
        }
        Ok(())
    }

    fn measure(&self, address: SocketAddr, case: &mut Case) -> Result<()> {
        let (counting, done) = (AtomicBool::new(false), AtomicBool::new(false));
        let requests = &case.requests;
        let seen: Result<Vec<Vec<Duration>>> = thread::scope(|scope| {
            let callers: Vec<_> = (0..self.connections)
                .map(|seed| {
                    let (counting, done) = (&counting, &done);
                    scope.spawn(move || call(address, requests, seed, counting, done))
                })
                .collect();
            thread::sleep(WARM_UP);
            counting.store(true, Ordering::Relaxed);
            thread::sleep(Duration::from_secs(self.seconds));
            done.store(true, Ordering::Relaxed);
            callers
                .into_iter()
                .map(|caller| caller.join().map_err(|_| anyhow!("a caller panicked"))?)
                .collect()
        });
        let seen = seen?;
        let count: usize = seen.iter().map(Vec::len).sum();
        case.rates.push(count as f64 / self.seconds as f64);
        seen.into_iter().flatten().for_each(|latency| case.latencies.add(latency));
        Ok(())
    }
}

impl Case {
    /// Requests a second in the middle round.
    fn rate(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    }

    fn line(&self, base: f64) -> String {
        let ms = |share| self.latencies.quantile(share).as_secs_f64() * 1000.0;
        format!(
            "{:<24} {:>9.0} /s   {:>5.2} of no guest   p50 {:>6.2} ms   p99 {:>6.2} ms",
            self.name,
            self.rate(),
            self.rate() / base,
            ms(0.5),
            ms(0.99)
        )
    }

    fn value(&self, base: f64) -> Value {
        json!({ "case": self.name, "per_second": self.rate(), "ratio": self.rate() / base, "rounds": self.rates,
                "p50_us": self.latencies.quantile(0.5).as_micros() as u64,
                "p99_us": self.latencies.quantile(0.99).as_micros() as u64 })
    }
}

/// Calls over one connection until told to end, and returns how long each call took that counts.
fn call(
    address: SocketAddr,
    requests: &[Vec<u8>],
    seed: usize,
    counting: &AtomicBool,
    done: &AtomicBool,
) -> Result<Vec<Duration>> {
    let mut connection = Connection::open(address)?;
    let mut latencies = Vec::new();
    let mut turn = seed;
    while !done.load(Ordering::Relaxed) {
        turn += 1;
        let begun = Instant::now();
        connection.exchange(&requests[turn % requests.len()])?;
        if counting.load(Ordering::Relaxed) {
            latencies.push(begun.elapsed());
        }
    }
    Ok(latencies)
}

/// Keys on different shards: those of the node that is called, and those of others.
fn keys(cluster: &Cluster, id: &str) -> Result<(Vec<String>, Vec<String>)> {
    let (mut local, mut remote) = (Vec::new(), Vec::new());
    let mut shards = std::collections::BTreeSet::new();
    for number in 0..LOOKED_AT_MAX {
        let key = format!("bench-{number}");
        let stamp = cluster.call(0, WORKLOAD, &key, "get", b"")?.good()?.stamp().context("no stamp")?;
        if shards.insert(stamp.shard) {
            let group = if stamp.node == id { &mut local } else { &mut remote };
            if group.len() < KEYS {
                group.push(key);
            }
        }
        if local.len() == KEYS && remote.len() == KEYS {
            break;
        }
    }
    Ok((local, remote))
}
