//! `cargo xtask bench move`: a large shard moves to another node and back while it is written to.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use shardloom_harness::cluster::{Cluster, call_path};
use shardloom_harness::{Http, Options, artefacts, until};

use super::figures::Figures;
use super::moving_load::{self, LARGE, Seen, WORKLOAD};
use super::prepare;

/// Bytes of a value: the largest that a guest may keep.
const VALUE_BYTES: usize = 48 << 10;
/// How many fill the shard at once.
const FILLERS: usize = 8;
/// Few, so that what is measured is the one that moves.
const SHARDS: u32 = 16;
const NODES: usize = 4;
/// How long one move, and what follows from it, may take.
const MOVED_MAX: Duration = Duration::from_secs(600);
/// For how long calls are measured while nothing moves.
const QUIET: Duration = Duration::from_secs(10);

/// Move a large shard under load: pauses, the latencies of other shards, and crashes of either side in the middle.
#[derive(Args)]
pub(crate) struct Move {
    /// How often the shard is moved.
    #[arg(long, default_value_t = 4)]
    moves: usize,
    /// How large the shard's state is, in megabytes.
    #[arg(long, default_value_t = 256)]
    megabytes: usize,
    /// Bytes a second that a node may send: the setting `move_rate`.
    #[arg(long, default_value = "32MiB/s")]
    rate: String,
    /// How often each side of a move is killed in the middle, after the measurement.
    #[arg(long, default_value_t = 1)]
    crashes: usize,
    /// Print one JSON value.
    #[arg(long)]
    json: bool,
}

/// One move of the large shard.
struct Moved {
    begun: Instant,
    end: Instant,
    bytes: u64,
    resident_bytes_max: u64,
}

impl Move {
    pub(crate) fn run(self) -> Result<()> {
        let mut cluster = self.cluster()?;
        let shard = self.fill(&cluster)?;
        eprintln!("{} MB are on shard {shard}", self.megabytes);
        quiet(&mut cluster)?;
        let resident_before = cluster.running().filter_map(resident).max().unwrap_or_default();
        let nodes: Vec<String> = (0..NODES).map(|index| cluster.url(index, "")).collect();
        let scratch = cluster.directory().join("fdatasync");
        let calm_from = Instant::now();
        let ((calm_to, moves), seen) = moving_load::during(&nodes, shard, &scratch, || {
            thread::sleep(QUIET);
            let calm_to = Instant::now();
            let moves: Result<Vec<Moved>> = (1..=self.moves)
                .map(|number| {
                    let moved = once(&mut cluster, shard).with_context(|| format!("move {number}"))?;
                    eprintln!("move {number} of {}: {:.1?}", self.moves, moved.end - moved.begun);
                    Ok(moved)
                })
                .collect();
            Ok((calm_to, moves?))
        })?;
        seen.verdict()?;
        self.verify(&cluster)?;
        self.report(&seen, (calm_from, calm_to), &moves, resident_before)?;
        for number in 0..self.crashes {
            for side in [Side::Source, Side::Target] {
                let ((), seen) = crash(&mut cluster, shard, side, &scratch)?;
                seen.verdict()?;
                self.verify(&cluster)?;
                println!(
                    "{side:?} killed in the middle, run {}: {} writes, none lost, none doubled; every value is there",
                    number + 1,
                    seen.writes()
                );
            }
        }
        Ok(())
    }

    fn cluster(&self) -> Result<Cluster> {
        prepare()?;
        let cluster = Cluster::start_with(Options { shards: SHARDS, ..Options::of(NODES)? })?;
        let function = artefacts::guest("by-tenant")?.display().to_string();
        for guest in [WORKLOAD, "counter"] {
            cluster.deploy(guest, guest, &["--shard-function", &function])?;
        }
        cluster.cli(&["settings", "set", &format!("move_rate={}", self.rate)])?;
        Ok(cluster)
    }

    fn values(&self) -> usize {
        self.megabytes * 1_000_000 / VALUE_BYTES
    }

