//! Clients that call one after another without pause, whatever is called.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::Op;
use super::spent::Spent;

/// How long is called before it counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// How long each call took that counts.
pub(crate) type Seen = Vec<Duration>;

/// A system of three processes that is called.
pub(crate) trait System: Sync {
    /// Its name in the report.
    fn name(&self) -> &'static str;

    /// Whether it has such an operation.
    fn can(&self, op: Op) -> bool;

    /// A client on a connection of its own, its keys there to be read.
    fn client(&self, op: Op, number: usize) -> Result<Box<dyn Client>>;

    /// What its processes have used up so far.
    fn spent(&self) -> Result<Spent>;
}

/// One client.
pub(crate) trait Client: Send {
    /// Calls, and waits for the answer. Anything but success is an error.
    fn call(&mut self, turn: usize) -> Result<()>;
}

/// Calls for so long after a warm-up; `counting` is told when it begins to count.
pub(crate) fn run(
    system: &dyn System,
    op: Op,
    clients: usize,
    measured: Duration,
    counting: impl FnOnce() -> Result<()>,
) -> Result<Seen> {
    let mut callers = (0..clients).map(|number| system.client(op, number)).collect::<Result<Vec<_>>>()?;
    let (counts, done) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let running: Vec<_> = callers
            .iter_mut()
            .enumerate()
            .map(|(number, caller)| {
                let (counts, done) = (&counts, &done);
                scope.spawn(move || one(&mut **caller, number, counts, done))
            })
            .collect();
        thread::sleep(WARM_UP);
        let begun = counting();
        counts.store(true, Ordering::Relaxed);
        thread::sleep(measured);
        done.store(true, Ordering::Relaxed);
        let mut seen = Seen::new();
        for caller in running {
            seen.extend(caller.join().map_err(|_| anyhow!("a client panicked"))??);
        }
        begun.map(|()| seen)
    })
}

fn one(caller: &mut dyn Client, number: usize, counts: &AtomicBool, done: &AtomicBool) -> Result<Seen> {
    let (mut seen, mut turn) = (Seen::new(), number);
    while !done.load(Ordering::Relaxed) {
        turn += 1;
        let begun = Instant::now();
        caller.call(turn)?;
        if counts.load(Ordering::Relaxed) {
            seen.push(begun.elapsed());
        }
    }
    Ok(seen)
}
