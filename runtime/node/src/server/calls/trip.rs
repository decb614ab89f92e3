//! What the router remembers of one call while it looks for its shard's owner.

use std::sync::Arc;

use shardloom_protocol::call::GuestRequest;
use shardloom_sharding::ids::{Epoch, ShardId};
use shardloom_sharding::route::Travel;
use tokio::sync::watch;
use tokio::time::Instant;

use super::exchange::Exchange;
use super::task::Attempt;

/// A call as it was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The same on every attempt: by it the shard's log knows whether the call was carried out.
    pub id: u128,
    /// The workload's name.
    pub workload: String,
    /// What the guest gets.
    pub request: Arc<GuestRequest>,
    /// Its bodies, where they are not held whole.
    pub exchange: Option<Arc<Exchange>>,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// A call on its way.
#[derive(Debug)]
pub struct Trip {
    /// The call.
    pub taken: Taken,
    /// The key's shard, once it is found, and the activation of the workload that says so.
    pub shard: Option<(u64, ShardId)>,
    /// What it has met so far.
    pub travel: Travel,
    /// Wakes a call that waits; there from the first wait on, so that no change between deciding and waiting is missed.
    pub changed: Option<watch::Receiver<u64>>,
    /// Whether the call has had to wait, for the metrics.
    pub waited: Waited,
    /// Whether an earlier attempt may have been carried out.
    pub attempt: Attempt,
}

/// Whether a call has had to wait for its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// Not yet.
    No,
    /// At least once.
    Yes,
}

/// What one attempt has led to.
#[derive(Debug)]
pub enum Step<T> {
    /// The call has its answer.
    Done(T),
    /// It did not run: route it again.
    Again,
    /// It did not run, and would not run now: route it again after a change, or a moment.
    AgainLater,
    /// It may have run, at an owner that has lost the shard or cannot be heard: the shard's log will tell, when it is asked by the request's
    /// id (rule 26). Route it again as [`Step::AgainLater`].
    AgainInDoubt,
}

impl Trip {
    /// A call that a client has sent here.
    pub fn new(taken: Taken) -> Trip {
        let travel = Travel { epoch: Epoch(0), hops: 0 };
        Trip { taken, shard: None, travel, changed: None, waited: Waited::No, attempt: Attempt::First }
    }
}
