//! The router: takes a call, finds its shard, and acts on what the pure core says until the call has an answer.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use shardloom_protocol::call::{Call, CallReply, Executed};
use shardloom_protocol::peer::ShardLoad;
use shardloom_sharding::ids::ShardId;
use shardloom_sharding::route::{Route, Travel, route};
use shardloom_sharding::{key, route::Refusal};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::dispatch::dispatch;
use super::elsewhere::{elsewhere, spent};
use super::failed_functions::FailedFunctions;
use super::forward::{Owner, forward};
use super::in_flight::InFlight;
use super::outcome::{Answer, to_wire};
use super::slots::Slots;
use super::task::{Attempt, Bench};
use super::trip::{Step, Taken, Trip};
use super::version_counts::VersionCounts;
use super::wait::{AFTER_NO_CHANGE, AFTER_REFUSAL, WaitingRoom, refused};
use crate::server::fabric::{Fabric, Permit};
use crate::server::guests::Guests;
use crate::server::limits::Limits;
use crate::server::metrics::Metrics;
use crate::server::problem::{Code, Problem};
use crate::server::view::{View, Workload};

/// How long an owner waits to learn what the sender of a call knows already: a newer epoch or activation. Longer is no lag but
/// a fault, and the sender can look again.
const CATCH_UP_MAX: Duration = Duration::from_millis(500);

/// Finds the owner of each call's shard, and the call an answer.
pub struct CallRouter {
    fabric: Arc<dyn Fabric>,
    guests: Arc<Guests>,
    metrics: Arc<Metrics>,
    waiting: WaitingRoom,
    /// Shard functions that have failed here.
    pub failed_functions: FailedFunctions,
    /// How the versions of workloads fare here.
    pub version_counts: Arc<VersionCounts>,
    /// What calls are in flight here, those of peers included.
    pub in_flight: Arc<InFlight>,
    /// Made with the first call, when the cluster's shard count is known.
    slots: OnceLock<Slots>,
    tasks: TaskTracker,
    tasks_max: usize,
    queue_max: usize,
    /// Random, one for each life of the process.
    ids: u64,
    next_id: AtomicU64,
}

/// What to do next with a call; a [`Route`] with leave to dispatch.
enum Next {
    Dispatch(Permit),
    Forward(Owner),
    Wait,
    Refuse(Refusal),
}

impl CallRouter {
    /// A router without any shard task.
    pub fn new(
        fabric: Arc<dyn Fabric>,
        guests: Arc<Guests>,
        metrics: Arc<Metrics>,
        limits: &Limits,
        tasks: TaskTracker,
    ) -> CallRouter {
        let count = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        let per_shard_max = u32::try_from(limits.shard_queue_calls_max).unwrap_or(u32::MAX);
        CallRouter {
            in_flight: InFlight::new(
                limits.calls_in_flight_max,
                limits.calls_in_flight_bytes_max,
                metrics.calls_in_flight.clone(),
            ),
            failed_functions: FailedFunctions::default(),
            version_counts: Arc::default(),
            waiting: WaitingRoom::new(Arc::clone(&metrics), per_shard_max),
            slots: OnceLock::new(),
            tasks_max: count(limits.instances_max),
            queue_max: count(limits.shard_queue_calls_max),
            fabric,
            guests,
            metrics,
            tasks,
            // The standard library draws it from the system's random numbers.
            ids: RandomState::new().build_hasher().finish(),
            next_id: AtomicU64::new(0),
        }
    }

