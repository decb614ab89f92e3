//! What is printed of a kind's runs.

use std::time::Duration;

use serde_json::{Value, json};

use super::kinds::Kind;
use super::operator::Done;
use super::run::Seen;

/// The figures of one kind over its runs.
pub(super) struct Outcome {
    kind: Kind,
    /// Answered calls and operations, and those of them that wrote.
    pub(super) calls: u64,
    pub(super) writes: u64,
    /// Operations that were judged by their histories, and those without an answer, through nodes that were hurt.
    pub(super) judged: u64,
    pub(super) pending: u64,
    /// Calls that failed through nodes that were not hurt.
    pub(super) failed: u64,
    /// The longest time without any answer, and the longest that a call took, of each run.
    pub(super) gaps: Vec<Duration>,
    pub(super) slowest: Vec<Duration>,
    /// What an operator has done meanwhile, if there was one.
    pub(super) operated: Option<Done>,
}

impl Outcome {
    /// Nothing yet.
    pub(super) fn of(kind: Kind) -> Self {
        let (gaps, slowest) = (Vec::new(), Vec::new());
        Self { kind, calls: 0, writes: 0, judged: 0, pending: 0, failed: 0, gaps, slowest, operated: None }
    }

    /// Adds a run.
    pub(super) fn add(&mut self, seen: &Seen) {
        self.calls += seen.tally.calls + seen.figures.operations;
        self.writes += seen.tally.writes + seen.figures.writes;
        self.judged += seen.figures.operations;
        self.pending += seen.figures.pending;
        self.failed += (seen.tally.failures.len() + seen.record.failures.len()) as u64;
        self.gaps.push(seen.figures.gap);
        self.slowest.push(seen.slowest());
        if let Some(done) = seen.operated {
            self.operated.get_or_insert_default().join(done);
        }
    }

    pub(super) fn line(&self) -> String {
        let ((gap, gap_worst), (slowest, slowest_worst)) = (middle(&self.gaps), middle(&self.slowest));
        format!(
            "{:<11} {:>2} runs  {:>9} calls, {:>8} of them writes, {:>8} judged by histories, {:>4} pending, {:>4} failed  \
             gap p50 {gap:.3?} worst {gap_worst:.3?}  slowest call p50 {slowest:.3?} worst {slowest_worst:.3?}{}",
            format!("{:?}", self.kind),
            self.slowest.len(),
            self.calls,
            self.writes,
            self.judged,
            self.pending,
            self.failed,
            self.operated.map(|done| format!("\n            {done}")).unwrap_or_default(),
        )
    }

    pub(super) fn value(&self) -> Value {
        let ((gap, gap_worst), (slowest, slowest_worst)) = (middle(&self.gaps), middle(&self.slowest));
        json!({ "kind": format!("{:?}", self.kind), "runs": self.slowest.len(), "calls": self.calls, "writes": self.writes,
                "judged": self.judged, "pending": self.pending, "failed": self.failed,
                "gap_p50_ms": gap.as_millis() as u64, "gap_worst_ms": gap_worst.as_millis() as u64,
                "slowest_p50_ms": slowest.as_millis() as u64, "slowest_worst_ms": slowest_worst.as_millis() as u64,
                "operated": self.operated.map(|done| done.to_string()) })
    }
}

/// The median and the largest.
fn middle(times: &[Duration]) -> (Duration, Duration) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    (at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
}
