//! The calls that are made while a shard moves: on it, and on others; and how long the disk takes beside them.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use shardloom_harness::Http;
use shardloom_harness::cluster::call_path;

use super::figures::Figures;

/// The guest that keeps the values.
pub(super) const WORKLOAD: &str = "kv";
/// What keys of the shard that moves begin with: one tenant is one shard.
pub(super) const LARGE: &str = "large";
/// How many write to the shard that moves, and how many to others.
const WRITERS: usize = 4;
/// How often each writes, so that the disk is busy and not full.
const EVERY: Duration = Duration::from_millis(5);
/// How long a call may take: a node keeps it, whatever happens to the owner.
const CALL_MAX: Duration = Duration::from_secs(30);
/// How often the disk is measured, and the bytes that are written for that.
const FDATASYNC_EVERY: Duration = Duration::from_millis(25);
const FDATASYNC_BYTES: usize = 4 << 10;

/// A call that was answered.
struct Answer {
    begun: Instant,
    end: Instant,
    /// The call was on the shard that moves.
    large: bool,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    answers: Vec<Answer>,
    wrong: Vec<String>,
    fdatasync: Figures,
}

impl Seen {
    /// Whether every write was carried out once.
    pub(super) fn verdict(&self) -> Result<()> {
        match self.wrong.first() {
            Some(first) => bail!("{} calls went wrong, the first: {first}", self.wrong.len()),
            None => Ok(()),
        }
    }

    /// How many calls were answered; every one writes.
    pub(super) fn writes(&self) -> usize {
        self.answers.len()
    }

    /// The longest time without an answer from the shard that moves, if calls wanted one all the time.
    pub(super) fn longest_pause(&self, from: Instant, to: Instant) -> Duration {
        let mut ends: Vec<Instant> = self.answers.iter().filter(|one| one.large).map(|one| one.end).collect();
        ends.retain(|end| (from..=to + CALL_MAX).contains(end));
        ends.sort();
        let within = ends.windows(2).filter(|pair| pair[0] <= to);
        within.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// How long calls on other shards took that began in that time.
    pub(super) fn others(&self, from: Instant, to: Instant) -> Figures {
        let mut figures = Figures::default();
        let others = self.answers.iter().filter(|one| !one.large && (from..to).contains(&one.begun));
        others.for_each(|one| figures.add(one.end - one.begun));
        figures
    }

    /// How long the disk took.
    pub(super) fn fdatasync(&self) -> &Figures {
        &self.fdatasync
    }

    fn join(&mut self, other: Seen) {
        self.answers.extend(other.answers);
        self.wrong.extend(other.wrong);
    }
}

/// Writes to the shard that moves and to others while `act` runs, through all of `nodes`.
pub(super) fn during<T>(
    nodes: &[String],
    shard: u32,
    scratch: &Path,
    act: impl FnOnce() -> Result<T>,
) -> Result<(T, Seen)> {
    let tenants = others(nodes, shard)?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2 * WRITERS)
            .map(|number| {
                let tenant = if number < WRITERS { LARGE } else { &tenants[number - WRITERS] };
                let done = &done;
                scope.spawn(move || write(nodes, tenant, number, done))
            })
            .collect();
        let disk = scope.spawn(|| fdatasync(scratch, &done));
        let acted = act();
        done.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        for writer in writers {
            seen.join(writer.join().map_err(|_| anyhow!("a writer panicked"))??);
        }
        seen.fdatasync = disk.join().map_err(|_| anyhow!("the measurement of the disk panicked"))??;
        Ok((acted?, seen))
    })
}

/// Tenants on other shards than the one that moves.
fn others(nodes: &[String], shard: u32) -> Result<Vec<String>> {
    let http = Http::new();
    let mut tenants = Vec::new();
    for number in 0..64 {
        let tenant = format!("small-{number}");
        let path = call_path(WORKLOAD, &format!("{tenant}:probe"), "put");
        let reply = http.ask("POST", format!("{}{path}", nodes[0])).body(b"x").send()?.good()?;
        if reply.stamp().is_some_and(|stamp| stamp.shard != shard) {
            tenants.push(tenant);
        }
        if tenants.len() == WRITERS {
            return Ok(tenants);
        }
    }
    bail!("no tenants on other shards were met")
}

/// Counts up on one key of its own: every answer must be one more than the last.
fn write(nodes: &[String], tenant: &str, number: usize, done: &AtomicBool) -> Result<Seen> {
    let http = Http::with_connections(1);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let path = call_path("counter", &format!("{tenant}:{number}-{since}"), "add");
    let (mut seen, mut total) = (Seen::default(), 0_u64);
    while !done.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let node = &nodes[(number + total as usize) % nodes.len()];
        let ask = http.ask("POST", format!("{node}{path}")).body(b"1");
        let ask = ask.header("shardloom-timeout-ms", &CALL_MAX.as_millis().to_string());
        total += 1;
        match ask.within(CALL_MAX * 2).send()?.good() {
            Ok(reply) if reply.text().trim() == total.to_string() => {
                seen.answers.push(Answer { begun, end: Instant::now(), large: tenant == LARGE });
            }
            Ok(reply) => {
                seen.wrong.push(format!("{tenant}: {} instead of {total}", reply.text().trim()));
                total = reply.text().trim().parse()?;
            }
            Err(error) => {
                seen.wrong.push(format!("{tenant}: {error:#}"));
                total -= 1;
            }
        }
        thread::sleep(EVERY.saturating_sub(begun.elapsed()));
    }
    ensure!(total > 0, "nothing was written to {tenant}");
    Ok(seen)
}

/// How long the disk takes to make a small write durable, beside everything else.
fn fdatasync(scratch: &Path, done: &AtomicBool) -> Result<Figures> {
    let mut file = File::create(scratch)?;
    let mut figures = Figures::default();
    while !done.load(Ordering::Relaxed) {
        file.write_all(&[0; FDATASYNC_BYTES])?;
        let begun = Instant::now();
        file.sync_data()?;
        figures.add(begun.elapsed());
        thread::sleep(FDATASYNC_EVERY);
    }
    Ok(figures)
}
