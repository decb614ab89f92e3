//! A workload's guest: one warm instance, its calls one after another.

mod streamed;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shardloom_sharding::ids::Epoch;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use crate::bindings::shard_handler as wit;
use crate::bounds::{Bounds, CallBounds};
use crate::buckets::Buckets;
use crate::call::{CallEnd, CallError, Ended, Reply, ReplyBounds, Request};
use crate::digest::Digest;
use crate::guest::{Guest, Place};
use crate::http::{HttpExports, HttpPre};
use crate::imports::link;
use crate::limits::Limits;
use crate::logs::SharedLog;
use crate::outgoing::Outgoing;
use crate::run_time::RunTime;
use crate::slots::{Slot, instances_max};
use crate::stage::Stage;
use crate::state::StateView;
use crate::stop::{GuestTrap, LimitHit, StopReason, TimeoutKind};
use crate::ticker::Ticker;
use crate::transaction::{Transaction, WriteBounds};
use crate::world::World;

/// Bytes that a guest may hand over at once beyond those of a reply, or of a batch of changes: lengths and pointers.
const HAND_OVER_SLACK_BYTES: u64 = 64 << 10;

/// How long a guest's start code may take, what it waits for included: nothing that it could wait for is worth more.
const START_MAX: Duration = Duration::from_secs(10);

/// A workload's component, compiled, checked and linked; cheap to clone.
#[derive(Clone)]
pub struct PreparedHandler {
    digest: Digest,
    pre: Pre,
    engine: Engine,
    ticker: Arc<Ticker>,
    stack_bytes: u64,
}

#[derive(Clone)]
enum Pre {
    Calls(wit::ShardHandlerKeyvaluePre<Guest>),
    Http(HttpPre),
}

enum Exports {
    Calls(wit::ShardHandlerKeyvalue),
    Http(HttpExports),
}

/// What an instance is made for.
#[derive(Clone)]
pub struct Setting {
    /// Where it runs.
    pub place: Place,
    /// What the guest reads through `wasi:config`.
    pub config: Arc<BTreeMap<String, String>>,
    /// Where its lines go.
    pub log: SharedLog,
    /// By whom it may send requests; none may where there is nobody.
    pub outgoing: Option<Arc<dyn Outgoing>>,
}

/// An instance could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstantiateError {
    /// What the component needs from the start is over a limit.
    #[error("the guest starts over its limit: {0}")]
    Limit(LimitHit),
    /// Its start code trapped.
    #[error("the guest trapped as it started: {}", .0.reason)]
    Trap(GuestTrap),
    /// Its start code ran too long.
    #[error("the guest ran too long as it started: {0}")]
    Timeout(TimeoutKind),
    /// The host could not make it; more than its instances, tables or handles, or no memory left.
    #[error("no instance of the guest: {0}")]
    Host(String),
}

/// One warm instance of a handler, for one shard.
pub struct HandlerInstance {
    _slot: Slot,
    store: Store<Guest>,
    exports: Exports,
    ticker: Arc<Ticker>,
    reply_bounds: ReplyBounds,
    write_bounds: WriteBounds,
    stack_bytes: u64,
    dead: bool,
}

impl PreparedHandler {
    /// Links a component; fails where its types are not those of the world.
    pub(crate) fn new(
        digest: Digest,
        world: World,
        engine: &Engine,
        component: &Component,
        ticker: Arc<Ticker>,
        stack_bytes: u64,
    ) -> wasmtime::Result<PreparedHandler> {
        let mut linker = Linker::new(engine);
        link(world, &mut linker)?;
        let linked = linker.instantiate_pre(component)?;
        let pre = match world {
            World::HttpHandler => Pre::Http(HttpPre::new(linked)?),
            _ => Pre::Calls(wit::ShardHandlerKeyvaluePre::new(linked)?),
        };
        Ok(PreparedHandler { digest, pre, engine: engine.clone(), ticker, stack_bytes })
    }

    /// Whether it is a component of wasi:http.
    pub fn is_http(&self) -> bool {
        matches!(self.pre, Pre::Http(_))
    }

