//! `cargo xtask bench state`: replicated writes and linearizable reads a second, by number of clients.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde_json::{Value, json};
use shardloom_harness::cluster::call_path;

use super::cluster;
use super::connection::Connection;
use super::figures::Figures;

/// The guest that is written to, and the name it is deployed under.
const WORKLOAD: &str = "kv";
/// How many keys each client has.
const KEYS: usize = 16;
/// How long a value is, in bytes.
const VALUE_BYTES: usize = 128;
/// How long is called before it counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measure replicated writes and linearizable reads, through all three nodes.
#[derive(Args)]
pub(crate) struct State {
    /// How many clients call at once, one number a case.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    clients: Vec<usize>,
    /// How many seconds each case is measured.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Print one JSON value.
    #[arg(long)]
    json: bool,
}

struct Case {
    method: &'static str,
    clients: usize,
    per_second: f64,
    latencies: Figures,
}

impl State {
    pub(crate) fn run(self) -> Result<()> {
        let cluster = cluster(1024)?;
        cluster.deploy(WORKLOAD, WORKLOAD, &[])?;
        let nodes: Vec<SocketAddr> =
            (0..cluster.size()).map(|index| cluster.node(index).addresses.http).collect();
        let mut cases = Vec::new();
        for clients in &self.clients {
            for method in ["put", "get"] {
                let case = self.measure(&nodes, method, *clients);
                cases.push(case.with_context(|| format!("{method} by {clients} clients"))?);
                eprintln!("{method} by {clients} clients done");
            }
        }
        if self.json {
            let values: Vec<Value> = cases.iter().map(Case::value).collect();
            println!("{}", serde_json::to_string_pretty(&values)?);
        } else {
            cases.iter().for_each(|case| println!("{}", case.line()));
        }
        Ok(())
    }

    fn measure(&self, nodes: &[SocketAddr], method: &'static str, clients: usize) -> Result<Case> {
        let (counting, done) = (AtomicBool::new(false), AtomicBool::new(false));
        let seen: Result<Vec<Vec<Duration>>> = thread::scope(|scope| {
            let callers: Vec<_> = (0..clients)
                .map(|client| {
                    let (address, counting, done) = (nodes[client % nodes.len()], &counting, &done);
                    scope.spawn(move || call(address, method, client, counting, done))
                })
                .collect();
            thread::sleep(WARM_UP);
            counting.store(true, Ordering::Relaxed);
            thread::sleep(Duration::from_secs(self.seconds));
            done.store(true, Ordering::Relaxed);
            callers.into_iter().map(|one| one.join().map_err(|_| anyhow!("a client panicked"))?).collect()
        });
        let mut latencies = Figures::default();
        let seen: Vec<Duration> = seen?.into_iter().flatten().collect();
        let per_second = seen.len() as f64 / self.seconds as f64;
        seen.into_iter().for_each(|latency| latencies.add(latency));
        Ok(Case { method, clients, per_second, latencies })
    }
}

/// Calls over one connection, each key in turn, until told to end; how long each call took that counts.
fn call(
    address: SocketAddr,
    method: &str,
    client: usize,
    counting: &AtomicBool,
    done: &AtomicBool,
) -> Result<Vec<Duration>> {
    let mut connection = Connection::open(address)?;
    let value = "v".repeat(VALUE_BYTES);
    let request = |method: &str, key: usize| {
        let path = call_path(WORKLOAD, &format!("state-{client}-{key}"), method);
        let body = if method == "put" { value.as_str() } else { "" };
        format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            .into_bytes()
    };
    // What is read must be there.
    (0..KEYS).try_for_each(|key| connection.exchange(&request("put", key)))?;
    let requests: Vec<Vec<u8>> = (0..KEYS).map(|key| request(method, key)).collect();
    let (mut latencies, mut turn) = (Vec::new(), client);
    while !done.load(Ordering::Relaxed) {
        turn += 1;
        let begun = Instant::now();
        connection.exchange(&requests[turn % KEYS])?;
        if counting.load(Ordering::Relaxed) {
            latencies.push(begun.elapsed());
        }
    }
    Ok(latencies)
}

impl Case {
    fn line(&self) -> String {
        let ms = |share| self.latencies.quantile(share).as_secs_f64() * 1000.0;
        format!(
            "{:<4} {:>4} clients {:>9.0} /s   p50 {:>7.2} ms   p99 {:>7.2} ms",
            self.method,
            self.clients,
            self.per_second,
            ms(0.5),
            ms(0.99)
        )
    }

    fn value(&self) -> Value {
        json!({ "method": self.method, "clients": self.clients, "per_second": self.per_second,
                "p50_us": self.latencies.quantile(0.5).as_micros() as u64,
                "p99_us": self.latencies.quantile(0.99).as_micros() as u64 })
    }
}
