//! `cargo xtask bench scale`: three nodes with ten thousand shards: memory at rest, the death of a node, a start from disk.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde_json::{Value, json};
use shardloom_harness::cluster::{Cluster, call_path};

use super::cluster;
use super::connection::Connection;
use super::figures::Figures;

/// The guest that is written to, and the name it is deployed under.
const WORKLOAD: &str = "kv";
/// How many keys are written, so that every shard has state.
const KEYS: usize = 60_000;
/// How many clients write them.
const WRITERS: usize = 16;
/// How long a value is, in bytes.
const VALUE_BYTES: usize = 128;
/// How long nothing is done before memory is looked at.
const REST: Duration = Duration::from_secs(10);
/// How long all shards may take to be served.
const SERVED_MAX: Duration = Duration::from_secs(120);

/// Measure ten thousand shards on three nodes.
#[derive(Args)]
pub(crate) struct Scale {
    /// How many shards.
    #[arg(long, default_value_t = 10_000)]
    shards: u32,
    /// How often a node is killed, and how often all are.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Print one JSON value.
    #[arg(long)]
    json: bool,
}

impl Scale {
    pub(crate) fn run(self) -> Result<()> {
        let mut cluster = cluster(self.shards)?;
        cluster.deploy(WORKLOAD, WORKLOAD, &[])?;
        let fresh = resident_mib(&cluster)?;
        fill(&cluster)?;
        thread::sleep(REST);
        let filled = resident_mib(&cluster)?;
        let (mut death, mut restart) = (Figures::default(), Figures::default());
        for run in 0..self.runs {
            let leader = cluster.leader()?;
            let victim = (leader + 1 + run % 2) % cluster.size();
            cluster.kill(victim)?;
            death.add(served(&mut cluster)?);
            cluster.restart(victim)?;
            cluster.wait_for_members(cluster.size(), SERVED_MAX)?;
            cluster.wait_until_settled(SERVED_MAX)?;
            (0..cluster.size()).try_for_each(|index| cluster.kill(index))?;
            (0..cluster.size()).try_for_each(|index| cluster.restart(index))?;
            restart.add(served(&mut cluster)?);
            cluster.wait_for_members(cluster.size(), SERVED_MAX)?;
            cluster.wait_until_settled(SERVED_MAX)?;
            eprintln!("run {} of {} done", run + 1, self.runs);
        }
        if self.json {
            let value: Value = json!({ "shards": self.shards, "resident_mib_fresh": fresh, "resident_mib_filled": filled,
                                       "after_death": death.value(), "from_disk": restart.value() });
            println!("{}", serde_json::to_string_pretty(&value)?);
        } else {
            println!(
                "{} shards, memory of a node: {fresh:?} MiB fresh, {filled:?} MiB with {KEYS} keys",
                self.shards
            );
            println!("{}", death.line("kill -9 of a node until all shards are served"));
            println!("{}", restart.line("all nodes from disk until all shards are served"));
        }
        Ok(())
    }
}

/// From now until every running node says that all shards are served.
fn served(cluster: &mut Cluster) -> Result<Duration> {
    let begun = Instant::now();
    // The others still know the dead node as the owner of its shards: that is over once they know it as silent.
    cluster.wait("somebody to notice", SERVED_MAX, |cluster| {
        let any = cluster.any()?;
        let nodes = cluster.status(any)?.nodes;
        let running = cluster.running().count();
        let live = nodes.iter().filter(|node| node.state == "live").count();
        anyhow::ensure!(live == running, "{live} of {running} are live");
        Ok(())
    })?;
    cluster.wait_until_served(SERVED_MAX)?;
    Ok(begun.elapsed())
}

/// Writes every key once.
fn fill(cluster: &Cluster) -> Result<()> {
    let value = "v".repeat(VALUE_BYTES);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (address, value) = (cluster.node(writer % cluster.size()).addresses.http, &value);
                scope.spawn(move || {
                    let mut connection = Connection::open(address)?;
                    (writer..KEYS).step_by(WRITERS).try_for_each(|key| {
                        let path = call_path(WORKLOAD, &format!("scale-{key}"), "put");
                        let head = format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: ");
                        let request = format!("{head}{}\r\n\r\n{value}", value.len());
                        connection.exchange(request.as_bytes())
                    })
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| anyhow!("a writer panicked"))?)
    })
}

/// What each node's process has in memory, in MiB.
fn resident_mib(cluster: &Cluster) -> Result<Vec<u64>> {
    cluster
        .running()
        .map(|node| {
            let pid = node.pid().context("a node does not run")?;
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
            let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
            Ok(kib / 1024)
        })
        .collect()
}
