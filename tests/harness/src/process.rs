//! One node's process, its data directory and its log.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::artefacts;
use crate::network::Addresses;
use crate::wait::{Hopeless, until};

/// How many bytes of a log are shown when a test fails.
const LOG_SHOWN: usize = 6_000;

/// A node that can be started, killed, stopped and started again on the same data.
pub struct Process {
    /// Its number in the cluster, from 0.
    pub index: usize,
    /// Where it listens.
    pub addresses: Addresses,
    /// What its command begins with; empty, the binary itself.
    pub launcher: Vec<String>,
    /// Variables for its process, from the next start on.
    pub environment: Vec<(String, String)>,
    /// The binary that is started, from the next start on; none, the one that is tested.
    pub binary: Option<PathBuf>,
    directory: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// A node that is not running yet.
    pub fn new(index: usize, addresses: Addresses, directory: &Path) -> Self {
        let (launcher, environment) = (Vec::new(), Vec::new());
        let directory = directory.to_owned();
        Self { index, addresses, launcher, environment, binary: None, directory, child: None }
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join(format!("node-{}", self.index + 1))
    }

    /// Where its log lines go.
    pub fn log(&self) -> PathBuf {
        self.directory.join(format!("node-{}.log", self.index + 1))
    }

    /// Whether its process was started and not yet ended by us.
    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// The process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts the node with its addresses and these flags.
    ///
    /// # Errors
    /// If it runs already, or the binary cannot be started.
    pub fn start(&mut self, flags: &[String]) -> Result<()> {
        if self.child.is_some() {
            bail!("node {} runs already", self.index);
        }
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let binary = self.binary.clone().map_or_else(artefacts::binary, Ok)?;
        let mut command = match self.launcher.split_first() {
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command.arg("node").arg("--data").arg(self.data());
        command.args(["--http", &self.addresses.http.to_string()]);
        command.args(["--peer", &self.addresses.peer.to_string()]);
        command.args(["--gossip", &self.addresses.gossip.to_string()]);
        command.args(flags);
        clean_environment(&mut command, &self.directory);
        command.envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("the node's process")?);
        Ok(())
    }

    /// Ends the process at once, as a power cut would (but the kernel keeps what was written).
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Halts the process without ending it.
    ///
    /// # Errors
    /// If it does not run.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a halted process go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn cont(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Tells the process to end, and waits until it has.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn terminate(&mut self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended(within)
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let child = self.child.as_mut().context("it does not run")?;
        let what = format!("the end of node {}", self.index);
        let status = until(&what, within, || child.try_wait()?.context("it still runs"))?;
        self.child = None;
        Ok(status)
    }

    /// Whether the process still runs, or has ended by itself.
    ///
    /// # Errors
    /// One that is [`Hopeless`], if it has ended.
    pub fn check(&mut self) -> Result<()> {
        if let Some(child) = &mut self.child
            && let Some(status) = child.try_wait()?
        {
            return Err(Hopeless(format!("node {} ended by itself: {status}", self.index)).into());
        }
        Ok(())
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(self.log()).unwrap_or_default();
        let from = text.len().saturating_sub(LOG_SHOWN);
        String::from_utf8_lossy(&text[from..]).into_owned()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("it does not run")?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("its process id")?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Nothing is left to do about a process that cannot be killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Keeps the user's own settings and credentials out of a command, and its out of the user's.
pub fn clean_environment(command: &mut Command, directory: &Path) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("SHARDLOOM_") && text != "SHARDLOOM_LOG" {
            command.env_remove(&name);
        }
    }
    command.env("XDG_CONFIG_HOME", directory.join("config"));
}
