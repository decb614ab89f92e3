//! What the peer net carries over loopback, both ends in one process: `cargo bench -p shardloom-transport`.
//!
//! Prints requests per second and latency by how many are in flight, one-way messages per second, bulk throughput, and what
//! fifty nodes in one process cost when all are connected to all.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use shardloom_sharding::ids::{ClusterId, NodeId};
use shardloom_transport::{Class, ClusterCa, Handler, Incoming, NodeIdentity, NodeKey, PeerNet, PeerOptions};
use tokio::sync::Notify;
use tokio::task::JoinSet;

const BODY_BYTES: usize = 100;
const ROUND: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Echo {
    delivered: AtomicUsize,
    progress: Notify,
}

impl Handler for Echo {
    fn handle(&self, incoming: Incoming) -> BoxFuture<'static, Bytes> {
        if incoming.class == Class::Appends {
            // As handlers do that wait for another task: answered on a second poll.
            return async move {
                tokio::task::yield_now().await;
                incoming.body
            }
            .boxed();
        }
        std::future::ready(incoming.body).boxed()
    }

    fn deliver(&self, _incoming: Incoming) -> BoxFuture<'static, ()> {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        self.progress.notify_one();
        std::future::ready(()).boxed()
    }
}

struct Pair {
    from: PeerNet,
    to: NodeId,
    address: SocketAddr,
    echo: Arc<Echo>,
    _to: PeerNet,
}

fn start(ca: &ClusterCa, node: u64) -> PeerNet {
    let key = NodeKey::create().expect("randomness");
    let signed = ca.sign(NodeId(node), &key.request().expect("a key signs")).expect("a good request");
    let net = PeerNet::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &key, PeerOptions::default());
    let net = net.expect("a free port");
    net.set_identity(&NodeIdentity::assemble(&key, signed).expect("its own")).expect("usable");
    net
}

fn pair(ca: &ClusterCa) -> Pair {
    let (from, to, echo) = (start(ca, 1), start(ca, 2), Arc::new(Echo::default()));
    to.serve(Arc::clone(&echo) as Arc<dyn Handler>).expect("first time");
    Pair { from, to: NodeId(2), address: to.address(), echo, _to: to }
}

/// Memory of this process, in MiB.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN);
    kib / 1024.0
}

async fn fifty_nodes(ca: &ClusterCa) {
    const NODES: u64 = 50;
    let before = resident_mib();
    let echo = Arc::new(Echo::default());
    let nets: Vec<PeerNet> = (0..NODES).map(|node| start(ca, node)).collect();
    for net in &nets {
        net.serve(Arc::clone(&echo) as Arc<dyn Handler>).expect("first time");
    }
    let bound = resident_mib();
    let began = Instant::now();
    for (hub, connected) in [(1, "one to all, all to one"), (NODES, "all to all")] {
        let mut callers = JoinSet::new();
        for from in 0..NODES {
            for to in 0..NODES {
                let (net, address) = (nets[from as usize].clone(), nets[to as usize].address());
                if from == to || (from >= hub && to >= hub) {
                    continue;
                }
                callers.spawn(async move {
                    let until = Instant::now() + Duration::from_secs(60);
                    let ask =
                        || net.request(NodeId(to), address, Class::Control, Bytes::from_static(b"x"), until);
                    // Thousands of handshakes at once: some dials are late, and are tried again.
                    while let Err(error) = ask().await {
                        assert!(Instant::now() < until, "{error}");
                        tokio::task::yield_now().await;
                    }
                });
            }
        }
        callers.join_all().await;
        println!(
            "{NODES} nodes, connected {connected}: {:.1} MiB, {:.2} s since the first dial",
            resident_mib() - before,
            began.elapsed().as_secs_f64()
        );
    }
    println!("{NODES} nodes, not connected: {:.1} MiB", bound - before);
}

async fn requests(pair: &Pair, class: Class, in_flight: usize, round: Duration) -> (usize, Vec<Duration>) {
    let until = Instant::now() + round;
    let body = Bytes::from(vec![7; BODY_BYTES]);
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let (net, to, address, body) = (pair.from.clone(), pair.to, pair.address, body.clone());
        callers.spawn(async move {
            let mut took = Vec::with_capacity(1 << 16);
            loop {
                let began = Instant::now();
                if began >= until {
                    return took;
                }
                let deadline = began + Duration::from_secs(5);
                let reply = net.request(to, address, class, body.clone(), deadline).await.expect("a reply");
                assert_eq!(reply.len(), BODY_BYTES);
                took.push(began.elapsed());
            }
        });
    }
    let mut took: Vec<Duration> = callers.join_all().await.concat();
    took.sort_unstable();
    (took.len(), took)
}

async fn run() {
    let ca = ClusterCa::create(ClusterId(1)).expect("randomness");
    fifty_nodes(&ca).await;
    let pair = pair(&ca);
    requests(&pair, Class::Requests, 64, Duration::from_secs(1)).await;
    println!("{BODY_BYTES}-byte requests and replies, one stream, both ends in this process");
    for (class, how) in [(Class::Requests, "answered at once"), (Class::Appends, "answered by a task")] {
        for in_flight in [1, 64, 256] {
            let (count, took) = requests(&pair, class, in_flight, ROUND).await;
            let at = |part: f64| took[((count - 1) as f64 * part) as usize].as_micros();
            println!(
                "{how:>20}, {in_flight:>3} in flight: {:>7.0} requests/s, p50 {} us, p99 {} us",
                count as f64 / ROUND.as_secs_f64(),
                at(0.5),
                at(0.99)
            );
        }
    }

    let (count, body) = (1_000_000, Bytes::from(vec![7; BODY_BYTES]));
    let began = Instant::now();
    let deadline = began + Duration::from_secs(60);
    for _ in 0..count {
        let sent = pair.from.send(pair.to, pair.address, Class::Control, body.clone(), deadline).await;
        sent.expect("queued");
    }
    while pair.echo.delivered.load(Ordering::Relaxed) < count {
        pair.echo.progress.notified().await;
    }
    println!("one-way messages: {:.0}/s", f64::from(count as u32) / began.elapsed().as_secs_f64());

    let bulk = Bytes::from(vec![7; 256 << 20]);
    let began = Instant::now();
    let reply = pair.from.request(pair.to, pair.address, Class::Bulk, bulk, deadline).await.expect("bulk");
    let mib = (reply.len() >> 20) as f64;
    println!("bulk, there and back: {:.0} MiB/s each way", mib / began.elapsed().as_secs_f64());
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(run());
}
