//! `cargo xtask bench client`: the Rust client, which goes to the owner of a key, beside a client that knows HTTP alone and asks any node.
//!
//! Both keep their connections in the same HTTP library, call the same keys on one cluster of three processes, and take turns case by case.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Args;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client as HttpClient, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use shardloom_client::{Call, Client};
use shardloom_harness::cluster::call_path;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::cluster;
use super::figures::Figures;

/// The guest that is called, and the name it is deployed under.
const KV: &str = "kv";
/// The reply's header that names the owner's address.
const OWNER: &str = "shardloom-node-http";
/// How long is called before it counts: the client has met every key by then.
const WARM_UP: Duration = Duration::from_secs(2);
/// How many keys each caller has.
const KEYS: usize = 16;
/// How long a value is, in bytes.
const VALUE_BYTES: usize = 128;

/// Measure the Rust client beside plain HTTP through any node.
#[derive(Args)]
pub(crate) struct ClientBench {
    /// How many callers call at once, one number a case.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    callers: Vec<usize>,
    /// How many seconds each case is measured in a round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// How many rounds; the cases take turns, and the middle round counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Print one JSON value.
    #[arg(long)]
    json: bool,
}

/// A way of calling.
#[derive(Clone)]
enum Way {
    /// By the Rust client.
    Client(Client),
    /// By HTTP, each call to another node.
    AnyNode { http: HttpClient<HttpConnector, Full<Bytes>>, nodes: Arc<[SocketAddr]> },
}

/// What one way did in one case, over all rounds.
#[derive(Default)]
struct Case {
    rates: Vec<f64>,
    latencies: Figures,
    direct: usize,
    calls: usize,
}

type Cases = BTreeMap<(&'static str, usize, &'static str), Case>;

/// What a caller has seen: how long each call took that counts, and how many of them the asked node ran itself.
type Seen = (Vec<Duration>, usize);

impl ClientBench {
    pub(crate) fn run(self) -> Result<()> {
        let cluster = cluster(1024)?;
        cluster.deploy(KV, KV, &[])?;
        let nodes: Arc<[SocketAddr]> =
            (0..cluster.size()).map(|index| cluster.node(index).addresses.http).collect();
        let runtime = Runtime::new()?;
        let inside = runtime.enter();
        let ways = [
            Way::Client(Client::open(nodes.iter().map(|address| format!("http://{address}")))?),
            Way::AnyNode { http: HttpClient::builder(TokioExecutor::new()).build_http(), nodes },
        ];
        drop(inside);
        let mut cases = Cases::default();
        for round in 1..=self.rounds {
            for callers in &self.callers {
                for method in ["put", "get"] {
                    for way in &ways {
                        let (seen, direct) = runtime
                            .block_on(self.measure(way, method, *callers))
                            .with_context(|| format!("{} {method} by {callers} callers", way.name()))?;
                        let case = cases.entry((method, *callers, way.name())).or_default();
                        case.rates.push(seen.len() as f64 / self.seconds as f64);
                        case.calls += seen.len();
                        case.direct += direct;
                        seen.into_iter().for_each(|latency| case.latencies.add(latency));
                    }
                }
            }
            eprintln!("round {round} of {} done", self.rounds);
        }
        if self.json {
            let values: Vec<Value> = cases.iter().map(|(what, case)| case.value(what)).collect();
            println!("{}", serde_json::to_string_pretty(&values)?);
        } else {
            cases.iter().for_each(|(what, case)| println!("{}", case.line(what)));
        }
        Ok(())
    }

    async fn measure(&self, way: &Way, method: &'static str, callers: usize) -> Result<Seen> {
        let (counts, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut running = JoinSet::new();
        for caller in 0..callers {
            running.spawn(call(way.clone(), method, caller, counts.clone(), done.clone()));
        }
        tokio::time::sleep(WARM_UP).await;
        counts.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        done.store(true, Ordering::Relaxed);
        let (mut all, mut direct) = Seen::default();
        while let Some(seen) = running.join_next().await {
            let (latencies, of_it) = seen??;
            all.extend(latencies);
            direct += of_it;
        }
        Ok((all, direct))
    }
}

impl Way {
    fn name(&self) -> &'static str {
        match self {
            Way::Client(_) => "rust client",
            Way::AnyNode { .. } => "http, any node",
        }
    }

    /// Makes a call; whether the node that was asked ran it.
    async fn call(&self, (method, key, value): (&str, &str, &Bytes), turn: usize) -> Result<bool> {
        match self {
            Way::Client(client) => {
                let call = Call::new(KV, key).method(method).body(value.clone());
                let owner = client.owner(KV, key);
                let reply = client.call(&call).await?;
                Ok(owner.is_some_and(|owner| owner == reply.asked))
            }
            Way::AnyNode { http, nodes } => {
                let address = nodes[turn % nodes.len()];
                let uri = format!("http://{address}{}", call_path(KV, key, method));
                let reply = http.request(Request::post(uri).body(Full::new(value.clone()))?).await?;
                let (head, body) = reply.into_parts();
                let body = body.collect().await?.to_bytes();
                ensure!(head.status.is_success(), "{}: {}", head.status, String::from_utf8_lossy(&body));
                let ran_by = head.headers.get(OWNER).context("a reply names no owner")?.to_str()?;
                Ok(ran_by.parse::<SocketAddr>()? == address)
            }
        }
    }
}

/// Calls again and again until told to end.
async fn call(
    way: Way,
    method: &'static str,
    caller: usize,
    counts: Arc<AtomicBool>,
    done: Arc<AtomicBool>,
) -> Result<Seen> {
    let keys: Vec<String> = (0..KEYS).map(|key| format!("c{caller}-{key}")).collect();
    let value = Bytes::from(vec![b'v'; VALUE_BYTES]);
    let nothing = Bytes::new();
    if method == "get" {
        for (turn, key) in keys.iter().enumerate() {
            way.call(("put", key, &value), turn).await?;
        }
    }
    let body = if method == "put" { &value } else { &nothing };
    let (mut latencies, mut direct, mut turn) = (Vec::new(), 0, caller);
    while !done.load(Ordering::Relaxed) {
        turn += 1;
        let begun = Instant::now();
        let was_direct = way.call((method, &keys[turn % KEYS], body), turn).await?;
        if counts.load(Ordering::Relaxed) {
            latencies.push(begun.elapsed());
            direct += usize::from(was_direct);
        }
    }
    Ok((latencies, direct))
}

impl Case {
    /// Calls a second in the middle round.
    fn rate(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    }

    fn direct_share(&self) -> f64 {
        self.direct as f64 / self.calls.max(1) as f64
    }

    fn line(&self, (method, callers, way): &(&'static str, usize, &'static str)) -> String {
        let ms = |share| self.latencies.quantile(share).as_secs_f64() * 1000.0;
        format!(
            "{method:<4} {callers:>4} callers  {way:<15} {:>8.0} /s   p50 {:>7.2} ms   p99 {:>7.2} ms   {:>5.1} % run by the node that was asked",
            self.rate(),
            ms(0.5),
            ms(0.99),
            self.direct_share() * 100.0,
        )
    }

    fn value(&self, (method, callers, way): &(&'static str, usize, &'static str)) -> Value {
        json!({ "op": method, "callers": callers, "way": way, "per_second": self.rate(), "rounds": self.rates,
                "p50_us": self.latencies.quantile(0.5).as_micros() as u64,
                "p99_us": self.latencies.quantile(0.99).as_micros() as u64,
                "direct_share": self.direct_share() })
    }
}
