//! `shardloom dev`: a cluster in one process, and what becomes of it as its nodes are removed.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use shardloom_harness::cluster::READY_MAX;
use shardloom_harness::process::clean_environment;
use shardloom_harness::{artefacts, until, wait};

/// How long a process may take to end when told to.
const END_MAX: Duration = Duration::from_secs(30);
const NODES: u16 = 3;

/// A process of `shardloom dev`, and the directory of its cluster. It is ended when dropped.
struct Dev {
    directory: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Dev {
    fn new() -> Result<Dev> {
        let begin = 12_000 + std::process::id() % 1_800 * 10;
        let begin = u16::try_from(begin)?;
        let port = (begin..32_000).step_by(10).find(|port| are_free(*port)).context("no free ports")?;
        Ok(Dev { directory: tempfile::tempdir()?, port, child: None })
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(artefacts::binary()?);
        clean_environment(&mut command, self.directory.path());
        command.stdin(Stdio::null());
        Ok(command)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts it, and waits until it says on how many nodes it serves.
    fn start(&mut self, nodes: u16) -> Result<()> {
        let mut command = self.command()?;
        command.args(["dev", "--shards", "16", "--nodes", &NODES.to_string()]);
        command.arg("--data").arg(self.data()).args(["--http-port", &self.port.to_string()]);
        let (out, err) = (File::create(self.file("out"))?, File::create(self.file("err"))?);
        self.child = Some(command.stdout(out).stderr(err).spawn().context("shardloom dev")?);
        self.wait_for("out", &format!("serves 16 shards on {nodes} node(s)"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Waits until the process has said this, and it must run meanwhile.
    fn wait_for(&mut self, name: &str, words: &str) -> Result<()> {
        until(&format!("{words:?}"), READY_MAX * 2, || {
            ensure!(self.said(name).contains(words), "it said {}{}", self.said("out"), self.said("err"));
            Ok(())
        })?;
        self.check()
    }

    /// Whether the process runs.
    fn check(&mut self) -> Result<()> {
        let child = self.child.as_mut().context("it was not started")?;
        if let Some(status) = child.try_wait()? {
            let ended = format!("it ended by itself ({status}): {}", self.said("err"));
            return Err(wait::Hopeless(ended).into());
        }
        Ok(())
    }

    /// Ends it as Ctrl-C does.
    fn end(&mut self) -> Result<()> {
        let child = self.child.as_mut().context("it was not started")?;
        ensure!(Command::new("kill").args(["-INT", &child.id().to_string()]).status()?.success());
        let status = until("the end", END_MAX, || child.try_wait()?.context("it still runs"))?;
        ensure!(status.success(), "it ended with {status}: {}", self.said("err"));
        self.child = None;
        Ok(())
    }

    /// The command line, with all nodes that were ever there as its servers: first the one that stays, since one that is removed may end while it answers.
    fn cli(&self, words: &[&str]) -> Result<String> {
        let servers: Vec<String> =
            (0..NODES).rev().map(|index| format!("http://127.0.0.1:{}", self.port + index * 10)).collect();
        let token = std::fs::read_to_string(self.data().join("node-1/admin.token"))?;
        let mut command = self.command()?;
        command.env("SHARDLOOM_SERVER", servers.join(",")).env("SHARDLOOM_ADMIN_TOKEN", token.trim());
        let output = command.args(words).output()?;
        ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The members' ids, by the number of the node.
    fn ids(&self) -> Result<Vec<(u16, String)>> {
        let nodes: Vec<Value> = serde_json::from_str(&self.cli(&["nodes", "--json"])?)?;
        let numbered = nodes.iter().map(|node| {
            let port =
                node["http"].as_str().and_then(|http| http.rsplit(':').next()).context("no address")?;
            let id = node["id"].as_str().context("no id")?;
            Ok(((port.parse::<u16>()? - self.port) / 10 + 1, id.to_owned()))
        });
        numbered.collect()
    }

    fn id_of(&self, index: u16) -> Result<String> {
        let id = self.ids()?.into_iter().find(|(number, _)| *number == index);
        Ok(id.with_context(|| format!("node {index} is no member"))?.1)
    }

    /// Drains a node and removes it, and waits until the process says so and goes on with the others.
    fn remove(&mut self, index: u16) -> Result<()> {
        let id = self.id_of(index)?;
        self.cli(&["node", "drain", &id, "--wait", "60"])?;
        self.cli(&["node", "remove", &id])?;
        self.wait_for("err", &format!("node-{index} was removed from the cluster and has ended"))?;
        self.cli(&["status", "--wait", "60"])?;
        ensure!(self.ids()?.iter().all(|(number, _)| *number != index), "it is a member still");
        self.check()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn are_free(port: u16) -> bool {
    let at = |port| (Ipv4Addr::LOCALHOST, port);
    (0..NODES).map(|index| port + index * 10).all(|port| {
        TcpListener::bind(at(port)).is_ok()
            && UdpSocket::bind(at(port + 1)).is_ok()
            && UdpSocket::bind(at(port + 2)).is_ok()
    })
}

/// Why the command line refuses.
fn refused(dev: &Dev, words: &[&str]) -> Result<String> {
    match dev.cli(words) {
        Ok(said) => bail!("{words:?} was taken: {said}"),
        Err(error) => Ok(error.to_string()),
    }
}

fn exists(path: &Path) -> Result<()> {
    ensure!(path.exists(), "{} is not there", path.display());
    Ok(())
}

#[test]
fn dev_serves_on_without_the_nodes_that_are_removed_and_starts_without_them() -> Result<()> {
    let mut dev = Dev::new()?;
    dev.start(3)?;
    dev.remove(2)?;
    exists(&dev.data().join("node-2"))?;
    dev.end()?;

    dev.start(2)?;
    let said = dev.said("err");
    ensure!(said.contains("node-2 was removed from the cluster, so it is not started"), "{said}");
    // The one that has made the cluster is no other.
    dev.remove(1)?;
    dev.end()?;

    dev.start(1)?;
    let last = dev.id_of(3)?;
    for words in [["node", "drain", &last].as_slice(), &["node", "remove", "--force", &last]] {
        let said = refused(&dev, words)?;
        ensure!(said.contains("stop its nodes and delete their data"), "{said}");
    }
    dev.cli(&["status", "--wait", "60"])?;
    dev.end()?;

    // Deleted data make room for a new node.
    std::fs::remove_dir_all(dev.data().join("node-2"))?;
    dev.start(2)?;
    ensure!(dev.ids()?.len() == 2, "{:?}", dev.ids()?);
    dev.end()
}