    fn fill(&self, cluster: &Cluster) -> Result<u32> {
        let nodes: Vec<String> = (0..NODES).map(|index| cluster.url(index, "")).collect();
        let shards: Result<Vec<u32>> = thread::scope(|scope| {
            let fillers: Vec<_> = (0..FILLERS)
                .map(|filler| {
                    let nodes = &nodes;
                    scope.spawn(move || {
                        let http = Http::with_connections(1);
                        let mut shard = 0;
                        for key in (filler..self.values()).step_by(FILLERS) {
                            let node = &nodes[key % nodes.len()];
                            let path = call_path(WORKLOAD, &format!("{LARGE}:{key}"), "put");
                            let put = http.ask("POST", format!("{node}{path}")).body(value(key));
                            let reply = put.send()?.good()?;
                            shard = reply.stamp().context("no reply says which shard")?.shard;
                        }
                        Ok(shard)
                    })
                })
                .collect();
            fillers
                .into_iter()
                .map(|one| one.join().map_err(|_| anyhow::anyhow!("a filler panicked"))?)
                .collect()
        });
        shards?.first().copied().context("no filler")
    }

    /// Every value is as it was written.
    fn verify(&self, cluster: &Cluster) -> Result<()> {
        let http = Http::with_connections(1);
        let node = cluster.url(cluster.any()?, "");
        for key in 0..self.values() {
            let path = call_path(WORKLOAD, &format!("{LARGE}:{key}"), "get");
            let reply = http.ask("POST", format!("{node}{path}")).send()?.good()?;
            ensure!(reply.body == value(key), "key {key} has another value");
        }
        Ok(())
    }

    fn report(
        &self,
        seen: &Seen,
        calm: (Instant, Instant),
        moves: &[Moved],
        resident_before: u64,
    ) -> Result<()> {
        let (mut pauses, mut took) = (Figures::default(), Figures::default());
        for moved in moves {
            pauses.add(seen.longest_pause(moved.begun, moved.end));
            took.add(moved.end - moved.begun);
        }
        let quiet = seen.others(calm.0, calm.1);
        let mut busy = Figures::default();
        moves.iter().for_each(|moved| seen.others(moved.begun, moved.end).each(|one| busy.add(one)));
        let bytes = moves.iter().map(|moved| moved.bytes).max().unwrap_or_default();
        let resident = moves.iter().map(|moved| moved.resident_bytes_max).max().unwrap_or_default();
        let ms = |span: Duration| span.as_secs_f64() * 1_000.0;
        if self.json {
            let value = json!({
                "moves": moves.len(), "bytes": bytes, "resident_bytes_before": resident_before, "resident_bytes_max": resident,
                "pause": pauses.value(), "move": took.value(),
                "others_p99_quiet_us": quiet.quantile(0.99).as_micros() as u64,
                "others_p99_moving_us": busy.quantile(0.99).as_micros() as u64,
                "fdatasync_p99_us": seen.fdatasync().quantile(0.99).as_micros() as u64,
                "writes": seen.writes(),
            });
            println!("{}", serde_json::to_string_pretty(&value)?);
            return Ok(());
        }
        println!("{}", pauses.line("pause of the shard"));
        println!("{}", took.line("time of a move"));
        println!(
            "other shards: p99 {:.2} ms quiet, {:.2} ms during moves   fdatasync of this run: p50 {:.2} ms, p99 {:.2} ms",
            ms(quiet.quantile(0.99)),
            ms(busy.quantile(0.99)),
            ms(seen.fdatasync().quantile(0.5)),
            ms(seen.fdatasync().quantile(0.99)),
        );
        println!(
            "{:.0} MB a move; a node's memory {:.0} MB before, at most {:.0} MB; {} writes, none lost, none doubled",
            bytes as f64 / 1e6,
            resident_before as f64 / 1e6,
            resident as f64 / 1e6,
            seen.writes()
        );
        Ok(())
    }
}

/// What key number `key` holds.
fn value(key: usize) -> Vec<u8> {
    let mut bytes = format!("{key}:").into_bytes();
    bytes.resize(VALUE_BYTES, b'a' + (key % 26) as u8);
    bytes
}

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Side {
    Source,
    Target,
}