    /// The component's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl HandlerInstance {
    /// Makes an instance and runs its start code, within the limits.
    ///
    /// # Errors
    /// See [`InstantiateError`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the instance.
    pub async fn instantiate(
        handler: &PreparedHandler,
        limits: &Limits,
        setting: Setting,
    ) -> Result<HandlerInstance, InstantiateError> {
        let slot = Slot::take().ok_or_else(|| {
            InstantiateError::Host(format!(
                "this process holds {} instances, as many as it may",
                instances_max()
            ))
        })?;
        let Setting { place, config, log, outgoing } = setting;
        let guest = Guest {
            place,
            config,
            log,
            bounds: Bounds::new(limits),
            run_time: RunTime::new(Duration::from_millis(limits.deadline_ms.into())),
            stage: Stage::default(),
            buckets: Buckets::new(limits),
            wasi: None,
            limits: limits.clone(),
            outgoing,
        };
        let mut store = Store::new(&handler.engine, guest);
        store.limiter(|guest| &mut guest.bounds);
        store.epoch_deadline_callback(|mut store| store.data_mut().run_time.tick());
        let reply_bounds = ReplyBounds::new(limits);
        let reply_bytes = limits.reply_bytes + u64::from(limits.reply_header_bytes);
        let hand_over_bytes = reply_bytes.max(limits.batch_bytes) + HAND_OVER_SLACK_BYTES;
        CallBounds {
            hand_over_bytes: usize::try_from(hand_over_bytes).unwrap_or(usize::MAX),
            handles: limits.handles as usize,
        }
        .apply(&mut store);

        let _ticking = handler.ticker.keep_ticking();
        let clock = store.data_mut().run_time.start(None);
        store.set_epoch_deadline(1);
        let made = async {
            match &handler.pre {
                Pre::Calls(pre) => pre.instantiate_async(&mut store).await.map(Exports::Calls),
                Pre::Http(pre) => pre.instantiate(&mut store).await.map(Exports::Http),
            }
        };
        let Ok(made) = tokio::time::timeout(START_MAX, clock.count(made)).await else {
            return Err(InstantiateError::Timeout(TimeoutKind::Deadline));
        };
        match made {
            Ok(exports) => Ok(HandlerInstance {
                _slot: slot,
                store,
                exports,
                ticker: Arc::clone(&handler.ticker),
                reply_bounds,
                write_bounds: WriteBounds::new(limits),
                stack_bytes: handler.stack_bytes,
                dead: false,
            }),
            Err(error) => {
                Err(match store.data().stop_reason(&error, handler.stack_bytes, limits.reply_bytes) {
                    StopReason::Timeout(kind) => InstantiateError::Timeout(kind),
                    StopReason::Limit(hit) => InstantiateError::Limit(hit),
                    StopReason::Trap(trap) => InstantiateError::Trap(trap),
                    StopReason::Host(text) => InstantiateError::Host(text),
                })
            }
        }
    }

    /// Runs one call on the state as it is now. The guest runs on a fiber of its own and yields the thread at every tick.
    ///
    /// How it ended, and what is to become of the state, is in the answer: see [`CallEnd`].
    ///
    /// # Cancel safety
    /// Dropping the future unwinds the guest and leaves the instance dead.
    pub async fn call(&mut self, request: Request, deadline: Instant, state: Arc<dyn StateView>) -> CallEnd {
        if self.dead {
            return CallEnd { result: Err(CallError::Dead), writes: Vec::new() };
        }
        let guest = self.store.data_mut();
        guest.stage.open(Transaction::new(state, self.write_bounds));
        guest.buckets.start();
        let result = self.run(request, deadline).await;
        // Whatever the end, the state is let go of.
        let transaction = self.store.data().stage.end();
        let kept = transaction.filter(|_| result.as_ref().is_ok_and(Reply::keeps_writes));
        CallEnd { result, writes: kept.map(Transaction::into_writes).unwrap_or_default() }
    }

    async fn run(&mut self, request: Request, deadline: Instant) -> Result<Reply, CallError> {
        let ticker = Arc::clone(&self.ticker);
        let _ticking = ticker.keep_ticking();
        // Alive again only if the call comes to its own end.
        self.dead = true;
        let guest = self.store.data_mut();
        guest.bounds.forget_hit();
        let clock = guest.run_time.start(Some(deadline));
        self.store.set_epoch_deadline(1);
        let bounds = self.reply_bounds;
        let (store, exports) = (&mut self.store, &self.exports);
        let called = async {
            match exports {
                Exports::Calls(exports) => {
                    let handler = exports.shardloom_shard_handler();
                    let result = match handler.call_handle(store, &request.into()).await? {
                        Ok(reply) => bounds.check(reply.into()).map_err(CallError::Limit),
                        Err(failure) => Err(CallError::Failure(failure.into())),
                    };
                    Ok(Ended { result, usable: true })
                }
                // Boxed, since every call would carry the room for it.
                Exports::Http(exports) => Box::pin(exports.call(store, request, bounds)).await,
            }
        };
        // A guest may wait, for a clock or for a response, and meets no check of the time meanwhile.
        let (outcome, usable) = match tokio::time::timeout_at(deadline.into(), clock.count(called)).await {
            Err(_) => (Err(CallError::Timeout(TimeoutKind::Deadline)), false),
            Ok(Ok(Ended { result, usable })) => (result, usable),
            Ok(Err(error)) => {
                let guest = self.store.data();
                (Err(guest.stop_reason(&error, self.stack_bytes, bounds.reply_bytes).into()), false)
            }
        };
        self.dead =
            !(usable && matches!(outcome, Ok(_) | Err(CallError::Failure(_) | CallError::NoResponse(_))));
        outcome
    }

    /// Whether the instance can never be called again: after a trap, a timeout, a limit, or a call that was dropped.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Tells the guest a newer epoch, from the next call on.
    pub fn set_epoch(&mut self, epoch: Epoch) {
        self.store.data_mut().place.epoch = epoch;
    }

    /// Bytes of linear memory that the instance has now.
    pub fn memory_bytes(&self) -> u64 {
        self.store.data().bounds.memory_bytes()
    }
}

impl fmt::Debug for PreparedHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedHandler").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl fmt::Debug for HandlerInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.store.data().place;
        f.debug_struct("HandlerInstance")
            .field("place", place)
            .field("dead", &self.dead)
            .finish_non_exhaustive()
    }
}
