//! A cluster of real node processes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::artefacts;
use crate::http::{Ask, Http, Reply, Shard, Status, segment};
use crate::mount::{Disks, Mount};
use crate::network::Network;
pub use crate::options::Options;
use crate::orphans;
use crate::process::{Process, clean_environment};
use crate::wait::until;

/// How long a cluster may take to serve, on a machine that does much else.
pub const READY_MAX: Duration = Duration::from_secs(60);
/// How long nothing must have moved for a map to count as settled: the planner looks more often.
pub const SETTLED: Duration = Duration::from_millis(1500);
/// How long a process may take to end when told to.
pub const END_MAX: Duration = Duration::from_secs(30);
/// How long a deploy may take: a debug build compiles guests slowly.
pub const DEPLOY_MAX: Duration = Duration::from_secs(180);

/// A running cluster. Its processes end, and its data goes, when it is dropped.
pub struct Cluster {
    // Dropped in this order: a process before what it uses.
    nodes: Vec<Process>,
    network: Network,
    disks: Disks,
    mounts: Vec<Option<Mount>>,
    flags: Vec<String>,
    /// The binary of nodes that are added; none, the one that is tested.
    pub binary: Option<PathBuf>,
    token: String,
    http: Http,
    directory: TempDir,
}

impl Cluster {
    /// Starts some nodes and waits until all shards are served.
    ///
    /// # Errors
    /// If that does not happen in time; the nodes' logs are printed.
    pub fn start(nodes: usize) -> Result<Self> {
        Self::start_with(Options::of(nodes)?)
    }

