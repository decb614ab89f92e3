//! Which shards this node serves right now: written by the protocol's shell, asked on every call.
//!
//! One row a shard and one word for the lease, all atomic, so that the request path takes no lock. A call is counted while it holds a
//! [`CallPermit`]; a hand-over waits for the count to reach zero (a courtesy, rule 22) and the check before each reply is what keeps the
//! promise (rule 18).

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use shardloom_sharding::ids::{Epoch, ShardId};
use shardloom_sharding::protocol::timing::Time;
use tokio::sync::{Notify, watch};

use crate::clock;

/// Whether this build answers without a live lease and under epochs that are over, so that a fault test can prove that it would see that: built
/// with `SHARDLOOM_BREAK=epoch-check` in the compiler's environment, and never otherwise.
pub const SKIPS_EPOCH_CHECK: bool = match option_env!("SHARDLOOM_BREAK") {
    Some(broken) => matches!(broken.as_bytes(), b"epoch-check"),
    None => false,
};

/// Why a call may not start here now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotServing {
    /// This node does not serve the shard.
    NotOwner,
    /// The shard is held: it is about to be handed over.
    HandingOver,
    /// The lease has run out.
    NoLease,
}

#[derive(Debug, Default)]
struct Row {
    /// The epoch under which the shard is served; 0 for not served.
    epoch: AtomicU64,
    held: AtomicBool,
    calls: AtomicU32,
}

/// What this node serves; nothing at first.
#[derive(Debug, Default)]
pub struct ServingTable {
    /// One a shard; set once the control log has said how many there are.
    rows: OnceLock<Box<[Row]>>,
    lease_until: AtomicU64,
    /// Whether the lease ran when somebody was last told.
    told_live: AtomicBool,
    idle: Notify,
    changed: watch::Sender<u64>,
}

impl ServingTable {
    /// Makes room for so many shards. Only the first call counts.
    pub(crate) fn size(&self, shard_count: u32) {
        let _ = self.rows.set((0..shard_count).map(|_| Row::default()).collect());
    }

    fn row(&self, shard: ShardId) -> Option<&Row> {
        self.rows.get()?.get(shard.index())
    }

    /// Asks leave to start a call. The call counts as under way until the permit is dropped.
    ///
    /// # Errors
    ///
    /// Why not; nothing was counted.
    pub fn enter(self: &Arc<Self>, shard: ShardId) -> Result<CallPermit, NotServing> {
        let row = self.row(shard).ok_or(NotServing::NotOwner)?;
        // Count first, look after: a hand-over that sees no call under way is then sure that none slips in.
        row.calls.fetch_add(1, Ordering::SeqCst);
        let permit =
            CallPermit { table: self.clone(), shard, epoch: Epoch(row.epoch.load(Ordering::SeqCst)) };
        if permit.epoch == Epoch(0) {
            Err(NotServing::NotOwner)
        } else if row.held.load(Ordering::SeqCst) {
            Err(NotServing::HandingOver)
        } else if !self.lease_live() && !SKIPS_EPOCH_CHECK {
            Err(NotServing::NoLease)
        } else {
            Ok(permit)
        }
    }

    /// The epoch under which the shard is served here, if it is.
    pub fn serving(&self, shard: ShardId) -> Option<Epoch> {
        let epoch = self.row(shard)?.epoch.load(Ordering::SeqCst);
        (epoch != 0).then_some(Epoch(epoch))
    }

    /// Whether the lease runs.
    pub fn lease_live(&self) -> bool {
        clock::now() < self.lease_until()
    }

    /// Until when it runs.
    pub fn lease_until(&self) -> Time {
        Time(self.lease_until.load(Ordering::SeqCst))
    }

