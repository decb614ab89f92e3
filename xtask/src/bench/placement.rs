//! `cargo xtask bench placement`: a skewed load on three nodes, then five: what the weigher makes of the busiest node's share, how long it takes and how
//! many moves, and whether anything moves to and fro.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use shardloom_harness::cluster::Cluster;
use shardloom_harness::http::Shard;

use super::{WORKLOAD, cluster};

const SHARDS: u32 = 1_000;
/// How many nodes come.
const NEWCOMERS: usize = 2;
/// How often the map is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long nothing must have moved for it to count as settled: two runs of the weigher, and some.
const QUIET: Duration = Duration::from_secs(70);
/// How long it may take to settle.
const SETTLED_MAX: Duration = Duration::from_secs(900);
/// What the planner leaves alone: the setting `balance_threshold`.
const THRESHOLD: f64 = 0.1;

/// Measure what the weigher does for a skewed load, on three nodes and with two more.
#[derive(Args)]
pub(crate) struct Placement {
    /// How many keys are called, by Zipf's law.
    #[arg(long, default_value_t = 10_000)]
    keys: u32,
    /// The exponent of that law.
    #[arg(long, default_value_t = 0.99)]
    zipf: f64,
    /// Calls a second: enough that there is something to level.
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    /// For how many seconds each share is measured.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// For how many seconds is watched, after all has settled, whether a shard moves twice.
    #[arg(long, default_value_t = 300)]
    watch: u64,
    /// Print one JSON value.
    #[arg(long)]
    json: bool,
}

/// The shards as they were seen, and how often each has changed.
struct Watch {
    begun: Instant,
    rows: Vec<Row>,
    changes: BTreeMap<usize, u32>,
    copies: usize,
    changed: Instant,
}

#[derive(Clone, PartialEq)]
struct Row {
    owner: String,
    replicas: BTreeSet<String>,
    epoch: u64,
}

/// What became of one phase.
struct Settled {
    took: Duration,
    shards: usize,
    copies: usize,
    twice: usize,
}

impl Placement {
    pub(crate) fn run(self) -> Result<()> {
        let mut cluster = cluster(SHARDS)?;
        let uniform = self.share(&cluster)?;
        eprintln!("three nodes, without a weigher: {}", percent(uniform));

        let load = self.load(&cluster)?;
        let watch = Watch::begun(&cluster)?;
        cluster.cli(&["weigher", "set", "--built-in", "by-load"])?;
        let weighed = watch.settle(&cluster)?;
        // By the weights of now: those that were set on the way are gone.
        drop(load);
        let three = self.share(&cluster)?;
        eprintln!("three nodes, weighed: {} after {:.0?}", percent(three), weighed.took);

        let load = self.load(&cluster)?;
        let bound = replicas_to_come(&cluster)?;
        let watch = Watch::begun(&cluster)?;
        for _ in 0..NEWCOMERS {
            cluster.join()?;
        }
        cluster.wait_for_members(3 + NEWCOMERS, SETTLED_MAX)?;
        let grown = watch.settle(&cluster)?;
        drop(load);
        let five = self.share(&cluster)?;
        eprintln!("five nodes, weighed: {} after {:.0?}", percent(five), grown.took);

        let load = self.load(&cluster)?;
        let mut watch = Watch::begun(&cluster)?;
        let end = Instant::now() + Duration::from_secs(self.watch);
        while Instant::now() < end {
            watch.look(&cluster)?;
            thread::sleep(LOOK_EVERY);
        }
        drop(load);
        let twice = watch.twice();
        let phase = |settled: &Settled| {
            json!({ "settled_s": settled.took.as_secs_f64(), "shards_moved": settled.shards, "copies": settled.copies,
                    "moved_twice": settled.twice })
        };
        let value = json!({
            "keys": self.keys, "zipf": self.zipf, "shards": SHARDS, "rate": self.rate,
            "busiest_share": { "three_uniform": uniform, "three_weighed": three, "five_weighed": five },
            "level_share": { "three": 1.0 / 3.0, "five": 1.0 / 5.0 },
            "weigher": phase(&weighed), "growth": phase(&grown), "growth_copies_at_least": bound,
            "watched_s": self.watch, "moved_while_watched": watch.changes.len(), "moved_twice_while_watched": twice,
        });
        if self.json {
            println!("{}", serde_json::to_string_pretty(&value)?);
        } else {
            println!(
                "busiest node's share of the calls: {} of three without a weigher, {} with by-load; {} of five",
                percent(uniform),
                percent(three),
                percent(five)
            );
            for (name, settled) in [("weigher", &weighed), ("growth", &grown)] {
                println!(
                    "{name}: settled after {:.0?}; {} shards changed ({} of them twice), {} replicas copied",
                    settled.took, settled.shards, settled.twice, settled.copies
                );
            }
            println!("growth: at least {bound} replicas had to be copied");
            println!("{} s after: {} shards changed, {twice} of them twice", self.watch, watch.changes.len());
        }
        ensure!(twice == 0, "{twice} shards have moved twice while it was watched");
        Ok(())
    }

