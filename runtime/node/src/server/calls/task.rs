//! A shard task: one warm guest of one workload for one shard, and its calls one after another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shardloom_host::{CallEnd, CallError, HandlerInstance, Place, Request, StateError, StateView};
use shardloom_protocol::call::{Executed, GuestRequest};
use shardloom_sharding::ids::{Epoch, NodeId, ShardId};
use tokio::sync::{mpsc, oneshot};

use super::outcome::{self, Outcome};
use crate::server::fabric::Permit;
use crate::server::guests::{self, Guests};
use crate::server::loads::LoadCounter;
use crate::server::metrics::Metrics;
use crate::server::problem::{Code, Problem};
use crate::server::view::Workload;

/// The longest that one call may hold its shard, waiting for a thread included. The caller's own deadline does not count
/// here: a hurried caller would throw the guest's memory away for all others.
const CALL_HOLDS_SHARD_MAX: Duration = Duration::from_secs(60);

const QUEUED: u8 = 0;
const STARTED: u8 = 1;
const CROSSED_OUT: u8 = 2;

/// Decides once and for all whether a queued call starts or is crossed out: after one of them, the other cannot happen.
#[derive(Debug, Default)]
pub struct Ticket(AtomicU8);

impl Ticket {
    fn settle(&self, end: u8) -> bool {
        self.0.compare_exchange(QUEUED, end, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Starts the call; false if it was crossed out.
    pub fn start(&self) -> bool {
        self.settle(STARTED)
    }

    /// Crosses the call out, so that it can never start; false if it has started.
    pub fn cross_out(&self) -> bool {
        self.settle(CROSSED_OUT)
    }
}

/// A call in a task's queue.
#[derive(Debug)]
pub struct Job {
    /// Leave to run it.
    pub permit: Permit,
    /// The workload as the router knows it.
    pub workload: Arc<Workload>,
    /// What the guest gets.
    pub request: Arc<GuestRequest>,
    /// Whether the call may still start.
    pub ticket: Arc<Ticket>,
    /// Where the outcome goes; nobody may be listening any more.
    pub reply: oneshot::Sender<Outcome>,
}

/// What all shard tasks of a node share.
#[derive(Debug)]
pub struct Bench {
    /// The node, as guests are told.
    pub node: NodeId,
    /// How many shards there are, as guests are told.
    pub shard_count: u32,
    /// Where components come from.
    pub guests: Arc<Guests>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

const NO_STATE: &str = "this node keeps no state of shards";

/// A state that cannot be read: no call is told of an empty one where there may be writes.
struct NoState;

impl StateView for NoState {
    fn get(&self, _: &[u8]) -> Result<Option<Bytes>, StateError> {
        Err(StateError::new(NO_STATE))
    }

    fn scan(
        &self,
        _: &[u8],
        _: Option<&[u8]>,
        _: usize,
        _: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        Err(StateError::new(NO_STATE))
    }

    fn bytes(&self) -> u64 {
        0
    }
}

#[derive(Debug)]
struct Warm {
    instance: HandlerInstance,
    epoch: Epoch,
    version: u64,
}

/// One task's own state.
#[derive(Debug)]
pub struct ShardTask {
    bench: Arc<Bench>,
    shard: ShardId,
    load: Arc<LoadCounter>,
    /// Jobs that were accepted and are not finished: while there are any, the task is not evicted.
    unfinished: Arc<AtomicU32>,
    warm: Option<Warm>,
}

impl ShardTask {
    /// A task without an instance; the first call makes one.
    pub fn new(
        bench: Arc<Bench>,
        shard: ShardId,
        load: Arc<LoadCounter>,
        unfinished: Arc<AtomicU32>,
    ) -> ShardTask {
        ShardTask { bench, shard, load, unfinished, warm: None }
    }

    /// Runs calls until nobody can send any more.
    pub async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            self.load.unqueued();
            self.bench.metrics.queue_depth.dec();
            if job.ticket.start() {
                let outcome = self.call(&job).await;
                // The permit goes first: a hand-over that waits for this call need not wait for the caller to read it.
                drop(job.permit);
                let _ = job.reply.send(outcome);
            }
            self.unfinished.fetch_sub(1, Ordering::AcqRel);
        }
        self.chill();
    }

    async fn call(&mut self, job: &Job) -> Outcome {
        if !job.permit.may_answer() || self.is_newer_than(job.permit.epoch()) {
            return Outcome::NotRun;
        }
        let mut warm = match self.warm_up(job).await {
            Ok(warm) => warm,
            Err(problem) => return Outcome::Failed(problem.at(job.permit.epoch())),
        };
        let request = to_host(&job.request);
        let started = Instant::now();
        let CallEnd { result, writes } =
            warm.instance.call(request, started + CALL_HOLDS_SHARD_MAX, Arc::new(NoState)).await;
        // Nothing is acknowledged that was not kept.
        let result = if writes.is_empty() { result } else { Err(CallError::Host(NO_STATE.to_owned())) };
        self.load.ran(started.elapsed());

        if let Err(CallError::Trap(trap)) = &result {
            tracing::warn!(workload = job.workload.name, shard = %self.shard, reason = trap.reason,
                backtrace = trap.backtrace, "a guest trapped");
        }
        let (epoch, version) = (warm.epoch, warm.version);
        if warm.instance.is_dead() {
            self.bench.metrics.instances.dec();
        } else {
            self.warm = Some(warm);
        }
        // Failures and traps pass this gate too: they rest on what the guest remembers of this epoch.
        if !job.permit.may_answer() {
            let lost = "the node lost the shard while the call ran";
            return Outcome::Failed(Problem::new(Code::OwnerLost, lost).at(epoch));
        }
        match outcome::sort(result) {
            Ok(answer) => Outcome::Ran { epoch, version, answer },
            Err(problem) => Outcome::Failed(problem.at(epoch)),
        }
    }

    fn is_newer_than(&self, epoch: Epoch) -> bool {
        self.warm.as_ref().is_some_and(|warm| warm.epoch > epoch)
    }

    /// Takes the warm instance, or makes one where there is none of this epoch and version.
    async fn warm_up(&mut self, job: &Job) -> Result<Warm, Problem> {
        let epoch = job.permit.epoch();
        match self.warm.take() {
            // A call that was routed before a deploy reached this node runs on the newer version.
            Some(warm) if warm.epoch == epoch && warm.version >= job.workload.version => return Ok(warm),
            Some(stale) => {
                self.warm = Some(stale);
                self.chill();
            }
            None => {}
        }
        let workload = &job.workload;
        let handler = self.bench.guests.handler(&workload.spec.component).await.map_err(|error| {
            Problem::new(Code::Internal, format!("workload {}: {error}", workload.name))
                .executed(Executed::No)
        })?;
        let place = Place {
            shard: self.shard,
            shard_count: self.bench.shard_count,
            epoch,
            node: self.bench.node,
            workload: Arc::from(workload.name.as_str()),
            version: workload.version,
        };
        let limits = guests::limits(&workload.spec.limits);
        let config = Arc::new(workload.spec.config.clone());
        let logs = guests::log_sink(&workload.name, self.shard);
        let instance = HandlerInstance::instantiate(&handler, place, &limits, config, logs)
            .await
            .map_err(|error| outcome::instantiate_problem(&error))?;
        self.bench.metrics.instances.inc();
        self.bench.metrics.instances_made.inc();
        Ok(Warm { instance, epoch, version: workload.version })
    }

    /// Drops the instance.
    fn chill(&mut self) {
        if self.warm.take().is_some() {
            self.bench.metrics.instances.dec();
        }
    }
}

fn to_host(request: &GuestRequest) -> Request {
    Request {
        key: request.key.clone(),
        method: request.method.clone(),
        headers: request.headers.clone(),
        body: request.body.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_either_starts_or_is_crossed_out() {
        let ticket = Ticket::default();
        assert!(ticket.start());
        assert!(!ticket.cross_out() && !ticket.start());
        let ticket = Ticket::default();
        assert!(ticket.cross_out());
        assert!(!ticket.start());
    }
}
