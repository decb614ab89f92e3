//! `shardloom dev`: a whole cluster in this process, on loopback, to try things on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::Value;
use shardloom_cluster::ClusterError;
use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use ureq::http::Method;

use super::client::{Client, Outgoing, QUICK};
use super::dev_home::Home;
use super::dev_members::Members;
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
        let mut cluster = Cluster::new(&home)?;
        let started = self.start(&home, &mut cluster);
        let ended = started.and_then(|(status, client)| {
            print!("{}", self.described(&status, data, cluster.nodes.len()));
            cluster.serve(watch, &client)?;
            Ok(status.cluster_id)
        });
        cluster.end().and(ended)
    }

    fn start(&self, home: &Home<'_>, cluster: &mut Cluster<'_>) -> anyhow::Result<(StatusReply, Client)> {
        let wait = progress::wait("the nodes start");
        let token_file = home.token_file();
        let (gone, left): (Vec<u16>, Vec<u16>) = (1..=self.nodes).partition(|index| home.is_removed(*index));
        for index in gone {
            eprintln!(
                "node-{index} was removed from the cluster, so it is not started: {}",
                home.what_then(index)
            );
        }
        let kept = token_file.exists();
        // Nodes that were here before find their cluster by themselves, and it may need them to begin. The first one makes it.
        let begins = |index: u16| index == 1 || (kept && home.directory(index).join("gossip.db").exists());
        let (old, new): (Vec<u16>, Vec<u16>) = left.into_iter().partition(|index| begins(*index));
        if old.is_empty() {
            bail!("none of these nodes is a member any more: begin a new cluster in another directory");
        }
        let mut servers = Vec::new();
        for index in old.iter().copied() {
            let bootstrap = Bootstrap { shards: self.shards, ..Bootstrap::default() };
            let config = NodeConfig { bootstrap: (index == 1).then_some(bootstrap), ..home.config(index) };
            servers.push(format!("http://{}", config.http_address()));
            cluster.start(index, config);
        }

        let token = cluster.wait("the first node's admin token", |_| {
            std::fs::read_to_string(&token_file).ok().filter(|token| !token.trim().is_empty())
        })?;
        let token = token.trim();
        let client = Client::open(&servers, Some(token.to_owned()), None)?;
        for (indexes, were_members) in [(&old, true), (&new, false)] {
            for index in indexes {
                cluster.members.add(home, *index, were_members && kept, token)?;
            }
        }
        if !new.is_empty() {
            let ready = || Outgoing::new(Method::GET, "/readyz").without_token();
            cluster.wait("a node that is ready", |_| client.send(ready()).ok())?;
        }
        for index in new {
            let reply = client.write(Method::POST, "/v1/admin/tokens", &Value::Null, QUICK)?;
            let join_token = reply["token"].as_str().context("the node's reply holds no token")?.to_owned();
            let addresses = old.iter().map(|index| home.config(*index).peer_address()).collect();
            let join = Join { addresses, token: join_token };
            cluster.start(index, NodeConfig { join: Some(join), ..home.config(index) });
        }
        let status = cluster.wait("all nodes and shards", |running| {
            let status: StatusReply = typed(&client.read("/v1/status").ok()?).ok()?;
            let up = |state: &str| matches!(state, "live" | "draining" | "quarantined");
            let up = status.nodes.iter().filter(|node| up(&node.state)).count();
            let served = status.shards.served == status.shards.total && status.shards.total > 0;
            (up >= running && served).then_some(status)
        })?;
        wait.finish_and_clear();
        cluster.members.all_joined();
        let servers: Vec<String> = status.nodes.iter().map(|node| format!("http://{}", node.http)).collect();
        Credentials::of_user()?.remember(&status.cluster_id, &servers, token)?;
        Ok((status, client))
    }

    fn described(&self, status: &StatusReply, data: &Path, nodes: usize) -> String {
        let mut text = format!(
            "cluster {} serves {} shards on {nodes} node(s):\n",
            status.cluster_id, status.shards.total
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
struct Cluster<'a> {
    home: &'a Home<'a>,
    runtime: Runtime,
    /// Each with its number.
    nodes: JoinSet<(u16, anyhow::Result<()>)>,
    /// By which each of them is ended, by number.
    running: BTreeMap<u16, CancellationToken>,
    members: Members,
    shutdown: CancellationToken,
    interrupted: CancellationToken,
    /// Interrupted once more.
    given_up: CancellationToken,
    _listener: JoinSet<()>,
}

impl<'a> Cluster<'a> {
    fn new(home: &'a Home<'a>) -> anyhow::Result<Self> {
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
        let (nodes, running, members) = (JoinSet::new(), BTreeMap::new(), Members::new());
        let shutdown = CancellationToken::new();
        Ok(Self {
            home,
            runtime,
            nodes,
            running,
            members,
            shutdown,
            interrupted,
            given_up,
            _listener: listener,
        })
    }

    fn start(&mut self, index: u16, config: NodeConfig) {
        let shutdown = self.shutdown.child_token();
        let node = Box::pin(server::run(config, shutdown.clone()));
        self.running.insert(index, shutdown);
        self.nodes.spawn_on(async move { (index, node.await) }, self.runtime.handle());
    }

    /// Looks until something is there, told how many nodes run; a node that ends early, or Ctrl-C, ends the wait.
    fn wait<T>(&mut self, what: &str, mut look: impl FnMut(usize) -> Option<T>) -> anyhow::Result<T> {
        let end = Instant::now() + READY_MAX;
        loop {
            self.look_after_nodes()?;
            if self.interrupted.is_cancelled() {
                bail!("interrupted before the cluster was up");
            }
            if let Some(found) = look(self.nodes.len()) {
                return Ok(found);
            }
            if Instant::now() >= end {
                bail!("{what}: not there after {READY_MAX:?}; SHARDLOOM_LOG=info says what the nodes do");
            }
            std::thread::sleep(POLL);
        }
    }

    /// Lets the nodes serve until interrupted, and looks at a directory meanwhile.
    fn serve(&mut self, mut watch: Option<Watch>, client: &Client) -> anyhow::Result<()> {
        while !self.interrupted.is_cancelled() {
            self.look_after_nodes()?;
            if let Some(watch) = &mut watch {
                watch.look(client);
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Sees which nodes have ended, and ends those that are members no more and have not heard of it.
    fn look_after_nodes(&mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.nodes.try_join_next() {
            self.go_on_without(ended)?;
        }
        for index in self.members.gone() {
            if let Some(shutdown) = self.running.get(&index) {
                shutdown.cancel();
            }
        }
        Ok(())
    }

    /// A node has ended by itself. If it was removed from the cluster, the others serve on.
    ///
    /// # Errors
    /// If it has ended for another reason, or it was the last.
    fn go_on_without(&mut self, ended: Ended) -> anyhow::Result<()> {
        let (index, ended) = ended.context("a node ended")?;
        let shutdown = self.running.remove(&index);
        let was_told = shutdown.is_some_and(|shutdown| shutdown.is_cancelled());
        let error = match ended {
            Ok(()) if was_told => anyhow!("node-{index} was removed from the cluster"),
            Ok(()) => bail!("a node ended though nobody told it to"),
            Err(error) if was_removed(&error) => error,
            Err(error) => return Err(error.context("a node ended")),
        };
        self.home.mark_removed(index)?;
        if self.nodes.is_empty() {
            return Err(error.context("the last node ended"));
        }
        let then = self.home.what_then(index);
        eprintln!(
            "node-{index} was removed from the cluster and has ended; {} node(s) serve on: {then}",
            self.nodes.len()
        );
        Ok(())
    }

    /// Ends all nodes and waits for them, unless interrupted once more.
    fn end(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        eprintln!("ending");
        self.runtime.block_on(async {
            loop {
                tokio::select! {
                    ended = self.nodes.join_next() => match ended {
                        Some(ended) => match ended? {
                            (index, Err(error)) if was_removed(&error) => self.home.mark_removed(index)?,
                            (_, ended) => ended?,
                        },
                        None => return Ok(()),
                    },
                    () = self.given_up.cancelled() => bail!("interrupted a second time: ended in the middle of ending"),
                }
            }
        })
    }
}

/// What became of a node.
type Ended = Result<(u16, anyhow::Result<()>), JoinError>;

/// Whether a node ended since it is no member any more.
fn was_removed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(ClusterError::Removed { .. })))
}