fn moves(cluster: &Cluster) -> Result<Value> {
    cluster.admin(cluster.any()?, "GET", "/v1/moves").send()?.good()?.json()
}

/// Waits until nothing moves, nor is to.
fn quiet(cluster: &mut Cluster) -> Result<()> {
    cluster.wait_until_settled(MOVED_MAX)?;
    until("no moves", MOVED_MAX, || {
        let moves = moves(cluster)?;
        ensure!(moves["in_flight"] == 0 && moves["waiting"] == 0, "{moves}");
        Ok(())
    })
}

fn owner(cluster: &Cluster, shard: u32) -> Result<String> {
    cluster.shards(cluster.any()?)?[shard as usize].owner.clone().context("it has no owner")
}

/// Drains the owner of the shard until it holds nothing of it, and lets it take shards again.
fn once(cluster: &mut Cluster, shard: u32) -> Result<Moved> {
    let owner = owner(cluster, shard)?;
    let begun = Instant::now();
    cluster.cli(&["node", "drain", &owner, "--wait", "0"])?;
    let (mut bytes, mut resident_bytes_max) = (0, 0);
    until("the large shard elsewhere", MOVED_MAX, || {
        let moves = moves(cluster)?;
        let list = moves["list"].as_array().cloned().unwrap_or_default();
        let whole = list.iter().find(|one| one["shard"] == shard).and_then(|one| one["whole_bytes"].as_u64());
        bytes = whole.unwrap_or_default().max(bytes);
        resident_bytes_max =
            cluster.running().filter_map(resident).max().unwrap_or_default().max(resident_bytes_max);
        let there = cluster.shards(cluster.any()?)?[shard as usize].replicas.contains(&owner);
        ensure!(!there, "it is on {owner}: {moves}");
        Ok(())
    })?;
    let end = Instant::now();
    quiet(cluster)?;
    cluster.cli(&["node", "add", &owner])?;
    quiet(cluster)?;
    Ok(Moved { begun, end, bytes, resident_bytes_max })
}

/// The memory of a node's process, in bytes.
fn resident(node: &shardloom_harness::process::Process) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid()?)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// Kills one side of a move in the middle, and sees the move through all the same.
fn crash(cluster: &mut Cluster, shard: u32, side: Side, scratch: &std::path::Path) -> Result<((), Seen)> {
    let owner = owner(cluster, shard)?;
    let source = cluster.index_of(&owner)?;
    let held = cluster.shards(cluster.any()?)?[shard as usize].replicas.clone();
    let target = (0..NODES).find(|index| cluster.id_of(*index).is_ok_and(|id| !held.contains(&id)));
    let target = target.context("every node holds the shard")?;
    let victim = if let Side::Source = side { source } else { target };
    let survivors: Vec<String> =
        (0..NODES).filter(|index| *index != victim).map(|index| cluster.url(index, "")).collect();
    moving_load::during(&survivors, shard, scratch, || {
        cluster.cli(&["node", "drain", &owner, "--wait", "0"])?;
        until("a move midway", MOVED_MAX, || {
            let moves = moves(cluster)?;
            let list = moves["list"].as_array().cloned().unwrap_or_default();
            let one = list.into_iter().find(|one| one["shard"] == shard).context("it does not move")?;
            let of = |field: &str| one[field].as_u64().unwrap_or_default();
            ensure!(of("sent_bytes") > of("whole_bytes") / 3, "{one}");
            Ok(())
        })?;
        cluster.kill(victim)?;
        cluster.wait_until_served(MOVED_MAX)?;
        cluster.restart(victim)?;
        until("nothing of it on the drained node", MOVED_MAX, || {
            let shards = cluster.shards(cluster.any()?)?;
            ensure!(!shards.iter().any(|shard| shard.replicas.contains(&owner)), "some is there");
            Ok(())
        })?;
        cluster.cli(&["node", "add", &owner])?;
        quiet(cluster)
    })
}
