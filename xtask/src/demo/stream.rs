//! Many calls, a few in flight, through all nodes in turn.
//!
//! A call that writes has an idempotency key: where its node is lost on the way, it is made again through another one, and is carried out
//! once all the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use shardloom_harness::cluster::call_path;
use shardloom_harness::http::{Http, Reply, Stamp};

use super::WORKLOAD;
use super::words::words;

/// How many calls are in flight. Enough to keep two cores busy.
const IN_FLIGHT: usize = 12;
/// How many calls are prepared ahead.
const AHEAD: usize = 64;
/// How long a call is tried again.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How long before the next node is asked.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// What one call was answered.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    /// The word's total after the call.
    pub(crate) total: u64,
    /// Who answered.
    pub(crate) stamp: Stamp,
}

/// One call to make.
struct Call {
    turn: usize,
    word: String,
}

/// Counts every word of a text, one call each, and returns how many calls each node ran.
/// `made` counts those that were answered.
pub(crate) fn add_all(
    nodes: &[String],
    text: &str,
    interrupted: &AtomicBool,
    made: &AtomicUsize,
) -> Result<BTreeMap<String, u64>> {
    let mut calls = BTreeMap::new();
    let total = words(text).count();
    let begun = Instant::now();
    in_turn(nodes, "add", words(text), total, interrupted, |_, counted| {
        made.fetch_add(1, Ordering::Relaxed);
        *calls.entry(counted.stamp.node).or_default() += 1;
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{total} calls in {seconds:.1} s, {:.0} a second", total as f64 / seconds);
    Ok(calls)
}

/// Reads the count of every word that should be there.
pub(crate) fn read_all(
    nodes: &[String],
    expected: &BTreeMap<String, u64>,
    interrupted: &AtomicBool,
) -> Result<BTreeMap<String, Counted>> {
    let mut found = BTreeMap::new();
    let words = expected.keys().cloned();
    in_turn(nodes, "get", words, expected.len(), interrupted, |word, counted| {
        found.insert(word, counted);
    })?;
    Ok(found)
}

/// Makes one call for each word through each node in turn, a few in flight.
fn in_turn(
    nodes: &[String],
    method: &str,
    words: impl Iterator<Item = String> + Send,
    total: usize,
    interrupted: &AtomicBool,
    mut each: impl FnMut(String, Counted),
) -> Result<()> {
    let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} {per_sec} {eta} left")?;
    let bar = ProgressBar::new(total as u64).with_style(style).with_message(method.to_owned());
    let (calls, to_make) = sync_channel::<Call>(AHEAD);
    let (answers, answered) = sync_channel(AHEAD);
    let to_make = Mutex::new(to_make);
    let http = Http::with_connections(IN_FLIGHT);
    // Set at the first failure: what is still queued is then dropped.
    let enough = AtomicBool::new(false);

    thread::scope(|scope| {
        for _ in 0..IN_FLIGHT {
            let answers = answers.clone();
            let (http, to_make, enough) = (&http, &to_make, &enough);
            scope.spawn(move || work(http, nodes, method, to_make, &answers, enough));
        }
        drop(answers);
        let stop = || interrupted.load(Ordering::Relaxed) || enough.load(Ordering::Relaxed);
        let feeder = scope.spawn(move || {
            for (turn, word) in words.enumerate() {
                if stop() || calls.send(Call { turn, word }).is_err() {
                    break;
                }
            }
        });
        let mut count = 0;
        let mut failed = None;
        for answer in answered {
            match answer {
                Ok((word, counted)) => {
                    count += 1;
                    bar.inc(1);
                    each(word, counted);
                }
                Err(error) => {
                    enough.store(true, Ordering::Relaxed);
                    failed = Some(failed.unwrap_or(error));
                }
            }
        }
        bar.finish_and_clear();
        feeder.join().map_err(|_| anyhow!("the feeder panicked"))?;
        match failed {
            Some(error) => Err(error),
            None if interrupted.load(Ordering::Relaxed) => bail!("interrupted"),
            None => {
                ensure!(count == total, "only {count} of {total} calls were answered");
                Ok(())
            }
        }
    })
}

/// Makes calls until there are none left, or one fails for good.
fn work(
    http: &Http,
    nodes: &[String],
    method: &str,
    to_make: &Mutex<Receiver<Call>>,
    answers: &SyncSender<Result<(String, Counted)>>,
    enough: &AtomicBool,
) {
    loop {
        let next = to_make.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Call { turn, word }) = next else { return };
        if enough.load(Ordering::Relaxed) {
            continue;
        }
        let counted =
            call(http, nodes, turn, &word, method).with_context(|| format!("the call for {word:?}"));
        if answers.send(counted.map(|counted| (word, counted))).is_err() {
            return;
        }
    }
}

/// Makes one call; where a node does not answer, or says that it may be tried again, the next one is asked.
pub(crate) fn call(http: &Http, nodes: &[String], turn: usize, word: &str, method: &str) -> Result<Counted> {
    let path = call_path(WORKLOAD, word, method);
    let key = format!("{method}-{turn}");
    let end = Instant::now() + RETRY_MAX;
    let mut turn = turn;
    loop {
        let ask = http.ask("POST", format!("{}{path}", nodes[turn % nodes.len()]));
        let reply = match ask.header("idempotency-key", &key).send() {
            Ok(reply) => reply,
            Err(error) if Instant::now() >= end => return Err(error),
            Err(_) => {
                turn += 1;
                thread::sleep(RETRY_PAUSE);
                continue;
            }
        };
        if reply.status == 200 {
            let total =
                reply.text().trim().parse().with_context(|| format!("answered {:?}", reply.text()))?;
            return Ok(Counted {
                total,
                stamp: reply.stamp().context("the reply does not say who answered")?,
            });
        }
        if !may_be_tried_again(&reply) || Instant::now() >= end {
            bail!("status {}: {}", reply.status, reply.text());
        }
        turn += 1;
        thread::sleep(RETRY_PAUSE);
    }
}

fn may_be_tried_again(reply: &Reply) -> bool {
    reply.json::<serde_json::Value>().is_ok_and(|problem| problem["retryable"] == true)
}