    /// Counts on with every change that may let a waiting call start, or must stop one.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn set_lease(&self, until: Time) {
        self.lease_until.store(until.0, Ordering::SeqCst);
        self.tell_lease();
    }

    /// Wakes everybody who waits if the lease has begun or run out since they were last told; due on every tick.
    pub(crate) fn tell_lease(&self) {
        let live = self.lease_live();
        if self.told_live.swap(live, Ordering::SeqCst) != live {
            self.bump();
        }
    }

    pub(crate) fn start(&self, shard: ShardId, epoch: Epoch) {
        if let Some(row) = self.row(shard) {
            // It may be held already: the way from the decision to serve it to here takes a moment.
            row.epoch.store(epoch.0, Ordering::SeqCst);
        }
    }

    pub(crate) fn stop(&self, shard: ShardId) {
        if let Some(row) = self.row(shard) {
            row.epoch.store(0, Ordering::SeqCst);
            row.held.store(false, Ordering::SeqCst);
        }
    }

    pub(crate) fn hold(&self, shard: ShardId, held: bool) {
        if let Some(row) = self.row(shard) {
            row.held.store(held, Ordering::SeqCst);
        }
    }

    pub(crate) fn is_idle(&self, shard: ShardId) -> bool {
        self.row(shard).is_none_or(|row| row.calls.load(Ordering::SeqCst) == 0)
    }

    /// Completes when a call of some held shard has ended.
    pub(crate) async fn idle(&self) {
        self.idle.notified().await;
    }

    /// Wakes everybody who waits for a change.
    pub(crate) fn bump(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// Leave for one call.
#[derive(Debug)]
pub struct CallPermit {
    table: Arc<ServingTable>,
    shard: ShardId,
    epoch: Epoch,
}

impl CallPermit {
    /// The epoch under which the call runs.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether its reply may leave now (rule 18).
    pub fn may_answer(&self) -> bool {
        SKIPS_EPOCH_CHECK || self.table.serving(self.shard) == Some(self.epoch) && self.table.lease_live()
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        let Some(row) = self.table.row(self.shard) else { return };
        if row.calls.fetch_sub(1, Ordering::SeqCst) == 1 && row.held.load(Ordering::SeqCst) {
            self.table.idle.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn table() -> Arc<ServingTable> {
        let table = Arc::new(ServingTable::default());
        table.size(2);
        table.set_lease(clock::now() + Duration::from_secs(60));
        table.start(ShardId(1), Epoch(7));
        table
    }

    #[test]
    fn a_call_starts_only_where_its_shard_is_served() {
        let table = table();
        assert_eq!(table.enter(ShardId(0)).unwrap_err(), NotServing::NotOwner);
        assert_eq!(table.enter(ShardId(9)).unwrap_err(), NotServing::NotOwner);
        let permit = table.enter(ShardId(1)).unwrap();
        assert_eq!(permit.epoch(), Epoch(7));
        assert!(permit.may_answer());
        assert!(!table.is_idle(ShardId(1)));
        drop(permit);
        assert!(table.is_idle(ShardId(1)));
        assert!(table.is_idle(ShardId(0)), "a refused call is not counted");
    }

    #[test]
    fn no_reply_leaves_after_the_shard_or_the_lease_is_gone() {
        let table = table();
        let permit = table.enter(ShardId(1)).unwrap();
        table.set_lease(clock::now());
        assert!(!permit.may_answer());
        assert_eq!(table.enter(ShardId(1)).unwrap_err(), NotServing::NoLease);
        table.set_lease(clock::now() + Duration::from_secs(60));
        assert!(permit.may_answer());
        table.stop(ShardId(1));
        assert!(!permit.may_answer());
        table.start(ShardId(1), Epoch(8));
        assert!(!permit.may_answer(), "an epoch later is another epoch");
    }

    #[test]
    fn who_waits_is_told_that_the_lease_has_run_out() {
        let table = table();
        let told = *table.changed().borrow();
        table.tell_lease();
        assert_eq!(*table.changed().borrow(), told, "nothing has changed");
        table.lease_until.store(1, Ordering::SeqCst);
        table.tell_lease();
        assert_eq!(*table.changed().borrow(), told + 1);
    }

    #[tokio::test]
    async fn a_held_shard_takes_no_call_and_tells_when_the_last_has_ended() {
        let table = table();
        let permit = table.enter(ShardId(1)).unwrap();
        table.hold(ShardId(1), true);
        assert_eq!(table.enter(ShardId(1)).unwrap_err(), NotServing::HandingOver);
        drop(permit);
        tokio::time::timeout(Duration::from_secs(5), table.idle()).await.unwrap();
        assert!(table.is_idle(ShardId(1)));
        table.hold(ShardId(1), false);
        assert!(table.enter(ShardId(1)).is_ok());
    }
}
