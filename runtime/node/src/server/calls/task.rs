//! A shard task: one warm guest of one workload for one shard, and its calls one after another.

mod streamed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use shardloom_host::{
    CallEnd, CallError, HandlerInstance, HttpTarget, Limits, Place, Request, Setting, SharedLog, StateError,
    StateView, Write,
};
use shardloom_protocol::batch::{Change, WriteBatch};
use shardloom_protocol::call::{Executed, Given, GuestFailure, GuestReply, GuestRequest};
use shardloom_sharding::ids::{Epoch, NodeId, Position, ShardId};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::exchange::Exchange;
use super::gate::{Gate, Gated, Wrote};
use super::idempotency::Idempotent;
use super::outcome::{self, Outcome};
use super::ticket::Ticket;
use super::version_counts::{Counts, Tally, VersionCounts};
use crate::server::fabric::{Fabric, Permit};
use crate::server::guests::{self, Guests};
use crate::server::loads::LoadCounter;
use crate::server::metrics::Metrics;
use crate::server::outgoing::GrantedHosts;
use crate::server::problem::{Code, Problem};
use crate::server::state::{NotWritten, ShardState, WorkloadState};
use crate::server::view::Workload;

/// The longest that one call may hold its shard, waiting for a thread included. The caller's own deadline does not count
/// here: a hurried caller would throw the guest's memory away for all others.
const CALL_HOLDS_SHARD_MAX: Duration = Duration::from_secs(60);

/// How long after the disk of a shard's owner is full a call waits for another owner, where there may be one.
const FULL_MOVE_WAIT: Duration = Duration::from_secs(5);

/// Whether a call may have been carried out by an attempt before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It cannot: this is the first.
    First,
    /// It may: the log is asked first.
    Repeated,
}

/// A call in a task's queue.
#[derive(Debug)]
pub struct Job {
    /// Leave to run it.
    pub permit: Permit,
    /// The workload as the router knows it.
    pub workload: Arc<Workload>,
    /// The request's id, the same on every attempt.
    pub id: u128,
    /// Whether it may have run before.
    pub attempt: Attempt,
    /// What the guest gets.
    pub request: Arc<GuestRequest>,
    /// Its bodies, where they are not held whole.
    pub exchange: Option<Arc<Exchange>>,
    /// Until when its caller waits.
    pub deadline: Instant,
    /// Whether the call may still start.
    pub ticket: Arc<Ticket>,
    /// Where the outcome goes; nobody may be listening any more.
    pub reply: oneshot::Sender<Outcome>,
}

/// What all shard tasks of a node share.
pub struct Bench {
    /// Where the state of shards is.
    pub fabric: Arc<dyn Fabric>,
    /// The node, as guests are told.
    pub node: NodeId,
    /// How many shards there are, as guests are told.
    pub shard_count: u32,
    /// Where components come from.
    pub guests: Arc<Guests>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// How versions fare.
    pub version_counts: Arc<VersionCounts>,
    /// Guests whose responses have begun, each of which ends with its caller.
    pub streams: TaskTracker,
}

struct Warm {
    instance: HandlerInstance,
    epoch: Epoch,
    version: u64,
    /// With more memory than that it is let go of after a call.
    memory_bytes_max: u64,
}

impl Warm {
    /// Languages that collect garbage rarely give memory back. An instance that has taken most of what it may is let go of between two
    /// calls: else one of the next would meet the limit in its midst, and fail for what others have left.
    fn is_worn(&self) -> bool {
        self.instance.memory_bytes() > self.memory_bytes_max
    }
}

/// The state that calls run on, under one epoch.
struct Opened {
    epoch: Epoch,
    state: Arc<dyn ShardState>,
    view: Arc<dyn StateView>,
    /// Since when the age of kept replies is not counted yet.
    uncounted: Instant,
}

/// How a call has ended, as far as this node can tell.
struct Ended {
    outcome: Outcome,
    wrote: Wrote,
    /// Up to where the log must be committed before the outcome may leave.
    upto: Position,
}

/// One task's own state.
pub struct ShardTask {
    bench: Arc<Bench>,
    shard: ShardId,
    load: Arc<LoadCounter>,
    /// Jobs that were accepted and are not finished: while there are any, the task is not evicted.
    unfinished: Arc<AtomicU32>,
    warm: Option<Warm>,
    opened: Option<Opened>,
    gate: Gate,
    /// What the last instance was made for.
    setting: Option<Setting>,
    /// Where the last call was counted.
    counts: Option<Arc<Counts>>,
}