    /// An id that no other request of this cluster has.
    pub fn new_id(&self) -> u128 {
        u128::from(self.ids) << 64 | u128::from(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Answers a call that a client has sent to this node.
    ///
    /// # Errors
    /// Everything that callers may hear but the guest's own refusals, which are answers.
    pub async fn call(&self, taken: Taken) -> Result<Answer, Problem> {
        let mut trip = Trip::new(taken);
        let result = self.travel(&mut trip).await;
        match (result, trip.attempt) {
            // The last attempt did not run. An earlier one may have: nobody was found who knows.
            (Err(problem), Attempt::Repeated) if problem.executed == Executed::No => {
                let detail =
                    format!("an earlier attempt may have been carried out; the last one: {}", problem.detail);
                Err(Problem::new(Code::OwnerLost, detail).at(problem.epoch))
            }
            (result, _) => result,
        }
    }

    async fn travel(&self, trip: &mut Trip) -> Result<Answer, Problem> {
        loop {
            if let Some(problem) = spent(trip) {
                return Err(problem);
            }
            let view = self.fabric.view();
            let workload = workload(&view, &trip.taken.workload)?;
            let shard = self.shard(&view, &workload, trip).await?;
            let step = match self.next(&view, shard, trip.travel) {
                Next::Dispatch(permit) => {
                    dispatch(
                        self.slots(&view),
                        view.this_node,
                        shard,
                        permit,
                        &workload,
                        &trip.taken,
                        trip.attempt,
                    )
                    .await
                }
                Next::Forward(owner) if trip.taken.exchange.is_some() => {
                    Step::Done(elsewhere(&view, owner, &workload, &trip.taken))
                }
                Next::Forward(owner) => {
                    self.metrics.calls_forwarded.inc();
                    forward(&self.fabric, owner, &workload, trip).await
                }
                Next::Wait => {
                    self.wait(&view, shard, trip, AFTER_NO_CHANGE).await?;
                    Step::Again
                }
                Next::Refuse(refusal) => Step::Done(Err(refused(refusal, shard).at(view.map.epoch(shard)))),
            };
            match step {
                Step::Done(result) => return result,
                Step::Again => {}
                Step::AgainLater => self.wait(&view, shard, trip, AFTER_REFUSAL).await?,
                Step::AgainInDoubt => {
                    trip.attempt = Attempt::Repeated;
                    self.wait(&view, shard, trip, AFTER_REFUSAL).await?;
                }
            }
        }
    }

    /// Answers a call that a peer has forwarded: runs it, or says that the shard is not here. It never waits for a shard to be
    /// served, since the router that took the call does, and loses nothing if this node dies meanwhile.
    pub async fn answer_peer(&self, call: Call) -> CallReply {
        let room = match self.in_flight.enter(call.request.body.len() as u64) {
            Ok(room) => room,
            Err(problem) => return to_wire(Err(problem)),
        };
        let deadline = Instant::now() + Duration::from_millis(call.time_left_ms.into());
        let view = self.catch_up(&call, deadline).await;
        let moved = CallReply::Moved { epoch: view.map.epoch(call.shard) };
        let travel = Travel { epoch: call.epoch, hops: call.hops };
        let workload = match workload(&view, &call.workload) {
            Ok(workload) if call.shard.0 < view.shard_count() => workload,
            Ok(_) => return to_wire(Err(Problem::new(Code::BadRequest, "there is no such shard"))),
            Err(problem) => return to_wire(Err(problem)),
        };
        // A component picks the shard, or the workload has changed on the way: both nodes must come to the same one.
        if workload.spec.shard_function.is_some() || workload.activation != call.activation {
            match self.place(&view, &workload, &call.request.key).await {
                Ok(shard) if shard == call.shard => {}
                // The other node goes by what is over, with another shard function.
                Ok(_) if workload.activation != call.activation => return moved,
                Ok(shard) => {
                    let reason = format!(
                        "it says shard {shard} on node {}, and shard {} on the node that took the call",
                        view.this_node, call.shard
                    );
                    return to_wire(Err(self.no_shard(&workload, &call.request.key, &reason)));
                }
                Err(problem) => return to_wire(Err(problem)),
            }
        }
        let Next::Dispatch(permit) = self.next(&view, call.shard, travel) else { return moved };
        let Call { id, workload: name, request, .. } = call;
        let taken = Taken { id, workload: name, request, exchange: None, deadline };
        // An attempt that was sent before this one may have come, or may yet come after it.
        let attempt = Attempt::Repeated;
        let step =
            dispatch(self.slots(&view), view.this_node, call.shard, permit, &workload, &taken, attempt).await;
        drop(room);
        match step {
            Step::Done(result) => to_wire(result),
            Step::Again | Step::AgainLater => moved,
            Step::AgainInDoubt => CallReply::InDoubt { epoch: view.map.epoch(call.shard) },
        }
    }

    fn next(&self, view: &View, shard: ShardId, travel: Travel) -> Next {
        // To ask for leave is the only way to know whether the shard is served here at this moment.
        let permit = match view.map.owner(shard) {
            Some(owner) if owner == view.this_node => self.fabric.enter(shard).ok(),
            _ => None,
        };
        match route(&view.shard(shard, permit.as_ref().map(Permit::epoch)), travel) {
            Route::Dispatch { .. } => permit.map_or(Next::Wait, Next::Dispatch),
            Route::Forward { node, epoch } => Next::Forward(Owner { shard, node, epoch }),
            Route::Wait => Next::Wait,
            Route::Refuse(refusal) => Next::Refuse(refusal),
        }
    }

    async fn wait(
        &self,
        view: &View,
        shard: ShardId,
        trip: &mut Trip,
        pause_max: Duration,
    ) -> Result<(), Problem> {
        let slot =
            self.slots(view).slot(shard).ok_or_else(|| Problem::new(Code::Internal, "no such shard"))?;
        self.waiting.wait(&*self.fabric, slot, shard, trip, pause_max).await
    }

    /// The shard of the call's key: asked for once for each activation, since a shard function may change where there is no state.
    async fn shard(&self, view: &View, workload: &Workload, trip: &mut Trip) -> Result<ShardId, Problem> {
        if let Some((activation, shard)) = trip.shard
            && activation == workload.activation
        {
            return Ok(shard);
        }
        let shard = self.place(view, workload, &trip.taken.request.key).await?;
        trip.shard = Some((workload.activation, shard));
        Ok(shard)
    }

    /// The shard of a key.
    async fn place(&self, view: &View, workload: &Workload, key: &str) -> Result<ShardId, Problem> {
        let Some(component) = &workload.spec.shard_function else {
            return Ok(key::shard_of_str(key, view.shard_count()));
        };
        // Boxed, since every call would carry the room for what the first one loads.
        let function = Box::pin(self.guests.shard_function(component)).await;
        let function = function.map_err(|error| {
            Problem::new(Code::ShardFunctionFailed, format!("{}: {error}", workload.name))
        })?;
        match function.shard_of(key, view.shard_count()) {
            Ok(shard) => Ok(ShardId(shard)),
            Err(error) => Err(self.no_shard(workload, key, &error.to_string())),
        }
    }

    /// A call fails since its key has no shard; an alarm tells of it.
    fn no_shard(&self, workload: &Workload, key: &str, reason: &str) -> Problem {
        self.failed_functions.note(workload, key, reason);
        Problem::new(Code::ShardFunctionFailed, format!("{}: {reason}", workload.name))
    }

    /// Waits until this node knows the epoch and the activation that the sender went by.
    async fn catch_up(&self, call: &Call, deadline: Instant) -> Arc<View> {
        let knows = |view: &View| {
            call.shard.0 >= view.shard_count()
                || view.map.epoch(call.shard) >= call.epoch
                    && view
                        .workloads
                        .get(&call.workload)
                        .is_some_and(|found| found.activation >= call.activation)
        };
        let until = deadline.min(Instant::now() + CATCH_UP_MAX);
        self.view_when(knows, until).await
    }

    /// The first view that satisfies `enough`, or the last one before `until`.
    pub async fn view_when(&self, enough: impl Fn(&View) -> bool, until: Instant) -> Arc<View> {
        let view = self.fabric.view();
        if enough(&view) {
            return view;
        }
        let mut changed = self.fabric.changed();
        loop {
            changed.mark_unchanged();
            let view = self.fabric.view();
            if enough(&view) || !matches!(tokio::time::timeout_at(until, changed.changed()).await, Ok(Ok(())))
            {
                return view;
            }
        }
    }

    fn slots(&self, view: &View) -> &Slots {
        self.slots.get_or_init(|| {
            let bench = Bench {
                fabric: Arc::clone(&self.fabric),
                node: view.this_node,
                shard_count: view.shard_count(),
                guests: Arc::clone(&self.guests),
                metrics: Arc::clone(&self.metrics),
                version_counts: Arc::clone(&self.version_counts),
                streams: TaskTracker::new(),
            };
            Slots::new(Arc::new(bench), self.tasks_max, self.queue_max, self.tasks.clone())
        })
    }

    /// The loads of the shards that this node owns.
    pub fn loads(&self) -> Vec<ShardLoad> {
        let view = self.fabric.view();
        self.slots(&view).loads(&view)
    }

    /// The shard tasks, once there have been any.
    pub fn started_slots(&self) -> Option<&Slots> {
        self.slots.get()
    }
}

fn workload(view: &View, name: &str) -> Result<Arc<Workload>, Problem> {
    let unknown = || Problem::new(Code::UnknownWorkload, format!("there is no workload {name:?}"));
    view.workloads.get(name).cloned().ok_or_else(unknown)
}
