//! A steady load on counters, by clients that try the next node where one does not answer: each call is made again under its idempotency key until it is
//! answered, so each answer is known in advance, and a call that nobody answers in time has failed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use shardloom_harness::cluster::call_path;
use shardloom_harness::{Http, until};

/// Clients, each with keys of its own and one call under way.
const CLIENTS: usize = 4;
/// Keys of a client.
const KEYS: usize = 24;
/// From the begin of a call to that of the client's next: 200 calls a second in all.
const CALL_EACH: Duration = Duration::from_millis(20);
/// The longest that a node keeps a call.
const CALL_MAX: Duration = Duration::from_secs(10);
/// How long a call may take in all, on whichever nodes: longer than a lease that has to run out.
const ANSWERED_MAX: Duration = Duration::from_secs(20);
/// The pause after all nodes have been tried in vain.
const PAUSE: Duration = Duration::from_millis(20);
/// How long calls may take that are waited for.
const CALLS_WITHIN: Duration = Duration::from_secs(60);

/// How far the load has come.
#[derive(Default)]
pub(super) struct Progress {
    answered: AtomicU64,
}

impl Progress {
    /// Waits for so many more calls.
    pub(super) fn more(&self, count: u64) -> Result<()> {
        let begun = self.answered.load(Ordering::Relaxed);
        until("calls to be answered", CALLS_WITHIN, || {
            let answered = self.answered.load(Ordering::Relaxed) - begun;
            ensure!(answered >= count, "{answered} of {count} are");
            Ok(())
        })
    }
}

/// What the clients have seen; that nothing was wrong is known then.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Calls that were answered.
    pub(super) calls: u64,
    /// Those of them that had to be made again.
    pub(super) again: u64,
    /// The longest that a call took, whatever it had to be tried on.
    pub(super) longest: Duration,
}

/// Calls the workload `w` through these nodes while `act` runs.
///
/// # Errors
/// As `act`; a call was not answered in time, or answered wrongly, or by an older version than the one before.
pub(super) fn under_load<T>(nodes: &[String], act: impl FnOnce(&Progress) -> Result<T>) -> Result<(T, Seen)> {
    let (done, progress) = (AtomicBool::new(false), Progress::default());
    thread::scope(|scope| {
        let (done, progress) = (&done, &progress);
        let clients: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || client(number, nodes, done, progress))).collect();
        let acted = act(progress);
        done.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        for client in clients {
            let Seen { calls, again, longest } =
                client.join().map_err(|_| anyhow!("a client panicked"))??;
            seen.calls += calls;
            seen.again += again;
            seen.longest = seen.longest.max(longest);
        }
        Ok((acted?, seen))
    })
}

fn client(number: usize, nodes: &[String], done: &AtomicBool, progress: &Progress) -> Result<Seen> {
    let http = Http::with_connections(nodes.len());
    let (mut seen, mut totals, mut versions) = (Seen::default(), [0_u64; KEYS], [0_u64; KEYS]);
    for turn in number.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let (place, key) = (turn % KEYS, format!("{number}-{}", turn % KEYS));
        let begun = Instant::now();
        let answer = call(&http, nodes, (number, turn), &key)?;
        let took = begun.elapsed();
        totals[place] += 1;
        ensure!(answer.total == totals[place], "{key}: {} where {} must be", answer.total, totals[place]);
        let before = std::mem::replace(&mut versions[place], answer.version);
        ensure!(answer.version >= before, "{key}: version {} after {before}", answer.version);
        seen.calls += 1;
        seen.again += u64::from(answer.tries > 1);
        seen.longest = seen.longest.max(took);
        progress.answered.fetch_add(1, Ordering::Relaxed);
        thread::sleep(CALL_EACH.saturating_sub(took));
    }
    Ok(seen)
}

struct Answer {
    total: u64,
    version: u64,
    tries: usize,
}

/// Adds one, on the first node that answers.
fn call(http: &Http, nodes: &[String], (number, turn): (usize, usize), key: &str) -> Result<Answer> {
    let path = call_path("w", key, "add");
    let idempotency = format!("{number}-{turn}");
    let (deadline, mut last) = (Instant::now() + ANSWERED_MAX, String::new());
    for tries in 1.. {
        let node = &nodes[(turn + turn / KEYS + tries) % nodes.len()];
        let ask = http.ask("POST", format!("{node}{path}")).body("1").within(CALL_MAX);
        match ask.header("idempotency-key", &idempotency).send() {
            Ok(reply) if reply.status == 200 => {
                let version = reply.header("shardloom-workload-version").parse();
                let version = version.with_context(|| format!("{key}: an answer without a version"))?;
                return Ok(Answer { total: reply.text().parse()?, version, tries });
            }
            Ok(reply) => last = format!("{node}: {} {}", reply.status, reply.text()),
            Err(error) => last = format!("{node}: {error:#}"),
        }
        if Instant::now() >= deadline {
            break;
        }
        if tries % nodes.len() == 0 {
            thread::sleep(PAUSE);
        }
    }
    bail!("call {turn} of client {number} was not answered within {ANSWERED_MAX:?}, at last: {last}")
}