impl ShardTask {
    /// A task without an instance; the first call makes one.
    pub fn new(
        bench: Arc<Bench>,
        shard: ShardId,
        load: Arc<LoadCounter>,
        unfinished: Arc<AtomicU32>,
    ) -> ShardTask {
        let gate = Gate::default();
        let (warm, opened, setting, counts) = (None, None, None, None);
        ShardTask { bench, shard, load, unfinished, warm, opened, gate, setting, counts }
    }

    /// Runs calls until nobody can send any more and every result has left.
    pub async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut open = true;
        while open || !self.gate.is_empty() {
            let over = tokio::select! {
                job = jobs.recv(), if open && self.gate.has_room() => match job {
                    Some(job) => self.take(job).await,
                    None => {
                        open = false;
                        0
                    }
                },
                over = self.gate.progress() => over,
            };
            self.finish(over);
        }
        self.chill();
    }

    fn finish(&self, calls: usize) {
        self.unfinished.fetch_sub(calls as u32, Ordering::AcqRel);
    }

    /// Runs one call, and says how many calls are over then.
    async fn take(&mut self, job: Job) -> usize {
        self.load.unqueued();
        self.bench.metrics.queue_depth.dec();
        if !job.ticket.start() {
            return 1;
        }
        let begun = self.now(&job).and_then(|workload| Ok((workload, self.open(&job)?)));
        let (workload, lost) = match begun {
            Ok(begun) => begun,
            Err(outcome) => {
                drop(job.permit);
                let _ = job.reply.send(outcome);
                return 1;
            }
        };
        let tally = self.tally(&workload);
        let mut gate = std::mem::take(&mut self.gate);
        let (Ended { outcome, wrote, upto }, left) = beside(self.call(&job, &workload), &mut gate).await;
        self.gate = gate;
        let gated = Gated { permit: job.permit, outcome, reply: job.reply, wrote, upto, tally };
        lost + left + self.gate.pass(gated)
    }

    /// Where a call that begins now is counted.
    fn tally(&mut self, workload: &Workload) -> Tally {
        let counts = match self.counts.take().filter(|counts| counts.is_of(workload)) {
            Some(counts) => counts,
            None => self.bench.version_counts.of(workload),
        };
        self.counts = Some(Arc::clone(&counts));
        Tally { counts, since: Instant::now() }
    }

    /// The workload as it is on this shard by all that this node has applied: the router may have read less. Since that only ever grows, what answers
    /// on this shard goes back by the control log alone.
    fn now(&self, job: &Job) -> Result<Arc<Workload>, Outcome> {
        let view = self.bench.fabric.view();
        match view.workloads.get(&job.workload.name) {
            // What it writes will be refused.
            None => Ok(Arc::clone(&job.workload)),
            Some(now) if now.spec.shard_function != job.workload.spec.shard_function => Err(Outcome::NotRun),
            Some(now) => Ok(now.on(self.shard)),
        }
    }

    /// Turns to the state of the job's epoch; says how many calls of an older one are lost by that.
    fn open(&mut self, job: &Job) -> Result<usize, Outcome> {
        let epoch = job.permit.epoch();
        if !job.permit.may_answer() || self.opened.as_ref().is_some_and(|opened| opened.epoch > epoch) {
            return Err(Outcome::NotRun);
        }
        if self.opened.as_ref().is_some_and(|opened| opened.epoch == epoch) {
            return Ok(0);
        }
        let state = self.bench.fabric.state(self.shard, epoch).ok_or(Outcome::NotRun)?;
        let lost = self.gate.turn_to(&state);
        let workload = Arc::from(job.workload.name.as_str());
        let view = Arc::new(WorkloadState::new(Arc::clone(&state), workload));
        self.opened = Some(Opened { epoch, state, view, uncounted: Instant::now() });
        Ok(lost)
    }

    /// Runs one call on the state that is open, and says up to where the log must be committed before its result may leave.
    async fn call(&mut self, job: &Job, workload: &Arc<Workload>) -> Ended {
        let nothing = |outcome, upto| Ended { outcome, wrote: Wrote::Nothing, upto };
        let Some(opened) = &self.opened else { return nothing(Outcome::NotRun, Position(0)) };
        let (state, view) = (Arc::clone(&opened.state), Arc::clone(&opened.view));
        let served = opened.uncounted.elapsed();
        if job.attempt == Attempt::Repeated
            && let Some((upto, reply)) = state.reply_of(job.id)
        {
            let (epoch, version) = (job.permit.epoch(), workload.version);
            let outcome = outcome::remembered(&reply, epoch, version);
            return Ended { outcome, wrote: Wrote::Something, upto };
        }
        let name = &workload.name;
        let idempotent = Idempotent::of(&job.request);
        if let Some(call) = &idempotent {
            match call.look_up(&*state, name).map(|known| outcome::known(known, job.permit.epoch())) {
                Ok(None) => {}
                // Who wrote it may be waiting for its commit still.
                Ok(Some(outcome)) => return nothing(outcome, state.last()),
                Err(error) => return nothing(trouble(error, job), state.last()),
            }
        }
        let mut warm = match self.warm_up(job.permit.epoch(), workload).await {
            Ok(warm) => warm,
            Err(problem) => {
                return nothing(Outcome::Failed(problem.at(job.permit.epoch())), state.last());
            }
        };
        if let Some(streams) = job.exchange.as_ref().and_then(|exchange| exchange.take()) {
            return self.stream((job, workload), warm, streams, (&state, view)).await;
        }
        let request = to_host(&job.request);
        let started = Instant::now();
        let mut until = started + CALL_HOLDS_SHARD_MAX;
        if !workload.keeps_instances() {
            // Nobody else has a use for the instance.
            until = until.min(job.deadline);
        }
        let CallEnd { result, writes } = warm.instance.call(request, until, view).await;
        self.load.ran(started.elapsed());
        if let Err(CallError::Trap(trap)) = &result {
            self.bench.guests.lines().trapped(&workload.name, self.shard, trap);
        }
        let (epoch, version) = (warm.epoch, warm.version);
        let answer = outcome::sort(result);
        let written = match &answer {
            Ok(Ok(_)) if !writes.is_empty() && self.is_misplaced(job) => Err(NotWritten::NotServed),
            Ok(Ok(reply)) if !writes.is_empty() => {
                let keeps = idempotent.is_some();
                let written = write(job, &*state, (writes, idempotent), (version, reply), served).await;
                if let (true, Ok(()), Some(opened)) = (keeps, &written, &mut self.opened) {
                    opened.uncounted += served;
                }
                written.map(|()| Wrote::Something)
            }
            _ => Ok(Wrote::Nothing),
        };
        let fares_well = written.is_ok() && !warm.instance.is_dead() && workload.keeps_instances();
        let worn = fares_well && warm.is_worn();
        if worn {
            self.bench.metrics.instances_recycled.inc();
        }
        if fares_well && !worn {
            self.warm = Some(warm);
        } else {
            // What the guest remembers may rest on writes that are not there, or is not for the next caller.
            self.bench.metrics.instances.dec();
        }
        self.ended(workload, written, answer, (epoch, version), state.last())
    }

    /// What comes of a call that has run.
    fn ended(
        &self,
        workload: &Workload,
        written: Result<Wrote, NotWritten>,
        answer: Result<Result<GuestReply, GuestFailure>, Problem>,
        (epoch, version): (Epoch, u64),
        upto: Position,
    ) -> Ended {
        let nothing = |outcome, upto| Ended { outcome, wrote: Wrote::Nothing, upto };
        match (written, answer) {
            (Ok(wrote), Ok(answer)) => {
                Ended { outcome: Outcome::Ran { epoch, version, given: Given::Now, answer }, wrote, upto }
            }
            (Ok(wrote), Err(problem)) => Ended { outcome: Outcome::Failed(problem.at(epoch)), wrote, upto },
            (Err(NotWritten::NotServed), _) => nothing(Outcome::NotRun, upto),
            (Err(NotWritten::DiskFull { full_for }), _) if self.is_moving(full_for) => {
                nothing(Outcome::NotRun, upto)
            }
            (Err(error), _) => {
                let (code, executed) = match error {
                    NotWritten::TooLarge(_) => (Code::GuestLimit, Executed::RolledBack),
                    // Nothing is left of it, and its instance goes: as if it had not run, unless it may have sent something out.
                    NotWritten::DiskFull { .. } if workload.spec.grants.is_empty() => {
                        (Code::DiskFull, Executed::No)
                    }
                    NotWritten::DiskFull { .. } => (Code::DiskFull, Executed::RolledBack),
                    _ => (Code::Internal, Executed::RolledBack),
                };
                let problem = Problem::new(code, error.to_string()).executed(executed);
                nothing(Outcome::Failed(problem.at(epoch)), upto)
            }
        }
    }

    /// Whether the shard is about to go to a node that has room: its caller is better off late than refused.
    fn is_moving(&self, full_for: Duration) -> bool {
        full_for < FULL_MOVE_WAIT && self.bench.fabric.view().has_room_elsewhere()
    }

    /// Whether the workload is gone, or has another shard function by now: nobody would look here for what the call writes.
    fn is_misplaced(&self, job: &Job) -> bool {
        let view = self.bench.fabric.view();
        let now = view.workloads.get(&job.workload.name);
        now.is_none_or(|now| now.spec.shard_function != job.workload.spec.shard_function)
    }

    /// Takes the warm instance, or makes one where there is none of this epoch and version.
    async fn warm_up(&mut self, epoch: Epoch, workload: &Workload) -> Result<Warm, Problem> {
        match self.warm.take() {
            Some(warm) if warm.epoch == epoch && warm.version == workload.version => return Ok(warm),
            Some(stale) => {
                self.warm = Some(stale);
                self.chill();
            }
            None => {}
        }
        let handler = self.bench.guests.handler(&workload.spec.component).await.map_err(|error| {
            Problem::new(Code::Internal, format!("workload {}: {error}", workload.name))
                .executed(Executed::No)
        })?;
        let limits = guests::limits(&workload.spec.limits);
        let setting = self.setting(workload, epoch, &limits);
        let instance = HandlerInstance::instantiate(&handler, &limits, setting)
            .await
            .map_err(|error| outcome::instantiate_problem(&error))?;
        self.bench.metrics.instances.inc();
        self.bench.metrics.instances_made.inc();
        let begun_with = instance.memory_bytes();
        let room = limits.memory_bytes.saturating_sub(begun_with);
        let memory_bytes_max = begun_with + room / 4 * 3;
        Ok(Warm { instance, epoch, version: workload.version, memory_bytes_max })
    }

    /// What this version's instances are made for: the same for all of them, since some live for one request only.
    fn setting(&mut self, workload: &Workload, epoch: Epoch, limits: &Limits) -> Setting {
        let fits =
            |setting: &&Setting| setting.place.version == workload.version && setting.place.epoch == epoch;
        if let Some(setting) = self.setting.as_ref().filter(fits) {
            return setting.clone();
        }
        let (spec, guests) = (&workload.spec, &self.bench.guests);
        let setting = Setting {
            place: Place {
                shard: self.shard,
                shard_count: self.bench.shard_count,
                epoch,
                node: self.bench.node,
                workload: Arc::from(workload.name.as_str()),
                version: workload.version,
            },
            config: Arc::new(spec.config.clone()),
            log: SharedLog::new(guests.lines().sink(&workload.name, self.shard), limits),
            outgoing: GrantedHosts::of(&spec.grants, &self.bench.fabric, guests.outgoing()),
        };
        self.setting.insert(setting).clone()
    }

    /// Drops the instance.
    fn chill(&mut self) {
        if self.warm.take().is_some() {
            self.bench.metrics.instances.dec();
        }
    }
}

