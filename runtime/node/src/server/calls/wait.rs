//! Waiting for a shard to be served: bounded in number per shard, and by each call's deadline.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shardloom_protocol::call::Executed;
use shardloom_sharding::ids::ShardId;
use shardloom_sharding::route::Refusal;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::slots::Slot;
use super::trip::{Trip, Waited};
use crate::server::fabric::Fabric;
use crate::server::metrics::Metrics;
use crate::server::problem::{Code, Problem};
use crate::server::view::View;

/// A call that another node refused looks again after this long: what changes there is not reported here.
pub const AFTER_REFUSAL: Duration = Duration::from_millis(25);
/// A call whose shard is not served looks again after this long even if no change was reported; rarely, since many may wait.
pub const AFTER_NO_CHANGE: Duration = Duration::from_millis(500);

/// One call's place among those that wait for a shard, until it is dropped.
#[derive(Debug)]
struct Place<'a> {
    slot: &'a Slot,
    metrics: &'a Metrics,
}

impl<'a> Place<'a> {
    fn take(slot: &'a Slot, metrics: &'a Metrics, waiting_max: u32) -> Result<Place<'a>, Problem> {
        metrics.calls_waiting.inc();
        let place = Place { slot, metrics };
        if slot.waiting.fetch_add(1, Ordering::Relaxed) >= waiting_max {
            return Err(Problem::new(Code::Overloaded, "as many calls wait for this shard as may"));
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.metrics.calls_waiting.dec();
        self.slot.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The place where calls wait.
#[derive(Debug)]
pub struct WaitingRoom {
    metrics: Arc<Metrics>,
    per_shard_max: u32,
}

impl WaitingRoom {
    /// Sets the bound per shard.
    pub fn new(metrics: Arc<Metrics>, per_shard_max: u32) -> WaitingRoom {
        WaitingRoom { metrics, per_shard_max }
    }

    /// Waits until something has changed, at most as long as `pause_max`. The first time for a call it returns at once, having
    /// subscribed: what it decided on may be outdated by then.
    ///
    /// # Errors
    /// `overloaded` if too many wait already; at the deadline, what the shard lacks.
    pub async fn wait(
        &self,
        fabric: &dyn Fabric,
        slot: &Slot,
        shard: ShardId,
        trip: &mut Trip,
        pause_max: Duration,
    ) -> Result<(), Problem> {
        let Some(changed) = trip.changed.as_mut() else {
            let mut changed = fabric.changed();
            changed.mark_unchanged();
            trip.changed = Some(changed);
            return Ok(());
        };
        if trip.waited == Waited::No {
            trip.waited = Waited::Yes;
            self.metrics.calls_waited.inc();
        }
        let _place = Place::take(slot, &self.metrics, self.per_shard_max)?;
        let until = trip.taken.deadline.min(Instant::now() + pause_max);
        pause(changed, until).await;
        if Instant::now() >= trip.taken.deadline { Err(refusal(&fabric.view(), shard)) } else { Ok(()) }
    }
}

/// Returns at the next change, at the latest at `until`.
async fn pause(changed: &mut watch::Receiver<u64>, until: Instant) {
    if let Ok(Err(_closed)) = timeout_at(until, changed.changed()).await {
        // The cluster is gone and will not report anything: what is left is to look now and then.
        tokio::time::sleep_until(until).await;
    }
}

/// What a caller hears whose deadline came before its shard was served.
fn refusal(view: &View, shard: ShardId) -> Problem {
    let standing = view.shard(shard, None);
    refused(standing.refusal(), shard).at(standing.epoch)
}

/// A refusal of the pure core as an error for the caller.
pub fn refused(refusal: Refusal, shard: ShardId) -> Problem {
    let code = match refusal {
        Refusal::NoLeader => Code::NoLeader,
        Refusal::Resharding => Code::Resharding,
        Refusal::ShardUnavailable => Code::ShardUnavailable,
        Refusal::Overloaded => Code::Overloaded,
        Refusal::TooManyHops => Code::TooManyHops,
    };
    Problem::new(code, format!("shard {shard}: {refusal}")).executed(Executed::No)
}
