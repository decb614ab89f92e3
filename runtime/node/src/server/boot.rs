//! One node from its start to its end: the cluster below, the host beside, the server above.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::serve::ListenerExt;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use shardloom_cluster::control::{Addresses, JoinPolicy as ClusterJoinPolicy};
use shardloom_cluster::gossip::GossipTiming;
use shardloom_cluster::raft::RaftTiming;
use shardloom_cluster::service::PeerServer;
use shardloom_cluster::{Beginning, Cluster, ClusterOptions};
use shardloom_host::{Compiler, Host, HostOptions};
use shardloom_protocol::digest::Digest;
use shardloom_sharding::ids::NodeId;
use shardloom_sharding::protocol::timing::Timing;
use shardloom_store::{DataDir, SpaceMarks, WalOptions};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::chores;
use super::cluster_fabric::ClusterFabric;
use super::config::{JoinPolicy, NodeConfig};
use super::disk_and_net::DiskAndNet;
use super::fabric::Fabric;
use super::http::connection::Carrier;
use super::metrics::Metrics;
use super::node_server::NodeServer;
use super::observe;
use crate::credentials::Credentials;

/// The file with the admin token in the data directory of the node that made the cluster.
const ADMIN_TOKEN_FILE: &str = "admin.token";
/// Random bytes of an admin token.
const ADMIN_TOKEN_BYTES: usize = 24;

/// What a build with `SHARDLOOM_BREAK` does not keep; an ordinary one keeps all.
const BROKEN: [(bool, &str); 2] = [
    (shardloom_store::wal::SKIPS_FDATASYNC, "acknowledges writes that are on no disk"),
    (shardloom_cluster::serving::SKIPS_EPOCH_CHECK, "answers under epochs that are over"),
];

/// Runs a node until it is told to end: then it hands over what it owns, answers what it has begun, and closes its logs.
///
/// # Errors
/// If the node cannot start, or must end because a promise could no longer be kept.
pub async fn run(config: NodeConfig, shutdown: CancellationToken) -> Result<(), anyhow::Error> {
    config.validate()?;
    for (broken, what) in BROKEN {
        if broken {
            tracing::error!(
                "THIS BUILD IS BROKEN ON PURPOSE, for tests: it {what}. Never keep data with it."
            );
        }
    }
    // Bound first: a port that is taken is found out before anything is written.
    let listener = TcpListener::bind(config.listen.http)
        .await
        .with_context(|| format!("cannot listen on {} for HTTP", config.listen.http))?;
    let Some(starting) = shutdown.run_until_cancelled(Box::pin(start_cluster(&config))).await else {
        return Ok(());
    };
    let mut cluster = starting?;
    let handle = cluster.handle();
    tracing::info!(node = %handle.me(), cluster = %handle.cluster(), http = %config.http_address(), "the node takes part");
    remember_admin(&config, &handle.cluster().to_string());
    let host = open_host(&config).context("cannot open components/")?;
    let mut metrics = Metrics::default();
    metrics.registry_mut().register_collector(Box::new(DiskAndNet::new(handle.clone())));
    let metrics = Arc::new(metrics);
    let space = handle.space().clone();
    let fabric: Arc<dyn Fabric> = Arc::new(ClusterFabric::new(handle));
    let server =
        NodeServer::new(fabric.clone(), host, metrics.clone(), config.limits.clone(), config.timings.clone());
    cluster.serve(Arc::new(Answering(server.clone())));
    let mut tasks = JoinSet::new();
    let serving = server.clone();
    match config.listen.https() {
        None => {
            // Small replies must not wait for the acknowledgement of the one before.
            let listener = listener.tap_io(|connection| {
                let _ = connection.set_nodelay(true);
            });
            tasks.spawn(async move { serving.serve(listener, Carrier::Plain).await });
        }
        Some((certificate, key)) => {
            let tls = super::tls::TlsListener::open(listener, certificate, key)?;
            tasks.spawn(async move { serving.serve(tls, Carrier::Tls).await });
        }
    }
    tasks.spawn(chores::run(server.clone()));
    tasks.spawn(observe::watch_disk(space, metrics.clone()));
    tasks.spawn(observe::run(fabric, metrics));
    let failed = tokio::select! {
        () = shutdown.cancelled() => None,
        error = cluster.failed() => Some(error),
    };
    if let Some(error) = failed {
        return Err(error.into());
    }
    end(&config, &server, cluster, tasks).await;
    Ok(())
}

