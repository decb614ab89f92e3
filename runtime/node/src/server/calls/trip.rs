//! What the router remembers of one call while it looks for its shard's owner.

use std::sync::Arc;

use shardloom_protocol::call::GuestRequest;
use shardloom_sharding::ids::{Epoch, ShardId};
use shardloom_sharding::route::Travel;
use tokio::sync::watch;
use tokio::time::Instant;

/// A call as it was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The workload's name.
    pub workload: String,
    /// What the guest gets.
    pub request: Arc<GuestRequest>,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// A call on its way.
#[derive(Debug)]
pub struct Trip {
    /// The same on every attempt; drawn when it first leaves this node.
    id: Option<u128>,
    /// The call.
    pub taken: Taken,
    /// The key's shard, once it is found.
    pub shard: Option<ShardId>,
    /// What it has met so far.
    pub travel: Travel,
    /// Wakes a call that waits; there from the first wait on, so that no change between deciding and waiting is missed.
    pub changed: Option<watch::Receiver<u64>>,
    /// Whether the call has had to wait, for the metrics.
    pub waited: Waited,
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
}

impl Trip {
    /// A call that a client has sent here.
    pub fn new(taken: Taken) -> Trip {
        let travel = Travel { epoch: Epoch(0), hops: 0 };
        Trip { id: None, taken, shard: None, travel, changed: None, waited: Waited::No }
    }

    /// The request's id.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn id(&mut self) -> Result<u128, getrandom::Error> {
        if let Some(id) = self.id {
            return Ok(id);
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(*self.id.insert(u128::from_le_bytes(bytes)))
    }
}
