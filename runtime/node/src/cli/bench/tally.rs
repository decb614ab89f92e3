//! What was seen of one way of calling: how many calls, how they ended, how long they took, by node and by method.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::answer::Failure;

/// The longest latency that is told apart from longer ones, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;
/// Significant digits of a latency.
const DIGITS: u8 = 3;
/// Kinds of failures that are kept apart; a component may answer whatever it likes.
const FAILURES_MAX: usize = 100;

/// Calls that belong together. Latencies are those of calls that succeeded: how fast something fails says nothing about the rest.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) ok: u64,
    pub(super) failed: u64,
    /// In microseconds.
    pub(super) latencies: Histogram<u64>,
}

impl Default for Part {
    fn default() -> Part {
        let latencies = Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS);
        Part { ok: 0, failed: 0, latencies: latencies.expect("the bounds of latencies make a histogram") }
    }
}

impl Part {
    /// A call has ended.
    pub(super) fn note(&mut self, latency: Option<Duration>) {
        match latency {
            Some(latency) => {
                self.ok += 1;
                self.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
            }
            None => self.failed += 1,
        }
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        (self.ok, self.failed) = (0, 0);
        self.latencies.reset();
    }
}

/// How a call has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// The node that ran it, else the one that was asked.
    pub(super) node: usize,
    pub(super) method: usize,
    /// Counted from the moment when the call was to begin.
    pub(super) outcome: Result<Duration, Failure>,
    /// The node that was asked ran it.
    pub(super) direct: bool,
    /// It began late, since no client was free.
    pub(super) late: bool,
}

/// Failures of one kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failures {
    pub(super) calls: u64,
    /// One of them in words.
    pub(super) detail: String,
}

/// Everything about one way of calling.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) all: Part,
    /// By the node's number.
    pub(super) nodes: Vec<Part>,
    /// By the method's number.
    pub(super) methods: Vec<Part>,
    /// By code, and by whether the calls were carried out.
    pub(super) failures: BTreeMap<(String, &'static str), Failures>,
    pub(super) direct: u64,
    pub(super) late: u64,
    /// Calls whose time came and that did not begin.
    pub(super) not_started: u64,
    /// How long calls were begun.
    pub(super) time: Duration,
}

impl Tally {
    /// Takes note of a call.
    pub(super) fn note(&mut self, ended: Ended) {
        let latency = ended.outcome.as_ref().ok().copied();
        self.all.note(latency);
        at(&mut self.nodes, ended.node).note(latency);
        at(&mut self.methods, ended.method).note(latency);
        self.direct += u64::from(ended.direct);
        self.late += u64::from(ended.late);
        if let Err(Failure { code, executed, detail }) = ended.outcome {
            let known = self.failures.len() < FAILURES_MAX;
            let kind = (code, executed);
            let kind =
                if known || self.failures.contains_key(&kind) { kind } else { ("other".into(), executed) };
            self.failures.entry(kind).or_insert(Failures { calls: 0, detail }).calls += 1;
        }
    }

    /// Calls that succeeded, for each second in which calls were begun.
    pub(super) fn per_second(&self) -> f64 {
        let seconds = self.time.as_secs_f64();
        if seconds > 0.0 { self.all.ok as f64 / seconds } else { 0.0 }
    }
}

fn at(parts: &mut Vec<Part>, number: usize) -> &mut Part {
    if parts.len() <= number {
        parts.resize_with(number + 1, Part::default);
    }
    &mut parts[number]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(outcome: Result<Duration, Failure>) -> Ended {
        Ended { node: 1, method: 0, outcome, direct: true, late: false }
    }

    #[test]
    fn each_call_is_counted_once_in_all_that_it_belongs_to() {
        let mut tally = Tally { time: Duration::from_secs(2), ..Tally::default() };
        for ms in [1, 2, 3] {
            tally.note(ended(Ok(Duration::from_millis(ms))));
        }
        tally.note(ended(Err(Failure::own("lost", "unknown", "first"))));
        tally.note(Ended { node: 0, ..ended(Err(Failure::own("lost", "unknown", "second"))) });
        tally.note(ended(Err(Failure::own("lost", "no", "other"))));
        assert_eq!((tally.all.ok, tally.all.failed, tally.direct), (3, 3, 6));
        assert_eq!((tally.nodes[1].ok, tally.nodes[1].failed, tally.nodes[0].failed), (3, 2, 1));
        assert_eq!(tally.all.latencies.len(), 3);
        let lost = &tally.failures[&("lost".to_owned(), "unknown")];
        assert_eq!(*lost, Failures { calls: 2, detail: "first".into() });
        assert_eq!(tally.failures.values().map(|one| one.calls).sum::<u64>(), 3);
        assert_eq!(tally.per_second(), 1.5);
    }

    #[test]
    fn kinds_of_failures_are_bounded_and_none_is_lost() {
        let mut tally = Tally::default();
        for number in 0..1_000 {
            tally.note(ended(Err(Failure::own(&format!("code-{number}"), "no", ""))));
        }
        assert_eq!(tally.failures.len(), FAILURES_MAX + 1);
        assert_eq!(tally.failures.values().map(|one| one.calls).sum::<u64>(), 1_000);
    }

    #[test]
    fn a_latency_beyond_all_bounds_is_counted_as_the_longest() {
        let mut part = Part::default();
        part.note(Some(Duration::MAX));
        assert!(part.latencies.max() >= LATENCY_US_MAX);
    }
}
