//! The clock of the guests: a thread that counts the engine's epoch up, so that running guests yield.
//!
//! While no guest has run for a while the thread sleeps for good; the next call wakes it. So an idle host costs nothing,
//! and a busy one is not slowed by waking a thread with every call.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// Ticks without any guest after which the thread sleeps.
const IDLE_TICKS: u32 = 50;

#[derive(Debug)]
pub(crate) struct Ticker {
    state: Arc<TickerState>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct TickerState {
    /// Guests under way.
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// While it lives, the clock ticks.
#[derive(Debug)]
pub(crate) struct Ticking<'a>(&'a TickerState);

impl Ticker {
    pub(crate) fn start(engine: Engine, tick: Duration) -> io::Result<Ticker> {
        let state = Arc::new(TickerState::default());
        let seen = Arc::clone(&state);
        let handle =
            thread::Builder::new().name("guest-clock".to_owned()).spawn(move || run(&engine, tick, &seen))?;
        Ok(Ticker { state, thread: handle.thread().clone(), handle: Some(handle) })
    }

    /// Makes sure that the clock ticks until the guard is dropped.
    pub(crate) fn keep_ticking(&self) -> Ticking<'_> {
        self.state.running.fetch_add(1, Ordering::SeqCst);
        if self.state.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Ticking(&self.state)
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // The thread does not panic, and ends at its next tick.
            let _ = handle.join();
        }
    }
}

fn run(engine: &Engine, tick: Duration, state: &TickerState) {
    let mut idle_ticks = 0;
    while !state.stop.load(Ordering::SeqCst) {
        thread::sleep(tick);
        engine.increment_epoch();
        idle_ticks = if state.running.load(Ordering::SeqCst) == 0 { idle_ticks + 1 } else { 0 };
        if idle_ticks >= IDLE_TICKS {
            // Either this thread sees the guest that starts now, or the guest sees that this thread sleeps.
            state.asleep.store(true, Ordering::SeqCst);
            while state.running.load(Ordering::SeqCst) == 0 && !state.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            state.asleep.store(false, Ordering::SeqCst);
            idle_ticks = 0;
        }
    }
}
