//! Counters that are written and read while something happens to the nodes, and what each of them must say.
//!
//! Every client has counters of its own and one call under way at a time, so it knows what each answer must be: an acknowledged write that
//! is lost, one that is carried out twice, and a read of an old value all show as a wrong number.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::cluster::call_path;
use crate::http::Http;
use crate::wait::until;
use crate::witness::Witness;

/// How many counters each client has: on different shards, so that every node owns some.
const KEYS: usize = 8;
/// The longest that a call may take: a node keeps it until this deadline, whatever happens to the owner.
const CALL_MAX: Duration = Duration::from_secs(20);
/// How much longer the client waits.
const SLACK: Duration = Duration::from_secs(5);
/// How long a client waits after a call that failed: where no node runs, it would do nothing but fail.
const FAILED_WAIT: Duration = Duration::from_millis(50);

/// How the load is made.
pub struct Load<'a> {
    /// The workload: a `counter` guest.
    pub workload: &'a str,
    /// The nodes that are called, in turn.
    pub nodes: Vec<String>,
    /// How many clients.
    pub clients: usize,
    /// Tells the keys of this load from those of others.
    pub name: String,
    /// How many calls have been answered so far.
    pub made: AtomicU64,
}

/// What the load has seen.
#[derive(Default)]
pub struct Tally {
    /// Calls that were answered as they must be.
    pub calls: u64,
    /// Those of them that wrote.
    pub writes: u64,
    /// Calls without an answer, or with another status than 200, in words.
    pub failures: Vec<String>,
    /// Answers that cannot be, in words.
    pub wrong: Vec<String>,
    /// The longest that a call took.
    pub slowest: Duration,
    /// Who answered under which epoch.
    pub witness: Witness,
}

impl Tally {
    /// Adds what another client has seen.
    ///
    /// # Errors
    /// Two replies contradict each other.
    pub fn join(&mut self, other: Tally) -> Result<()> {
        self.calls += other.calls;
        self.writes += other.writes;
        self.failures.extend(other.failures);
        self.wrong.extend(other.wrong);
        self.slowest = self.slowest.max(other.slowest);
        self.witness.join(other.witness)
    }

    /// Whether every call was answered, and answered right.
    ///
    /// # Errors
    /// The first that was not.
    pub fn verdict(&self) -> Result<()> {
        self.contradictions()?;
        let failed = self.failures.len();
        ensure!(failed == 0, "{failed} calls failed, the first: {}", self.failures[0]);
        Ok(())
    }

    /// Whether every answer was right; calls may have failed.
    ///
    /// # Errors
    /// The first that was not.
    pub fn contradictions(&self) -> Result<()> {
        let wrong = self.wrong.len();
        ensure!(wrong == 0, "{wrong} wrong answers, the first: {}", self.wrong[0]);
        self.witness.verdict()
    }
}

struct Counter {
    key: String,
    total: u64,
    /// A write failed without saying whether it was carried out: the next answer tells.
    doubt: u64,
}

impl<'a> Load<'a> {
    /// A load that has not begun.
    pub fn new(workload: &'a str, nodes: Vec<String>, clients: usize, name: &str) -> Self {
        Self { workload, nodes, clients, name: name.to_owned(), made: AtomicU64::new(0) }
    }

    /// Waits until so many more calls have been answered.
    ///
    /// # Errors
    /// If they are not in time.
    pub fn more(&self, count: u64, within: Duration) -> Result<()> {
        let begun = self.made.load(Ordering::Relaxed);
        until("calls to be answered", within, || {
            let answered = self.made.load(Ordering::Relaxed) - begun;
            ensure!(answered >= count, "{answered} of {count} are");
            Ok(())
        })
    }

    /// Makes the load while `act` runs.
    ///
    /// # Errors
    /// As `act`; a client could not go on.
    pub fn during<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<(T, Tally)> {
        let (done, gave_up) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let clients: Vec<_> = (0..self.clients)
                .map(|number| {
                    let (done, gave_up) = (&done, &gave_up);
                    scope.spawn(move || self.client(number, done, gave_up))
                })
                .collect();
            let acted = act();
            gave_up.store(acted.is_err(), Ordering::Relaxed);
            done.store(true, Ordering::Relaxed);
            let mut tally = Tally::default();
            for client in clients {
                tally.join(client.join().map_err(|_| anyhow!("a client panicked"))??)?;
            }
            Ok((acted?, tally))
        })
    }

    fn client(&self, number: usize, done: &AtomicBool, gave_up: &AtomicBool) -> Result<Tally> {
        let http = Http::with_connections(1);
        let mut tally = Tally::default();
        let key = |key| Counter { key: format!("{}-{number}-{key}", self.name), total: 0, doubt: 0 };
        let mut counters: Vec<Counter> = (0..KEYS).map(key).collect();
        let mut turn = number;
        while !done.load(Ordering::Relaxed) {
            turn += 1;
            let counter = &mut counters[turn / 2 % KEYS];
            self.call(&http, turn, counter, &mut tally)?;
        }
        // What was written under doubt is settled by a last look at each counter.
        for counter in &mut counters {
            if gave_up.load(Ordering::Relaxed) {
                // The cluster may not answer any more, and the verdict is known.
                break;
            }
            turn += 2 - turn % 2;
            self.call(&http, turn, counter, &mut tally)?;
        }
        Ok(tally)
    }

    /// One call: odd turns write, even ones read; a counter is written, then read, through any node.
    fn call(&self, http: &Http, turn: usize, counter: &mut Counter, tally: &mut Tally) -> Result<()> {
        let writes = turn % 2 == 1;
        let (method, body) = if writes { ("add", "1") } else { ("get", "") };
        let node = &self.nodes[turn / 3 % self.nodes.len()];
        let path = call_path(self.workload, &counter.key, method);
        let begun = Instant::now();
        let ask = http.ask("POST", format!("{node}{path}")).body(body.as_bytes());
        let ask = ask.header("shardloom-timeout-ms", &CALL_MAX.as_millis().to_string());
        let reply = ask.within(CALL_MAX + SLACK).send();
        tally.slowest = tally.slowest.max(begun.elapsed());
        let reply = match reply {
            Ok(reply) if reply.status == 200 => reply,
            Ok(reply) => {
                thread::sleep(FAILED_WAIT);
                let executed = reply.text().contains("\"unknown\"");
                counter.doubt += u64::from(writes && executed);
                tally.failures.push(format!("{method} through {node}: {} {}", reply.status, reply.text()));
                return Ok(());
            }
            Err(error) => {
                thread::sleep(FAILED_WAIT);
                counter.doubt += u64::from(writes);
                tally.failures.push(format!("{method} through {node}: {error:#}"));
                return Ok(());
            }
        };
        tally.witness.note(&reply)?;
        let least = counter.total + u64::from(writes);
        let said: Option<u64> = reply.text().trim().parse().ok();
        match said {
            Some(said) if (least..=least + counter.doubt).contains(&said) => {
                counter.total = said;
                counter.doubt = 0;
                tally.calls += 1;
                self.made.fetch_add(1, Ordering::Relaxed);
                tally.writes += u64::from(writes);
            }
            _ => {
                let stamp = reply.stamp();
                let must = format!("{least}, or up to {} more", counter.doubt);
                tally.wrong.push(format!(
                    "{method} {} said {:?}, must be {must} ({stamp:?})",
                    counter.key,
                    reply.text()
                ));
                counter.total = said.unwrap_or(least);
            }
        }
        Ok(())
    }
}