/// Runs a call while results of the calls before it leave as they may: a slow guest holds up nobody who is done. Says how many have left.
async fn beside(call: impl Future<Output = Ended>, gate: &mut Gate) -> (Ended, usize) {
    let mut call = std::pin::pin!(call);
    let mut left = 0;
    loop {
        tokio::select! {
            ended = &mut call => return (ended, left),
            over = gate.progress() => left += over,
        }
    }
}

async fn write(
    job: &Job,
    state: &dyn ShardState,
    (writes, idempotent): (Vec<Write>, Option<Idempotent>),
    (version, reply): (u64, &GuestReply),
    served: Duration,
) -> Result<(), NotWritten> {
    let workload = &job.workload.name;
    let mut changes: Vec<Change> =
        writes.into_iter().map(|Write { key, value }| Change { key, value }).collect();
    if let Some(call) = idempotent {
        let kept = call.changes(state, workload, (version, reply), served);
        changes.extend(kept.map_err(|error| NotWritten::State(error.to_string()))?);
    }
    let reply = Some(outcome::to_keep(reply));
    let batch = WriteBatch { request: job.id, workload: workload.clone(), changes, reply, idempotency: None };
    state.write(&batch).await.map(drop)
}

/// The state could not be read.
fn trouble(error: StateError, job: &Job) -> Outcome {
    let problem = Problem::new(Code::Internal, error.to_string()).executed(Executed::No);
    Outcome::Failed(problem.at(job.permit.epoch()))
}

fn to_host(request: &GuestRequest) -> Request {
    Request {
        key: request.key.clone(),
        method: request.method.clone(),
        headers: request.headers.clone(),
        body: request.body.to_vec(),
        http: request.http.as_ref().map(|target| HttpTarget {
            tls: target.tls,
            authority: target.authority.clone(),
            path_and_query: target.path_and_query.clone(),
        }),
    }
}