async fn end(config: &NodeConfig, server: &Arc<NodeServer>, cluster: Cluster, mut tasks: JoinSet<()>) {
    let wait = Duration::from_millis(config.timings.shutdown_ms);
    tracing::info!("ending: handing over");
    server.begin_shutdown();
    cluster.leave(wait / 2).await;
    server.finish(wait / 2).await;
    tasks.shutdown().await;
    cluster.close().await;
    tracing::info!("ended");
}

async fn start_cluster(config: &NodeConfig) -> anyhow::Result<Cluster> {
    let beginning = beginning(config)?;
    let timings = &config.timings;
    let ms = Duration::from_millis;
    let options = ClusterOptions {
        data: config.data.clone(),
        listen_peer: config.listen.peer,
        listen_gossip: config.listen.gossip,
        addresses: Addresses {
            http: config.http_address(),
            peer: config.peer_address(),
            gossip: config.gossip_address(),
        },
        zone: config.placement.zone.clone(),
        capacity: config.placement.capacity,
        labels: config.placement.labels.clone(),
        beginning,
        timing: Timing {
            lease: ms(timings.lease_ms),
            renew_every: ms(timings.renew_ms()),
            ack_wait: ms(timings.ack_wait_ms),
            hold: ms(timings.hold_ms),
            ..Timing::DEFAULT
        },
        raft: RaftTiming {
            heartbeat_ms: timings.heartbeat_ms,
            election_min_ms: timings.election_min_ms,
            election_max_ms: timings.election_max_ms,
            ..RaftTiming::default()
        },
        gossip: GossipTiming { interval: ms(timings.gossip_ms), ..GossipTiming::default() },
        wal: WalOptions::default(),
        space: SpaceMarks {
            low_bytes: config.limits.disk_low_bytes,
            high_bytes: config.limits.disk_high_bytes,
        },
    };
    Ok(shardloom_cluster::start(options).await?)
}

fn beginning(config: &NodeConfig) -> anyhow::Result<Beginning> {
    // A member ignores how it is to begin; if its admin token is gone, another would only mislead.
    let lost = config.data.join("gossip.db").exists() && read_admin_token(&config.data).is_none();
    if let Some(bootstrap) = config.bootstrap.as_ref().filter(|_| !lost) {
        return Ok(Beginning::Bootstrap {
            shards: bootstrap.shards,
            replicas: bootstrap.replicas,
            join_policy: match bootstrap.join_policy {
                JoinPolicy::Auto => ClusterJoinPolicy::Auto,
                JoinPolicy::Manual => ClusterJoinPolicy::Manual,
            },
            admin_token: Digest(Sha256::digest(admin_token(&config.data)?).into()),
        });
    }
    match &config.join {
        Some(join) => Ok(Beginning::Join { addresses: join.addresses.clone(), token: join.token.parse()? }),
        None => Ok(Beginning::Return),
    }
}

/// The admin token of the cluster that this node makes: made at the first try, kept for the next.
fn admin_token(data: &Path) -> anyhow::Result<String> {
    if let Some(token) = read_admin_token(data) {
        return Ok(token);
    }
    let mut bytes = [0; ADMIN_TOKEN_BYTES];
    getrandom::fill(&mut bytes).context("no random numbers for the admin token")?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // Opened and closed again at once: the cluster opens it for good.
    DataDir::open(data)?.write_private(ADMIN_TOKEN_FILE, token.as_bytes())?;
    Ok(token)
}

fn read_admin_token(data: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data.join(ADMIN_TOKEN_FILE)).ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}

/// Lets the command line on this machine just work, on the node that made the cluster.
fn remember_admin(config: &NodeConfig, cluster: &str) {
    let Some(token) = read_admin_token(&config.data) else { return };
    let scheme = if config.listen.https().is_some() { "https" } else { "http" };
    let server = format!("{scheme}://{}", config.http_address());
    let kept = Credentials::of_user().and_then(|user| user.remember(cluster, &[server], &token));
    if let Err(error) = kept {
        tracing::warn!(%error, "the admin token is in the data directory only: use SHARDLOOM_ADMIN_TOKEN or `shardloom login`");
    }
}

fn open_host(config: &NodeConfig) -> anyhow::Result<Host> {
    let mut options = HostOptions::new(config.data.join("components"), Compiler::this_binary()?);
    options.compile.wall = Duration::from_millis(config.timings.compile_ms);
    options.compile.memory_bytes = config.limits.compile_memory_bytes_max;
    Ok(Host::new(options)?)
}

/// The server, for peers.
struct Answering(Arc<NodeServer>);

impl PeerServer for Answering {
    fn answer(&self, from: NodeId, body: Bytes) -> BoxFuture<'static, Bytes> {
        let server = self.0.clone();
        async move { server.handle_peer(from, body).await }.boxed()
    }
}
