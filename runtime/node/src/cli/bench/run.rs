//! A run from its warm-up to its last answer, with a line each second and an ear for Ctrl-C.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::pending;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::task::unconstrained;
use tokio::time::{MissedTickBehavior, interval};

use super::load::{Load, Loop, Through};
use super::report::{self, Lane};
use super::tally::{Part, Tally};

/// How long one of several ways has the cluster to itself before it is the next one's turn.
const TURN_S: u32 = 2;
/// How often a line is shown.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan<'a> {
    pub(super) through: &'a [Through],
    pub(super) pattern: Loop,
    pub(super) seconds: u32,
    pub(super) warm_up: u32,
}

/// What was seen.
pub(super) struct Seen {
    pub(super) lanes: Vec<Lane>,
    /// Calls before it was measured, for whoever counts with us.
    pub(super) warm_up: Part,
    /// Processor time for each second of measuring.
    pub(super) busy: f64,
}

/// Where a run is.
struct Phase {
    begun: Instant,
    words: Cell<&'static str>,
    warming: Cell<bool>,
}

/// Carries out a plan.
///
/// # Errors
/// If this process gets no descriptors or timers.
pub(super) fn run(load: &Load, plan: &Plan<'_>) -> anyhow::Result<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let phase = Phase { begun: Instant::now(), words: Cell::new(""), warming: Cell::new(true) };
    // All clients are one task: its turns must not be rationed as if it were one of many.
    runtime.block_on(unconstrained(async {
        tokio::select! {
            biased;
            seen = measure(load, plan, &phase) => seen,
            error = beside(load, &phase) => Err(error),
        }
    }))
}

async fn measure(load: &Load, plan: &Plan<'_>, phase: &Phase) -> anyhow::Result<Seen> {
    let warm_up = RefCell::new(Tally::default());
    for through in plan.through {
        phase.words.set(report::name(*through));
        if plan.warm_up > 0 && load.stopped.get().is_none() {
            load.run(*through, plan.pattern, Duration::from_secs(plan.warm_up.into()), &warm_up).await?;
        }
    }
    phase.warming.set(false);
    let tallies: Vec<RefCell<Tally>> = plan.through.iter().map(|_| RefCell::default()).collect();
    let (begun, spent) = (Instant::now(), processor_time());
    for seconds in turns(plan.seconds, plan.through.len()) {
        for (through, tally) in plan.through.iter().zip(&tallies) {
            phase.words.set(report::name(*through));
            if load.stopped.get().is_none() {
                load.run(*through, plan.pattern, Duration::from_secs(seconds.into()), tally).await?;
            }
        }
    }
    let busy = (processor_time() - spent).as_secs_f64() / begun.elapsed().as_secs_f64().max(f64::EPSILON);
    let lanes = plan.through.iter().zip(tallies);
    let lanes = lanes.map(|(through, tally)| Lane { through: *through, tally: tally.into_inner() });
    Ok(Seen { lanes: lanes.collect(), warm_up: warm_up.into_inner().all, busy })
}

/// How long the turns of each way are. One way alone has no turns.
fn turns(seconds: u32, ways: usize) -> Vec<u32> {
    let turn = if ways > 1 { TURN_S } else { seconds };
    let whole = (0..seconds / turn).map(|_| turn);
    whole.chain(Some(seconds % turn).filter(|rest| *rest > 0)).collect()
}

/// Shows how it goes, and listens for Ctrl-C. It ends only where it cannot listen.
async fn beside(load: &Load, phase: &Phase) -> anyhow::Error {
    let listen = async {
        let stops: [fn(&Load); 2] = [Load::stop, |load| load.give_up.cancel()];
        for stop in stops {
            if let Err(error) = tokio::signal::ctrl_c().await {
                return anyhow::Error::from(error).context("no Ctrl-C can be heard");
            }
            stop(load);
        }
        pending().await
    };
    tokio::select! {
        error = listen => error,
        never = show(load, phase) => match never {},
    }
}

async fn show(load: &Load, phase: &Phase) -> Infallible {
    let mut each = interval(SHOWN_EVERY);
    each.set_missed_tick_behavior(MissedTickBehavior::Skip);
    each.tick().await;
    loop {
        each.tick().await;
        let mut recent = load.recent.borrow_mut();
        let warming = if phase.warming.get() { "warm-up " } else { "" };
        let words = format!("{warming}{}", phase.words.get());
        eprintln!("{}", report::progress(phase.begun.elapsed().as_secs(), &words, &recent));
        recent.clear();
    }
}

/// What this process has taken of processors so far.
fn processor_time() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_ways_take_turns_and_each_has_the_whole_time() {
        assert_eq!(turns(10, 1), [10]);
        assert_eq!(turns(7, 2), [2, 2, 2, 1]);
        assert_eq!(turns(1, 2), [1]);
    }
}
