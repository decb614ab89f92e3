//! The state of one shard while this node serves it under one epoch: what is in the database, and on top of it what is written, committed
//! or not.
//!
//! A write is visible to later reads at once, before it is on anybody's disk (design 3.6): what rests on it must not leave the node before
//! [`ServedState::committed`] has reached it. When the shard is not served any more the top goes, and reading fails.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use shardloom_protocol::batch::{BatchError, WORKLOAD_BYTES_MAX, WriteBatch};
use shardloom_sharding::ids::{Position, Tail};
use shardloom_sharding::protocol::messages::ShardEpoch;
use tokio::sync::{mpsc, watch};

use super::db::StateDb;
use super::error::{NotWritten, StateError};
use super::frozen::FrozenState;
use super::keys::{Copy, state_key};
use super::limits::{BATCH_BYTES_MAX, KEY_BYTES_MAX, REPLY_KEPT_BYTES_MAX, VALUE_BYTES_MAX};
use super::overlay::{Overlay, span};
use super::ring::Found;
use super::scan::{ScanLimit, merge};
use super::unflushed::Unflushed;

/// A batch on its way to the log.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    /// The shard, and the epoch under which its call ran.
    pub(crate) at: ShardEpoch,
    /// The encoded batch.
    pub(crate) batch: Arc<[u8]>,
}

/// The state of a shard that is served. Calls of one workload on the shard must not overlap: whoever writes is the only one who does.
#[derive(Debug)]
pub struct ServedState {
    at: ShardEpoch,
    copy: Copy,
    db: Arc<StateDb>,
    unflushed: Arc<Unflushed>,
    submit: mpsc::Sender<Submission>,
    committed: watch::Receiver<Position>,
    top: Mutex<Top>,
}

#[derive(Debug)]
struct Top {
    overlay: Overlay,
    last: Position,
    served: bool,
}

impl ServedState {
    /// Puts what the log has beyond the database on top of it; `last` is the end of the log.
    pub(crate) fn new(
        at: ShardEpoch,
        (db, copy, unflushed): (Arc<StateDb>, Copy, Arc<Unflushed>),
        submit: mpsc::Sender<Submission>,
        overlay: Overlay,
        last: Position,
    ) -> (ServedState, watch::Sender<Position>) {
        // All that the log holds when a shard begins to be served is on a write quorum: its commit rests on the barrier.
        let (sender, committed) = watch::channel(last);
        let top = Mutex::new(Top { overlay, last, served: true });
        (ServedState { at, copy, db, unflushed, submit, committed, top }, sender)
    }

