//! Clients that call counters at a steady pace while the operator does something: no call may fail, and the version that answers a key never goes back but by
//! a rollback.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use shardloom_harness::cluster::{Cluster, call_path};
use shardloom_harness::{Http, until};

/// The name under which the `counter` guest must be deployed.
pub(crate) const WORKLOAD: &str = "w";
/// Clients, each with keys of its own and one call under way.
const CLIENTS: usize = 4;
/// Keys of a client.
const KEYS: usize = 24;
/// From the begin of a call to that of the client's next: 200 calls a second in all.
const CALL_EACH: Duration = Duration::from_millis(20);
/// The longest that a node keeps a call.
const CALL_MAX: Duration = Duration::from_secs(20);
/// How much longer the client waits.
const SLACK: Duration = Duration::from_secs(5);
/// Calls that are waited for between two changes.
pub(crate) const CALLS_BETWEEN: u64 = 300;
/// How long that may take.
pub(crate) const CALLS_WITHIN: Duration = Duration::from_secs(60);
/// What a key's counter begins with: two digits, so that a version that may answer with one alone fails.
const FIRST: u64 = 10;

/// What a client has heard of one key.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
    pub(crate) heard: Heard,
}

#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// The version that answered.
    Version(u64),
    /// The code of an error.
    Failed(String),
}

/// A step of the operator.
pub(crate) struct Step {
    pub(crate) begun: Instant,
    pub(crate) done: Instant,
}

#[derive(Default)]
pub(crate) struct Seen {
    /// By key, in order of time.
    pub(crate) sights: BTreeMap<String, Vec<Sight>>,
    /// The shard of each key that was ever answered.
    pub(crate) shards: BTreeMap<String, u64>,
}

/// How many calls were answered, and how many failed.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) answered: AtomicU64,
    pub(crate) failed: AtomicU64,
}

impl Progress {
    /// Waits until so many more calls are answered.
    pub(crate) fn more(&self, count: u64) -> Result<()> {
        let begun = self.answered.load(Ordering::Relaxed);
        until("calls to be answered", CALLS_WITHIN, || {
            let answered = self.answered.load(Ordering::Relaxed) - begun;
            ensure!(answered >= count, "{answered} of {count} are");
            Ok(())
        })
    }
}

/// Calls counters through these nodes while `act` runs.
pub(crate) fn under_load<T>(nodes: &[String], act: impl FnOnce(&Progress) -> Result<T>) -> Result<(T, Seen)> {
    let (done, progress) = (AtomicBool::new(false), Progress::default());
    thread::scope(|scope| {
        let (done, progress) = (&done, &progress);
        let clients: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || client(number, nodes, done, progress))).collect();
        let acted = act(progress);
        done.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        for client in clients {
            let Seen { sights, shards } = client.join().map_err(|_| anyhow!("a client panicked"))??;
            seen.sights.extend(sights);
            seen.shards.extend(shards);
        }
        Ok((acted?, seen))
    })
}

fn client(number: usize, nodes: &[String], done: &AtomicBool, progress: &Progress) -> Result<Seen> {
    let http = Http::with_connections(1);
    let (mut seen, mut totals) = (Seen::default(), [0; KEYS]);
    for turn in number.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{number}-{}", turn % KEYS);
        let adds = if totals[turn % KEYS] == 0 { FIRST } else { 1 };
        let url =
            format!("{}{}", nodes[(turn + turn / KEYS) % nodes.len()], call_path(WORKLOAD, &key, "add"));
        let ask = http.ask("POST", url).body(adds.to_string());
        let sent = Instant::now();
        let reply = ask
            .header("shardloom-timeout-ms", &CALL_MAX.as_millis().to_string())
            .within(CALL_MAX + SLACK)
            .send()?;
        let heard = if reply.status == 200 {
            let total: u64 = reply.text().parse()?;
            // What a failed call has written is gone, and every version goes on with the state of the one before.
            ensure!(total == totals[turn % KEYS] + adds, "{key}: {total} after {}", totals[turn % KEYS]);
            totals[turn % KEYS] = total;
            let stamp = reply.stamp().context("an answer without a stamp")?;
            seen.shards.insert(key.clone(), u64::from(stamp.shard));
            progress.answered.fetch_add(1, Ordering::Relaxed);
            Heard::Version(reply.header("shardloom-workload-version").parse()?)
        } else {
            progress.failed.fetch_add(1, Ordering::Relaxed);
            Heard::Failed(reply.code())
        };
        seen.sights.entry(key).or_default().push(Sight { sent, answered: Instant::now(), heard });
        thread::sleep(CALL_EACH.saturating_sub(sent.elapsed()));
    }
    Ok(seen)
}

impl Seen {
    /// Holds what was seen against what was done: the steps that took back a version, with that version and the one after.
    pub(crate) fn verdict(&self, back: &[(&Step, u64, u64)]) -> Result<()> {
        for (key, sights) in &self.sights {
            let mut newest: Option<(u64, &Sight)> = None;
            for sight in sights {
                let Heard::Version(version) = sight.heard else { continue };
                if let Some((before, last)) = newest
                    && version < before
                {
                    let by = back.iter().find(|(step, from, to)| {
                        (*from, *to) == (before, version)
                            && sight.answered > step.begun
                            && last.sent < step.done
                    });
                    ensure!(by.is_some(), "{key}: version {version} after {before}: {last:?}, {sight:?}");
                }
                newest = Some((version, sight));
            }
        }
        Ok(())
    }

    /// Whether all calls that were sent between two steps were answered by one of these versions.
    pub(crate) fn only(&self, versions: &[u64], after: &Step, before: &Step) -> Result<()> {
        let mut count = 0;
        for sight in self.sights.values().flatten() {
            if sight.sent < after.done || sight.answered > before.begun {
                continue;
            }
            if let Heard::Version(version) = sight.heard {
                ensure!(versions.contains(&version), "{sight:?}, not by one of {versions:?}");
                count += 1;
            }
        }
        ensure!(count > 0, "no call was between two steps");
        Ok(())
    }

    /// Whether every call was answered.
    pub(crate) fn all_answered(&self) -> Result<()> {
        for sight in self.sights.values().flatten() {
            ensure!(matches!(sight.heard, Heard::Version(_)), "a call failed: {sight:?}");
        }
        Ok(())
    }

    /// How long each shard has kept a caller waiting at most: the median of all shards that were called, and the longest.
    pub(crate) fn pauses(&self) -> String {
        let mut longest: BTreeMap<u64, Duration> = BTreeMap::new();
        for (key, shard) in &self.shards {
            let waits = self.sights[key].iter().map(|sight| sight.answered - sight.sent);
            let pause = longest.entry(*shard).or_default();
            *pause = waits.fold(*pause, Duration::max);
        }
        let mut sorted: Vec<Duration> = longest.into_values().collect();
        sorted.sort();
        let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
        let (median, worst) = (at(sorted.len() / 2), at(sorted.len().saturating_sub(1)));
        format!("longest call of {} shards: median {median:.1?}, worst {worst:.1?}", sorted.len())
    }
}

/// Does something as the operator, and says when.
pub(crate) fn step(cluster: &Cluster, words: &[&str]) -> Result<Step> {
    let begun = Instant::now();
    cluster.cli(words)?;
    let done = Instant::now();
    println!("{}: {:?}", words.join(" "), done - begun);
    Ok(Step { begun, done })
}