    /// Starts a cluster and waits until all shards are served.
    ///
    /// # Errors
    /// If that does not happen in time; the nodes' logs are printed.
    pub fn start_with(options: Options) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix(&orphans::prefix()).tempdir()?;
        let flags = [options.flags, options.network.flags()].concat();
        let mut cluster = Self {
            nodes: Vec::new(),
            network: options.network,
            disks: options.disks,
            mounts: Vec::new(),
            flags,
            binary: options.binary,
            token: String::new(),
            http: Http::new(),
            directory,
        };
        let made = ["--shards", &options.shards.to_string(), "--replicas", &options.replicas.to_string()];
        let first =
            [["--bootstrap".to_owned()].as_slice(), &made.map(str::to_owned), &options.first_flags].concat();
        let settled = cluster.settle(options.nodes, &first, &options.progress);
        match settled {
            Ok(()) => Ok(cluster),
            Err(error) => bail!("{error:#}\n{}", cluster.logs()),
        }
    }

    fn settle(&mut self, nodes: usize, first_flags: &[String], progress: &dyn Fn(&str)) -> Result<()> {
        progress("the first node makes the cluster");
        let first = self.add(first_flags)?;
        self.token = until("the admin token", READY_MAX, || {
            self.nodes[first].check()?;
            let text = std::fs::read_to_string(self.nodes[first].data().join("admin.token"))?;
            ensure!(!text.trim().is_empty(), "it is empty");
            Ok(text.trim().to_owned())
        })?;
        self.wait_until_served(READY_MAX)?;
        until("the first node to be ready", READY_MAX, || self.ask(first, "GET", "/readyz").send()?.good())?;
        let tokens: Vec<String> = (1..nodes).map(|_| self.create_token()).collect::<Result<_>>()?;
        for token in tokens {
            progress(&format!("node {} of {nodes} joins", self.size() + 1));
            let flags = self.join_flags(&token)?;
            self.add(&flags)?;
        }
        progress("the nodes agree on who owns what");
        self.wait_for_members(nodes, READY_MAX)?;
        self.wait_until_settled(READY_MAX)
    }

    /// Waits until all shards are served and nothing has moved for a while: guests keep what they know in memory, so a
    /// planned move in the middle of a test would look like a loss.
    ///
    /// # Errors
    /// If that does not happen in time, or a node ends by itself.
    pub fn wait_until_settled(&mut self, within: Duration) -> Result<()> {
        let mut before: Option<(Instant, Vec<Shard>)> = None;
        until("a map that stays as it is", within, || {
            self.nodes.iter_mut().try_for_each(Process::check)?;
            let views: Vec<Vec<Shard>> =
                self.running().map(|node| self.shards(node.index)).collect::<Result<_>>()?;
            ensure!(views.windows(2).all(|pair| pair[0] == pair[1]), "the nodes' views differ");
            let view = views.into_iter().next().context("no node runs")?;
            ensure!(view.iter().all(|shard| shard.state == "served"), "not all shards are served");
            match &before {
                Some((since, same)) if *same == view => {
                    ensure!(since.elapsed() >= SETTLED, "nothing has moved for {:?}", since.elapsed());
                    Ok(())
                }
                _ => {
                    before = Some((Instant::now(), view));
                    bail!("the map has changed")
                }
            }
        })
    }

    /// The ends of all nodes' logs.
    pub fn logs(&self) -> String {
        let log = |node: &Process| {
            format!("--- log of node {} ({}):\n{}", node.index, node.addresses.http, node.log_tail())
        };
        self.nodes.iter().map(log).collect::<Vec<_>>().join("\n")
    }

    /// Starts one more node that joins by a fresh token, and returns its index without waiting for it.
    ///
    /// # Errors
    /// If no token can be had or the process does not start.
    pub fn join(&mut self) -> Result<usize> {
        let token = self.create_token()?;
        let flags = self.join_flags(&token)?;
        self.add(&flags)
    }

    /// The flags with which a node joins by this token.
    ///
    /// # Errors
    /// If there is no node to join.
    pub fn join_flags(&self, token: &str) -> Result<Vec<String>> {
        let members: Vec<String> = self.running().map(|node| node.addresses.peer.to_string()).collect();
        ensure!(!members.is_empty(), "no node runs");
        Ok(["--join", &members.join(","), "--token", token].map(str::to_owned).into())
    }

    /// Starts one more node with these flags, and returns its index.
    ///
    /// # Errors
    /// If its process does not start.
    pub fn add(&mut self, flags: &[String]) -> Result<usize> {
        let index = self.nodes.len();
        let addresses = self.network.addresses(index)?;
        let mut node = Process::new(index, addresses, self.directory.path());
        node.launcher = self.network.launcher(index);
        node.binary = self.binary.clone();
        self.mounts.push(self.disks.make(&node.data())?);
        node.start(&[flags, &self.flags].concat())?;
        self.nodes.push(node);
        Ok(index)
    }

    /// A fresh join token.
    ///
    /// # Errors
    /// If no node gives one.
    pub fn create_token(&self) -> Result<String> {
        until("a join token", READY_MAX, || {
            let reply = self.admin(self.any()?, "POST", "/v1/admin/tokens").send()?.good()?;
            let token = reply.json::<Value>()?["token"].as_str().map(str::to_owned);
            token.context("no token in the reply")
        })
    }

    /// A node, by its number from 0.
    pub fn node(&self, index: usize) -> &Process {
        &self.nodes[index]
    }

    /// A node, by its number from 0, to do something to it.
    pub fn node_mut(&mut self, index: usize) -> &mut Process {
        &mut self.nodes[index]
    }

    /// Where the nodes listen.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What a node's file system is mounted by, to put another in its place.
    pub(crate) fn mount_mut(&mut self, index: usize) -> &mut Option<Mount> {
        &mut self.mounts[index]
    }

    /// How many nodes were ever started.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Where the cluster's files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The admin token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The nodes whose processes run.
    pub fn running(&self) -> impl Iterator<Item = &Process> {
        self.nodes.iter().filter(|node| node.is_started())
    }

    /// Ends a node's process at once.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        self.nodes[index].kill()
    }

    /// Halts a node's process.
    ///
    /// # Errors
    /// If it does not run.
    pub fn stop(&self, index: usize) -> Result<()> {
        self.nodes[index].stop()
    }

    /// Lets a halted process go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn cont(&self, index: usize) -> Result<()> {
        self.nodes[index].cont()
    }

    /// Tells a node to hand over and end, and waits until it has ended well.
    ///
    /// # Errors
    /// If it does not, or its exit code says that something went wrong.
    pub fn terminate(&mut self, index: usize) -> Result<()> {
        let status = self.nodes[index].terminate(END_MAX)?;
        ensure!(status.success(), "node {index} ended with {status}\n{}", self.nodes[index].log_tail());
        Ok(())
    }

    /// Starts a node again from its disk alone.
    ///
    /// # Errors
    /// If its process does not start.
    pub fn restart(&mut self, index: usize) -> Result<()> {
        let flags = self.flags.clone();
        self.nodes[index].start(&flags)
    }

    /// What a node says about the cluster.
    ///
    /// # Errors
    /// If it does not say anything.
    pub fn status(&self, index: usize) -> Result<Status> {
        self.admin(index, "GET", "/v1/status").send()?.good()?.json()
    }

    /// What a node says about the shards.
    ///
    /// # Errors
    /// If it does not say anything.
    pub fn shards(&self, index: usize) -> Result<Vec<Shard>> {
        self.admin(index, "GET", "/v1/shards").send()?.good()?.json()
    }

    /// The first node that runs.
    ///
    /// # Errors
    /// If none does.
    pub fn any(&self) -> Result<usize> {
        self.running().map(|node| node.index).next().context("no node runs")
    }

    /// The number of the node with this id.
    ///
    /// # Errors
    /// If no member has it.
    pub fn index_of(&self, id: &str) -> Result<usize> {
        let status = self.status(self.any()?)?;
        let state = status.nodes.iter().find(|node| node.id == id);
        let http = &state.with_context(|| format!("no member {id}"))?.http;
        let index = self.nodes.iter().position(|node| node.addresses.http.to_string() == *http);
        index.with_context(|| format!("no node at {http}"))
    }

    /// The id of a node.
    ///
    /// # Errors
    /// If it is no member.
    pub fn id_of(&self, index: usize) -> Result<String> {
        let http = self.nodes[index].addresses.http.to_string();
        let status = self.status(self.any()?)?;
        let state = status.nodes.into_iter().find(|node| node.http == http);
        Ok(state.with_context(|| format!("no member at {http}"))?.id)
    }

    /// The number of the node that leads.
    ///
    /// # Errors
    /// If none does in time.
    pub fn leader(&self) -> Result<usize> {
        until("a leader", READY_MAX, || {
            let id = self.status(self.any()?)?.leader.context("none leads")?;
            self.index_of(&id)
        })
    }

    /// Waits until every running node says that all shards are served.
    ///
    /// # Errors
    /// If that does not happen in time, or a node ends by itself.
    pub fn wait_until_served(&mut self, within: Duration) -> Result<()> {
        until("all shards served", within, || {
            self.nodes.iter_mut().try_for_each(Process::check)?;
            for node in self.running() {
                let totals = self.status(node.index)?.shards;
                ensure!(totals.all_served(), "node {} says {totals:?}", node.index);
            }
            Ok(())
        })
    }

    /// Waits until every running node knows this many live members.
    ///
    /// # Errors
    /// If that does not happen in time, or a node ends by itself.
    pub fn wait_for_members(&mut self, count: usize, within: Duration) -> Result<()> {
        until("all members live", within, || {
            self.nodes.iter_mut().try_for_each(Process::check)?;
            for node in self.running() {
                let nodes = self.status(node.index)?.nodes;
                let live = nodes.iter().filter(|node| node.state == "live").count();
                ensure!(live == count, "node {} knows {live} live nodes", node.index);
            }
            Ok(())
        })
    }

    /// Waits until something is true of the cluster.
    ///
    /// # Errors
    /// If it does not become so in time.
    pub fn wait<T>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut(&Self) -> Result<T>,
    ) -> Result<T> {
        until(what, within, || look(self))
    }

    /// Begins a request to a node.
    pub fn ask(&self, index: usize, method: &'static str, path: &str) -> Ask<'_> {
        self.http.ask(method, self.url(index, path))
    }

    /// Begins a request to a node with the admin token.
    pub fn admin(&self, index: usize, method: &'static str, path: &str) -> Ask<'_> {
        self.ask(index, method, path).token(&self.token)
    }

    /// The URL of a path on a node.
    pub fn url(&self, index: usize, path: &str) -> String {
        format!("http://{}{path}", self.nodes[index].addresses.http)
    }

    /// Calls a workload through a node.
    ///
    /// # Errors
    /// If no answer came; an answer with an error status is an answer.
    pub fn call(&self, index: usize, workload: &str, key: &str, method: &str, body: &[u8]) -> Result<Reply> {
        self.ask(index, "POST", &call_path(workload, key, method)).body(body).send()
    }

    /// Uploads a component through a node, and returns its digest as the command line would compute it.
    ///
    /// # Errors
    /// If the command fails; its text is in the error.
    pub fn deploy(&self, guest: &str, name: &str, flags: &[&str]) -> Result<()> {
        let file = artefacts::guest(guest)?;
        self.deploy_file(&file, name, flags).map(drop)
    }

    /// Deploys a file with the command line, through any node.
    ///
    /// # Errors
    /// If the command fails; its text is in the error.
    pub fn deploy_file(&self, file: &Path, name: &str, flags: &[&str]) -> Result<String> {
        let file = file.display().to_string();
        let mut words = vec!["deploy", file.as_str(), "--name", name];
        words.extend(flags);
        self.cli(&words)
    }

    /// Runs the command line against the cluster, and returns what it printed.
    ///
    /// # Errors
    /// If it ends with another code than 0; what it said is in the error.
    pub fn cli(&self, words: &[&str]) -> Result<String> {
        let output = self.cli_output(words)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        bail!("{words:?}: {}", String::from_utf8_lossy(&output.stderr).trim())
    }

    /// Runs the command line against the cluster.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn cli_output(&self, words: &[&str]) -> Result<Output> {
        self.cli_command(words)?.output().context("the command line")
    }

    /// The command line against the cluster, for those who have more to do with its process than to wait for it.
    ///
    /// # Errors
    /// If the binary cannot be built.
    pub fn cli_command(&self, words: &[&str]) -> Result<Command> {
        let servers: Vec<String> = self.running().map(|node| self.url(node.index, "")).collect();
        let mut command = Command::new(artefacts::binary()?);
        clean_environment(&mut command, self.directory.path());
        command.env("SHARDLOOM_SERVER", servers.join(",")).env("SHARDLOOM_ADMIN_TOKEN", &self.token);
        command.args(words);
        Ok(command)
    }

    /// The data directories, for tests that look into them.
    pub fn data_directories(&self) -> Vec<PathBuf> {
        self.nodes.iter().map(Process::data).collect()
    }

    /// Puts a component's manifest by hand.
    ///
    /// # Errors
    /// If no answer came.
    pub fn put_workload(&self, index: usize, name: &str, digest: &str) -> Result<Reply> {
        let path = format!("/v1/workloads/{}", segment(name));
        self.admin(index, "PUT", &path).json(&json!({ "component": digest })).within(DEPLOY_MAX).send()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::env::var_os("SHARDLOOM_KEEP").is_some() {
            self.directory.disable_cleanup(true);
            eprintln!("kept: {}", self.directory.path().display());
        }
    }
}

/// Runs a test on a cluster; if it fails, says why and shows what the nodes logged.
///
/// # Panics
/// If the cluster does not start, or the test fails.
pub fn check(options: Result<Options>, test: impl FnOnce(&mut Cluster) -> Result<()>) {
    let mut cluster = match options.and_then(Cluster::start_with) {
        Ok(cluster) => cluster,
        Err(error) => panic!("the cluster does not start: {error:#}"),
    };
    if let Err(error) = test(&mut cluster) {
        eprintln!("{}", cluster.logs());
        panic!("{error:#}");
    }
}

/// The path of a call.
pub fn call_path(workload: &str, key: &str, method: &str) -> String {
    let path = format!("/v1/call/{}/{}", segment(workload), segment(key));
    if method.is_empty() { path } else { format!("{path}?method={}", segment(method)) }
}
