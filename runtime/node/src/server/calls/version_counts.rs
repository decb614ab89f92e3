//! How the versions of each workload fare on this node: calls, errors, and how long they took. Counted anew from each activation on, so that
//! versions that run side by side are held against each other over the same time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use shardloom_protocol::call::{Given, GuestFailure};
use shardloom_protocol::peer::VersionCount;

use super::outcome::Outcome;
use crate::server::latencies::{BUCKETS, bucket_of};
use crate::server::problem::Code;
use crate::server::view::{View, Workload};

/// From this status on an answer of a component of wasi:http is an error.
const HTTP_ERRORS_FROM: u16 = 500;

/// What is counted, by the workload's name: two versions of each at most.
#[derive(Debug, Default)]
pub struct VersionCounts(Mutex<BTreeMap<String, Vec<Arc<Counts>>>>);

/// One version since one activation.
#[derive(Debug)]
pub struct Counts {
    version: u64,
    activation: u64,
    calls: AtomicU64,
    errors: AtomicU64,
    latencies: [AtomicU64; BUCKETS],
}

/// A call that a version has begun.
#[derive(Debug)]
pub struct Tally {
    /// Where it is counted.
    pub counts: Arc<Counts>,
    /// When its shard turned to it.
    pub since: Instant,
}

impl VersionCounts {
    /// Where the workload's calls are counted at its version.
    pub fn of(&self, workload: &Workload) -> Arc<Counts> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_name = counted.entry(workload.name.clone()).or_default();
        if let Some(found) = of_name.iter().find(|counts| counts.is_of(workload)) {
            return Arc::clone(found);
        }
        let counts = Arc::new(Counts::new(workload));
        // A call that goes by what is over is counted by nobody.
        if of_name.iter().all(|other| other.activation <= workload.activation) {
            of_name.retain(|other| other.activation == workload.activation);
            of_name.push(Arc::clone(&counts));
        }
        counts
    }

    /// What is counted of the workload of this name since its newest activation that has had calls here.
    pub fn read(&self, name: &str) -> Vec<VersionCount> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.get(name).into_iter().flatten().map(|counts| counts.read()).collect()
    }

    /// Lets go of names that are deployed no more.
    pub fn follow(&self, view: &View) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.retain(|name, _| view.workloads.contains_key(name));
    }
}

impl Counts {
    fn new(workload: &Workload) -> Counts {
        Counts {
            version: workload.version,
            activation: workload.activation,
            calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            latencies: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Whether this counts the workload's calls at its version.
    pub fn is_of(&self, workload: &Workload) -> bool {
        (self.version, self.activation) == (workload.version, workload.activation)
    }

    fn read(&self) -> VersionCount {
        VersionCount {
            version: self.version,
            activation: self.activation,
            calls: self.calls.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            latencies: self.latencies.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
        }
    }
}

impl Tally {
    /// Counts the call, whose result may leave now.
    pub fn note(&self, outcome: &Outcome) {
        let Some(failed) = judged(outcome) else { return };
        self.counts.calls.fetch_add(1, Ordering::Relaxed);
        self.counts.errors.fetch_add(u64::from(failed), Ordering::Relaxed);
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counts.latencies[bucket_of(micros)].fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the version has failed; none if it has said nothing. That it refuses what a caller asks for is no error.
fn judged(outcome: &Outcome) -> Option<bool> {
    match outcome {
        Outcome::Ran { given: Given::Before, .. } | Outcome::NotRun | Outcome::Lost => None,
        Outcome::Ran { answer: Ok(reply), .. } => Some(reply.status >= HTTP_ERRORS_FROM),
        Outcome::Ran { answer: Err(failure), .. } => Some(matches!(failure, GuestFailure::Failed(_))),
        Outcome::Failed(problem) => match problem.code {
            Code::GuestTrap | Code::GuestLimit | Code::GuestTimeout | Code::Internal => Some(true),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shardloom_protocol::call::GuestReply;
    use shardloom_protocol::digest::Digest;
    use shardloom_protocol::workload::{WorkloadLimits, WorkloadSpec};
    use shardloom_sharding::ids::Epoch;

    use super::*;
    use crate::server::problem::Problem;

    fn workload(version: u64, activation: u64) -> Workload {
        let spec = WorkloadSpec {
            component: Digest([1; 32]),
            shard_function: None,
            config: BTreeMap::new(),
            limits: WorkloadLimits::default(),
            http: None,
            grants: Vec::new(),
        };
        let (name, kept) = ("w".to_owned(), Vec::new());
        Workload { name, version, activation, spec, canary: None, since: activation, kept }
    }

    #[test]
    fn versions_side_by_side_are_counted_from_the_same_activation_on() {
        let counts = VersionCounts::default();
        counts.of(&workload(1, 5)).calls.fetch_add(7, Ordering::Relaxed);
        let (current, canary) = (counts.of(&workload(1, 9)), counts.of(&workload(2, 9)));
        assert!(Arc::ptr_eq(&canary, &counts.of(&workload(2, 9))));
        current.calls.fetch_add(1, Ordering::Relaxed);
        counts.of(&workload(1, 5)).calls.fetch_add(1, Ordering::Relaxed);
        let read: Vec<(u64, u64, u64)> =
            counts.read("w").iter().map(|count| (count.version, count.activation, count.calls)).collect();
        assert_eq!(read, [(1, 9, 1), (2, 9, 0)]);
    }

    #[test]
    fn an_error_is_what_the_version_did_wrong() {
        let ran = |status, given, failure: Option<GuestFailure>| {
            let reply = GuestReply { status, headers: Vec::new(), body: Bytes::new() };
            Outcome::Ran { epoch: Epoch(1), version: 1, given, answer: failure.map_or(Ok(reply), Err) }
        };
        let failed = |code| Outcome::Failed(Problem::new(code, "x"));
        for (outcome, expected) in [
            (ran(200, Given::Now, None), Some(false)),
            (ran(503, Given::Now, None), Some(true)),
            (ran(503, Given::Before, None), None),
            (ran(200, Given::Now, Some(GuestFailure::NotFound("x".into()))), Some(false)),
            (ran(200, Given::Now, Some(GuestFailure::Failed("x".into()))), Some(true)),
            (failed(Code::GuestTrap), Some(true)),
            (failed(Code::DiskFull), None),
            (Outcome::NotRun, None),
        ] {
            assert_eq!(judged(&outcome), expected, "{outcome:?}");
        }
    }
}