    fn top(&self) -> MutexGuard<'_, Top> {
        self.top.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn served_top(&self) -> Result<MutexGuard<'_, Top>, StateError> {
        let top = self.top();
        if top.served { Ok(top) } else { Err(StateError::NotServed) }
    }

    /// The shard, and the epoch under which it is served.
    pub fn at(&self) -> ShardEpoch {
        self.at
    }

    /// The value of a key, all earlier writes seen. May block on the disk.
    ///
    /// # Errors
    ///
    /// The shard is not served any more, or the database fails.
    pub fn get(&self, workload: &str, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        let key = state_key(workload, key);
        let top = self.served_top()?.overlay.get(&key);
        match top {
            Some(value) => Ok(value),
            None => self.db.get(self.copy, &key),
        }
    }

    /// The rows from `start` to before `end`, or to the last, ordered by the bytes of their keys, all earlier writes seen. May block on the disk.
    ///
    /// # Errors
    ///
    /// The shard is not served any more, or the database fails.
    pub fn scan(
        &self,
        workload: &str,
        start: &[u8],
        end: Option<&[u8]>,
        limit: ScanLimit,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        let name_bytes = state_key(workload, &[]).len();
        // The names before the keys are the same in all rows, and not the guest's bytes.
        let limit =
            ScanLimit { bytes: limit.bytes.saturating_add(name_bytes.saturating_mul(limit.rows)), ..limit };
        let rows = merge(
            span(workload, start, end),
            limit,
            |start, end, rows| Ok(self.served_top()?.overlay.page(start, end, rows)),
            |start, end, rows| self.db.page(self.copy, (start, end), rows),
        )?;
        Ok(rows.into_iter().map(|(key, value)| (key.slice(name_bytes..), value)).collect())
    }

    /// Bytes of keys and values of the workload's state on this shard, all writes counted.
    pub fn bytes(&self, workload: &str) -> u64 {
        self.top().overlay.bytes(workload)
    }

    /// As [`ServedState::bytes`], of all workloads together.
    pub fn bytes_of_all(&self) -> u64 {
        self.top().overlay.bytes_of_all()
    }

    /// Where the newest write stands that was submitted on this shard under this epoch, or else the end of the log when it began.
    pub fn last(&self) -> Position {
        self.top().last
    }

    /// Up to where a write quorum is known to hold the log; closed once the shard is not served any more.
    pub fn committed(&self) -> watch::Receiver<Position> {
        self.committed.clone()
    }

    /// What a recent call was answered, and where its batch stands: empty if that was too large to be kept. None if the call is not among the
    /// recent ones. May block on the disk; if that fails the state ends, so that a call of which nothing can be known is not run again.
    pub fn reply_of(&self, request: u128) -> Option<(Position, Bytes)> {
        match self.find_reply(request) {
            Ok(found) => found,
            Err(StateError::NotServed) => None,
            Err(error) => {
                tracing::error!(shard = %self.at.shard, %error, "the recent replies cannot be read");
                self.end();
                None
            }
        }
    }

    fn find_reply(&self, request: u128) -> Result<Option<(Position, Bytes)>, StateError> {
        let mut found = self.served_top()?.overlay.ring.find(request);
        if found == Found::Incomplete {
            let stored = self.db.replies(self.copy)?;
            let mut top = self.served_top()?;
            top.overlay.ring.complete(stored);
            found = top.overlay.ring.find(request);
        }
        Ok(match found {
            Found::Reply(position, reply) => Some((position, reply)),
            Found::Stored(ordinal) => {
                let kept = self.db.reply(self.copy, ordinal)?;
                kept.filter(|kept| kept.request == request).map(|kept| (kept.position, kept.reply))
            }
            Found::Nowhere | Found::Incomplete => None,
        })
    }

    /// Writes a batch: waits for room on the way to the log, then gives it the next position. Later reads see it; it is committed once
    /// [`ServedState::committed`] reaches the position.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing was written.
    pub async fn write(&self, batch: &WriteBatch) -> Result<Position, NotWritten> {
        self.write_if(batch, None).await
    }

    /// As [`ServedState::write`], but only if the newest write still stands at `last`.
    ///
    /// # Errors
    ///
    /// Nothing was written; [`NotWritten::Overtaken`] if something else was, since.
    ///
    /// # Cancel safety
    ///
    /// As [`ServedState::write`].
    pub async fn write_after(&self, batch: &WriteBatch, last: Position) -> Result<Position, NotWritten> {
        self.write_if(batch, Some(last)).await
    }

    async fn write_if(&self, batch: &WriteBatch, last: Option<Position>) -> Result<Position, NotWritten> {
        check(batch)?;
        let too_large = |reply: &Bytes| reply.len() > REPLY_KEPT_BYTES_MAX;
        let shortened;
        let batch = if batch.reply.as_ref().is_some_and(too_large) {
            shortened = WriteBatch { reply: Some(Bytes::new()), ..batch.clone() };
            &shortened
        } else {
            batch
        };
        // Before it has a number: nothing of it is left then.
        if let Some(full_for) = self.db.space().full_for() {
            return Err(NotWritten::DiskFull { full_for });
        }
        let permit = self.submit.reserve().await.map_err(|_| NotWritten::NotServed)?;
        let growth = self.growth(batch)?;
        let encoded = batch.encode(growth).map_err(|error| match error {
            BatchError::TooLong { what, bytes } => {
                NotWritten::TooLarge { what, bytes, bytes_max: WORKLOAD_BYTES_MAX }
            }
            _ => NotWritten::NotServed,
        })?;
        let submission = Submission { at: self.at, batch: Arc::from(&encoded[..]) };
        let mut top = self.served_top().map_err(|_| NotWritten::NotServed)?;
        if last.is_some_and(|last| top.last != last) {
            return Err(NotWritten::Overtaken);
        }
        top.last = top.last.next();
        let position = top.last;
        top.overlay.write(position, batch, growth);
        // Under the lock, so that the log gets the batches in the order of their numbers.
        permit.send(submission);
        Ok(position)
    }

    /// By how many bytes the batch makes the workload's state larger.
    fn growth(&self, batch: &WriteBatch) -> Result<i64, StateError> {
        let mut growth = 0_i64;
        let mut before: BTreeMap<&[u8], Option<usize>> = BTreeMap::new();
        for change in &batch.changes {
            let old = match before.get(&change.key[..]) {
                Some(old) => *old,
                None => self.old_bytes(&batch.workload, &change.key)?,
            };
            let new = change.value.as_ref().map(Bytes::len);
            let row = |value: Option<usize>| value.map_or(0, |value| (change.key.len() + value) as i64);
            growth += row(new) - row(old);
            if batch.changes.len() > 1 {
                before.insert(&change.key, new);
            }
        }
        Ok(growth)
    }

    fn old_bytes(&self, workload: &str, key: &[u8]) -> Result<Option<usize>, StateError> {
        let key = state_key(workload, key);
        let top = self.served_top()?.overlay.get(&key);
        match top {
            Some(value) => Ok(value.map(|value| value.len())),
            None => self.db.value_bytes(self.copy, &key),
        }
    }

    /// The state of all workloads as it is now, written or not committed yet; it stays so while calls go on.
    ///
    /// # Errors
    ///
    /// The shard is not served any more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn freeze(&self) -> Result<FrozenState, StateError> {
        // What a flush moves meanwhile from the top into the database must not be missed.
        let hold = self.unflushed.hold(self.at.shard).await;
        let top = self.served_top()?;
        // The log of a served shard ends with an entry of this epoch: its barrier, or one after it.
        let tail = Tail { stamp: self.at.epoch, position: top.last };
        let rows = top.overlay.rows();
        drop(top);
        Ok(FrozenState::new(tail, (self.db.clone(), self.copy), rows, hold))
    }

    /// The database has everything up to here by now.
    pub(crate) fn flushed(&self, upto: Position) {
        // In steps, so that no call waits for long.
        while !self.top().overlay.flushed(upto, FORGOTTEN_AT_ONCE) {}
    }

    /// Ends it: what was written on top may never have been.
    pub(crate) fn end(&self) {
        let overlay = {
            let mut top = self.top();
            top.served = false;
            std::mem::replace(&mut top.overlay, Overlay::above(super::meta::ShardMeta::default()))
        };
        drop(overlay);
    }
}

/// Writes that leave the top under one hold of its lock.
const FORGOTTEN_AT_ONCE: usize = 256;

fn check(batch: &WriteBatch) -> Result<(), NotWritten> {
    let within = |what, bytes, bytes_max| {
        if bytes > bytes_max { Err(NotWritten::TooLarge { what, bytes, bytes_max }) } else { Ok(()) }
    };
    for change in &batch.changes {
        within("a key", change.key.len(), KEY_BYTES_MAX)?;
        within("a value", change.value.as_ref().map_or(0, Bytes::len), VALUE_BYTES_MAX)?;
    }
    let reply = batch.reply.as_ref().map_or(0, Bytes::len);
    // A reply that is too large is not logged, so it does not count.
    let bytes = batch.encoded_bytes() - if reply > REPLY_KEPT_BYTES_MAX { reply } else { 0 };
    within("a batch of writes", bytes, BATCH_BYTES_MAX)
}