    fn bench(&self, cluster: &Cluster, seconds: u32, seed: u32) -> Result<std::process::Command> {
        let words = [
            "bench",
            WORKLOAD,
            "--json",
            "--rate",
            &self.rate.to_string(),
            "--keys",
            &self.keys.to_string(),
            "--zipf",
            &self.zipf.to_string(),
            "--seed",
            &seed.to_string(),
            "--seconds",
            &seconds.to_string(),
        ];
        cluster.cli_command(&words)
    }

    /// The part of all calls that the busiest node runs.
    fn share(&self, cluster: &Cluster) -> Result<f64> {
        let output = self.bench(cluster, self.seconds, 1)?.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the load: {said}");
        let reply: Value = serde_json::from_slice(&output.stdout)?;
        let nodes = reply["lanes"][0]["nodes"].as_array().context("no nodes")?.clone();
        let calls: Vec<f64> = nodes.iter().filter_map(|node| node["ok"].as_f64()).collect();
        Ok(calls.iter().copied().fold(0.0, f64::max) / calls.iter().sum::<f64>().max(1.0))
    }

    /// The same load until it is dropped, and for the longest that a phase may take.
    fn load(&self, cluster: &Cluster) -> Result<Load> {
        let longest = SETTLED_MAX.as_secs().max(self.watch) as u32 + 60;
        let mut command = self.bench(cluster, longest, 2)?;
        Ok(Load(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }
}

/// A load in a process of its own.
struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        // It has ended by itself, or is ended now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Watch {
    fn begun(cluster: &Cluster) -> Result<Watch> {
        let begun = Instant::now();
        Ok(Watch { begun, rows: rows(cluster)?, changes: BTreeMap::new(), copies: 0, changed: begun })
    }

    fn look(&mut self, cluster: &Cluster) -> Result<()> {
        let rows = rows(cluster)?;
        for (shard, (old, new)) in self.rows.iter().zip(&rows).enumerate() {
            if old != new {
                *self.changes.entry(shard).or_default() += 1;
                self.copies += new.replicas.difference(&old.replicas).count();
                self.changed = Instant::now();
            }
        }
        self.rows = rows;
        Ok(())
    }

    fn twice(&self) -> usize {
        self.changes.values().filter(|changes| **changes > 1).count()
    }

    /// Waits until nothing has moved for a while; the time to the last change counts.
    fn settle(mut self, cluster: &Cluster) -> Result<Settled> {
        while self.changed.elapsed() < QUIET {
            ensure!(self.begun.elapsed() < SETTLED_MAX, "shards still move after {SETTLED_MAX:?}");
            thread::sleep(LOOK_EVERY);
            self.look(cluster)?;
        }
        Ok(Settled {
            took: self.changed - self.begun,
            shards: self.changes.len(),
            copies: self.copies,
            twice: self.twice(),
        })
    }
}

fn rows(cluster: &Cluster) -> Result<Vec<Row>> {
    let shards = cluster.shards(cluster.any()?)?;
    let row = |shard: Shard| Row {
        owner: shard.owner.unwrap_or_default(),
        replicas: shard.replicas.into_iter().collect(),
        epoch: shard.epoch,
    };
    Ok(shards.into_iter().map(row).collect())
}

/// How many replicas newcomers must be given at least to hold their share of all weight, give or take the threshold: the heaviest first.
fn replicas_to_come(cluster: &Cluster) -> Result<usize> {
    let shards: Vec<Value> = cluster.admin(cluster.any()?, "GET", "/v1/shards").send()?.good()?.json()?;
    let mut weights: Vec<f64> = Vec::new();
    for shard in &shards {
        let replicas = shard["replicas"].as_array().map_or(0, Vec::len);
        let weight = shard["weight"].as_f64().context("a shard without a weight")?;
        weights.extend(std::iter::repeat_n(weight, replicas.min(NEWCOMERS)));
    }
    let whole: f64 = shards
        .iter()
        .map(|shard| {
            shard["weight"].as_f64().unwrap_or(1.0) * shard["replicas"].as_array().map_or(0, Vec::len) as f64
        })
        .sum();
    let mut wanted = whole * NEWCOMERS as f64 / (3 + NEWCOMERS) as f64 * (1.0 - THRESHOLD);
    weights.sort_by(|a, b| b.total_cmp(a));
    let enough = weights.iter().take_while(|weight| {
        let more = wanted > 0.0;
        wanted -= **weight;
        more
    });
    Ok(enough.count())
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
