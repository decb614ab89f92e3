//! `shardloom dev`: a whole cluster in this process, on loopback, to try things on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use ureq::http::Method;

use super::client::{Client, Outgoing, QUICK};
use super::dev_home::Home;
use super::replies::{StatusReply, typed};
use super::watch::Watch;
use super::{Global, node, progress};
use crate::credentials::Credentials;
use crate::server;
use crate::server::config::{Bootstrap, Join, LogFormat, NodeConfig};

/// The most nodes: each needs ports, sockets and logs of its own.
const NODES_MAX: u16 = 64;
/// How long the cluster may take to serve.
const READY_MAX: Duration = Duration::from_secs(60);
/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(100);

/// Run a whole cluster in this process, on loopback, until Ctrl-C.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom dev
  shardloom dev --nodes 5 --data ./cluster
  shardloom dev --http-port 9080
  shardloom dev --watch greeter

Node 1 takes the HTTP port and the two behind it (UDP, for the other nodes); each further node's ports are 10 higher. With another port than
7080, tell the other commands: export SHARDLOOM_SERVER=http://127.0.0.1:9080")]
pub(super) struct Dev {
    /// Keep the cluster in this directory; left out, it is temporary.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How many nodes.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=NODES_MAX.into()))]
    nodes: u16,
    /// The first node's HTTP port; left out, that of the cluster that is kept, or 7080. For a second cluster on this machine, take another one.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    http_port: Option<u16>,
    /// How many shards a new cluster gets.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    shards: u32,
    /// Build and deploy this directory, and do so again whenever its source changes.
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = ".")]
    watch: Option<PathBuf>,
}

impl Dev {
    pub(super) fn run(self, _global: &Global) -> anyhow::Result<()> {
        node::start_log(LogFormat::Text, "warn,openraft=off");
        match &self.data {
            Some(data) => self.run_in(data).map(drop),
            None => {
                let directory = tempfile::Builder::new().prefix("shardloom-dev-").tempdir()?;
                let cluster_id = self.run_in(directory.path())?;
                // The token of a cluster that is gone would only confuse.
                Credentials::of_user()?.forget(&cluster_id)?;
                Ok(())
            }
        }
    }

    /// Runs the cluster until Ctrl-C, and returns its id.
    fn run_in(&self, data: &Path) -> anyhow::Result<String> {
        // Before anything starts: a directory that cannot be watched is found out at once, and so is a port that is taken.
        let watch = self.watch.clone().map(Watch::new).transpose()?;
        let home = Home::open(data, self.http_port, self.nodes)?;
        let mut cluster = Cluster::new()?;
        let started = self.start(&home, &mut cluster);
        let ended = started.and_then(|(status, client)| {
            print!("{}", self.described(&status, data));
            match watch {
                Some(watch) => cluster.watch(watch, &client)?,
                None => cluster.until_interrupted()?,
            }
            Ok(status.cluster_id)
        });
        cluster.end().and(ended)
    }

    fn start(&self, home: &Home<'_>, cluster: &mut Cluster) -> anyhow::Result<(StatusReply, Client)> {
        let wait = progress::wait("the nodes start");
        let token_file = home.token_file();
        // Nodes that were here before find their cluster by themselves, and it may need them to begin.
        let returning = |index: u16| token_file.exists() && home.directory(index).join("gossip.db").exists();
        let (old, new): (Vec<u16>, Vec<u16>) = (2..=self.nodes).partition(|index| returning(*index));
        let bootstrap = Bootstrap { shards: self.shards, ..Bootstrap::default() };
        cluster.start(NodeConfig { bootstrap: Some(bootstrap), ..home.config(1) });
        old.into_iter().for_each(|index| cluster.start(home.config(index)));

        let token = cluster.wait("the first node's admin token", || {
            std::fs::read_to_string(&token_file).ok().filter(|token| !token.trim().is_empty())
        })?;
        let server = format!("http://{}", home.config(1).http_address());
        let client = Client::open(&[server], Some(token.trim().to_owned()), None)?;
        if !new.is_empty() {
            let ready = || Outgoing::new(Method::GET, "/readyz").without_token();
            cluster.wait("a node that is ready", || client.send(ready()).ok())?;
        }
        for index in new {
            let reply = client.write(Method::POST, "/v1/admin/tokens", &Value::Null, QUICK)?;
            let token = reply["token"].as_str().context("the node's reply holds no token")?.to_owned();
            let join = Join { addresses: vec![home.config(1).peer_address()], token };
            cluster.start(NodeConfig { join: Some(join), ..home.config(index) });
        }
        let status = cluster.wait("all nodes and shards", || {
            let status: StatusReply = typed(&client.read("/v1/status").ok()?).ok()?;
            let live = status.nodes.iter().filter(|node| node.state == "live").count();
            let served = status.shards.served == status.shards.total && status.shards.total > 0;
            (live == usize::from(self.nodes) && served).then_some(status)
        })?;
        wait.finish_and_clear();
        let servers: Vec<String> = status.nodes.iter().map(|node| format!("http://{}", node.http)).collect();
        Credentials::of_user()?.remember(&status.cluster_id, &servers, token.trim())?;
        Ok((status, client))
    }

