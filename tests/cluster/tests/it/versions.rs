//! Versions change under load: no call fails but for what a bad canary does, and no key sees an older version but by a rollback.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use shardloom_harness::cluster::{Cluster, call_path, check};
use shardloom_harness::{Http, Options, until};

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
const CALLS_WITHIN: Duration = Duration::from_secs(60);
/// What a key's counter begins with: two digits, so that a version that may answer with one alone fails.
const FIRST: u64 = 10;

/// What a client has heard of one key.
#[derive(Clone, Debug)]
struct Sight {
    sent: Instant,
    answered: Instant,
    heard: Heard,
}

#[derive(Clone, Debug)]
enum Heard {
    /// The version that answered.
    Version(u64),
    /// The code of an error.
    Failed(String),
}

/// A step of the operator.
struct Step {
    begun: Instant,
    done: Instant,
}

#[derive(Default)]
pub(crate) struct Seen {
    /// By key, in order of time.
    sights: BTreeMap<String, Vec<Sight>>,
    /// The shard of each key that was ever answered.
    shards: BTreeMap<String, u64>,
}

/// How many calls were answered, and how many failed.
#[derive(Default)]
pub(crate) struct Progress {
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Progress {
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
        let url = format!("{}{}", nodes[(turn + turn / KEYS) % nodes.len()], call_path("w", &key, "add"));
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
    fn verdict(&self, back: &[(&Step, u64, u64)]) -> Result<()> {
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

    /// Whether every call was answered.
    pub(crate) fn none_failed(&self) -> Result<()> {
        for sight in self.sights.values().flatten() {
            ensure!(matches!(sight.heard, Heard::Version(_)), "a call failed: {sight:?}");
        }
        Ok(())
    }

    /// Whether all calls that were sent between two steps were answered by one of these versions.
    fn only(&self, versions: &[u64], after: &Step, before: &Step) -> Result<()> {
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

    pub(crate) fn longest(&self) -> Duration {
        let all = self.sights.values().flatten();
        all.map(|sight| sight.answered - sight.sent).max().unwrap_or_default()
    }
}

/// Does something as the operator, and says when.
fn step(cluster: &Cluster, words: &[&str]) -> Result<Step> {
    let begun = Instant::now();
    cluster.cli(words)?;
    let done = Instant::now();
    println!("{}: {:?}", words.join(" "), done - begun);
    Ok(Step { begun, done })
}

fn deploy(cluster: &Cluster, flags: &[&str]) -> Result<Step> {
    let begun = Instant::now();
    cluster.deploy("counter", "w", flags)?;
    let done = Instant::now();
    println!("deploy {}: {:?}", flags.join(" "), done - begun);
    Ok(Step { begun, done })
}

fn shown(cluster: &Cluster) -> Result<Value> {
    Ok(serde_json::from_str(&cluster.cli(&["workloads", "w", "--json"])?)?)
}

/// The row of a version.
fn row(shown: &Value, version: u64) -> Result<&Value> {
    let rows = shown["versions"].as_array().context("no versions")?;
    rows.iter()
        .find(|row| row["version"] == version)
        .with_context(|| format!("no version {version}: {shown}"))
}

fn canary_shards(shown: &Value) -> Result<BTreeSet<u64>> {
    let shards = shown["canary"]["shards"].as_array().with_context(|| format!("no canary: {shown}"))?;
    shards.iter().map(|shard| shard.as_u64().context("no number")).collect()
}

#[test]
fn deploys_canaries_promotions_and_rollbacks_under_load_cost_no_call() {
    check(Options::of(3), |cluster| {
        deploy(cluster, &["--config", "word=one"])?;
        let nodes: Vec<String> = (0..3).map(|node| cluster.url(node, "")).collect();
        let (steps, seen) = under_load(&nodes, |progress| {
            progress.more(CALLS_BETWEEN)?;
            let second = deploy(cluster, &["--config", "word=two"])?;
            progress.more(CALLS_BETWEEN)?;
            let canary = deploy(cluster, &["--config", "word=three", "--canary", "30%"])?;
            progress.more(CALLS_BETWEEN)?;
            let both = shown(cluster)?;
            for (version, state) in [(2, "current"), (3, "canary")] {
                let row = row(&both, version)?;
                ensure!(row["state"] == state && row["errors"] == 0, "{row}");
                ensure!(row["calls"].as_u64() > Some(0) && row["p99_ms"].as_f64() > Some(0.0), "{row}");
            }
            let refused = cluster.cli_output(&["promote", "nothing"])?;
            ensure!(!refused.status.success(), "there is nothing to promote");
            let promoted = step(cluster, &["promote", "w"])?;
            progress.more(CALLS_BETWEEN)?;
            let back = step(cluster, &["rollback", "w"])?;
            progress.more(CALLS_BETWEEN)?;
            let end = Step { begun: Instant::now(), done: Instant::now() };
            Ok(([second, canary, promoted, back, end], canary_shards(&both)?))
        })?;
        let ([second, canary, promoted, back, end], shards) = steps;
        seen.none_failed()?;
        seen.verdict(&[(&back, 3, 2)])?;
        seen.only(&[2], &second, &canary)?;
        seen.only(&[2, 3], &canary, &promoted)?;
        seen.only(&[3], &promoted, &back)?;
        seen.only(&[2], &back, &end)?;
        for (key, sights) in &seen.sights {
            let Some(shard) = seen.shards.get(key) else { continue };
            for sight in sights.iter().filter(|s| s.sent > canary.done && s.answered < promoted.begun) {
                let tried = matches!(sight.heard, Heard::Version(3));
                ensure!(tried == shards.contains(shard), "{key} on shard {shard}: {sight:?}");
            }
        }
        println!("the longest call took {:?}", seen.longest());
        Ok(())
    });
}

#[test]
fn a_bad_canary_fails_on_its_shards_alone_and_is_ended_at_once() {
    check(Options::of(3), |cluster| {
        deploy(cluster, &[])?;
        let nodes: Vec<String> = (0..3).map(|node| cluster.url(node, "")).collect();
        let (steps, seen) = under_load(&nodes, |progress| {
            progress.more(CALLS_BETWEEN)?;
            // It may answer with one digit, and its counters have two.
            let bad = deploy(cluster, &["--limit", "reply_bytes=1", "--canary", "30%"])?;
            until("the canary to fail", CALLS_WITHIN, || {
                let failed = progress.failed.load(Ordering::Relaxed);
                ensure!(failed >= 20, "{failed} calls have failed");
                Ok(())
            })?;
            let both = shown(cluster)?;
            let (current, canary) = (row(&both, 1)?, row(&both, 2)?);
            ensure!(current["errors"] == 0 && current["calls"].as_u64() > Some(0), "{current}");
            ensure!(canary["error_rate"] == 1.0 && canary["errors"].as_u64() >= Some(20), "{canary}");
            let ended = step(cluster, &["rollback", "w"])?;
            progress.more(CALLS_BETWEEN)?;
            ensure!(shown(cluster)?["canary"].is_null(), "the canary has not ended");
            Ok((bad, ended, canary_shards(&both)?))
        })?;
        let (bad, ended, shards) = steps;
        seen.verdict(&[])?;
        for (key, sights) in &seen.sights {
            for sight in sights {
                let Heard::Failed(code) = &sight.heard else { continue };
                let shard = seen.shards.get(key).with_context(|| format!("{key} was never answered"))?;
                ensure!(code == "guest-limit" && shards.contains(shard), "{key} on shard {shard}: {sight:?}");
                ensure!(sight.answered > bad.begun && sight.sent < ended.done, "after its end: {sight:?}");
            }
        }
        println!("the longest call took {:?}", seen.longest());
        Ok(())
    });
}

#[test]
fn no_key_sees_an_older_version_when_its_owner_dies_in_the_midst_of_a_canary() {
    check(Options::of(3), |cluster| {
        deploy(cluster, &["--config", "word=one"])?;
        // The node that will die is called by no client: what it owns is.
        let nodes: Vec<String> = (0..2).map(|node| cluster.url(node, "")).collect();
        let (back, seen) = under_load(&nodes, |progress| {
            progress.more(CALLS_BETWEEN)?;
            deploy(cluster, &["--config", "word=two", "--canary", "50%"])?;
            cluster.kill(2)?;
            progress.more(CALLS_BETWEEN)?;
            cluster.wait_until_served(CALLS_WITHIN)?;
            step(cluster, &["promote", "w"])?;
            cluster.restart(2)?;
            cluster.wait_for_members(3, CALLS_WITHIN)?;
            progress.more(CALLS_BETWEEN)?;
            let back = step(cluster, &["rollback", "w"])?;
            progress.more(CALLS_BETWEEN)?;
            Ok(back)
        })?;
        for sight in seen.sights.values().flatten() {
            ensure!(matches!(sight.heard, Heard::Version(_)), "a call failed: {sight:?}");
        }
        seen.verdict(&[(&back, 2, 1)])?;
        println!("the longest call took {:?}", seen.longest());
        Ok(())
    });
}