    fn described(&self, status: &StatusReply, data: &Path) -> String {
        let mut text = format!(
            "cluster {} serves {} shards on {} node(s):\n",
            status.cluster_id, status.shards.total, self.nodes
        );
        for node in &status.nodes {
            text.push_str(&format!("  http://{}  {}  {}\n", node.http, node.id, node.role));
        }
        let kept = if self.data.is_some() { "data in" } else { "Ctrl-C ends it and removes" };
        text.push_str(&format!("{kept} {}\n", data.display()));
        text
    }
}

/// The nodes of this process.
struct Cluster {
    runtime: Runtime,
    nodes: JoinSet<anyhow::Result<()>>,
    shutdown: CancellationToken,
    interrupted: CancellationToken,
    /// Interrupted once more.
    given_up: CancellationToken,
    _listener: JoinSet<()>,
}

impl Cluster {
    fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let interrupted = CancellationToken::new();
        let given_up = CancellationToken::new();
        let mut listener = JoinSet::new();
        let told = [interrupted.clone(), given_up.clone()];
        let listen = async move {
            for told in told {
                if tokio::signal::ctrl_c().await.is_ok() {
                    told.cancel();
                }
            }
        };
        listener.spawn_on(listen, runtime.handle());
        let (nodes, shutdown) = (JoinSet::new(), CancellationToken::new());
        Ok(Self { runtime, nodes, shutdown, interrupted, given_up, _listener: listener })
    }

    fn start(&mut self, config: NodeConfig) {
        let node = Box::pin(server::run(config, self.shutdown.clone()));
        self.nodes.spawn_on(node, self.runtime.handle());
    }

    /// Looks until something is there; a node that ends early, or Ctrl-C, ends the wait.
    fn wait<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
        let end = Instant::now() + READY_MAX;
        loop {
            if let Some(ended) = self.nodes.try_join_next() {
                return Err(early(ended));
            }
            if self.interrupted.is_cancelled() {
                bail!("interrupted before the cluster was up");
            }
            if let Some(found) = look() {
                return Ok(found);
            }
            if Instant::now() >= end {
                bail!("{what}: not there after {READY_MAX:?}; SHARDLOOM_LOG=info says what the nodes do");
            }
            std::thread::sleep(POLL);
        }
    }

    /// Looks at a directory until interrupted.
    fn watch(&mut self, mut watch: Watch, client: &Client) -> anyhow::Result<()> {
        while !self.interrupted.is_cancelled() {
            if let Some(ended) = self.nodes.try_join_next() {
                return Err(early(ended));
            }
            watch.look(client);
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn until_interrupted(&mut self) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            tokio::select! {
                () = self.interrupted.cancelled() => Ok(()),
                Some(ended) = self.nodes.join_next() => Err(early(ended)),
            }
        })
    }

    /// Ends all nodes and waits for them, unless interrupted once more.
    fn end(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        eprintln!("ending");
        self.runtime.block_on(async {
            loop {
                tokio::select! {
                    ended = self.nodes.join_next() => match ended {
                        Some(ended) => ended??,
                        None => return Ok(()),
                    },
                    () = self.given_up.cancelled() => bail!("interrupted a second time: ended in the middle of ending"),
                }
            }
        })
    }
}

/// A node that ended though nobody told it to.
fn early(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow!("a node ended though nobody told it to"),
        Ok(Err(error)) => error.context("a node ended"),
        Err(error) => anyhow::Error::from(error).context("a node ended"),
    }
}
