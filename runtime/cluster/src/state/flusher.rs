//! Lets the database follow the logs: one round at a time, one checkpoint for all shards of a round.
//!
//! Followers keep nothing in memory: what is committed is read from their logs when it is flushed. What a round has made durable the logs may
//! give up, but for some tail; the shell is told so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shardloom_sharding::ids::{NodeId, Position, ShardId, Tail};
use shardloom_sharding::protocol::messages::ShardEpoch;
use shardloom_sharding::protocol::node::Transfer;
use shardloom_sharding::protocol::record::SnapshotId;
use shardloom_store::{Record, Wal};
use tokio::sync::mpsc;

use super::blocking::blocking;
use super::db::StateDb;
use super::error::StateError;
use super::fold::Fold;
use super::keys::Copy;
use super::limits::{FLUSH_PAUSE, FLUSH_RETRY, FOLD_BYTES_MAX, KEPT_BYTES, KEPT_ENTRIES};
use super::states::States;
use super::unflushed::{Due, Unflushed};
use crate::log_entries::{LogReader, LoggedEntry};
use crate::slots;

/// What the state tells the protocol's shell.
#[derive(Debug)]
pub(crate) enum StateNews {
    /// These copies are durable, so that their logs may give up entries up to there.
    Compact(Vec<(Copy, Position)>),
    /// A snapshot is whole and durable in a copy of its own.
    Arrived {
        /// Who sent it.
        from: NodeId,
        /// The shard, and the epoch under which it was sent.
        at: ShardEpoch,
        /// The last entry that it holds.
        base: Tail,
        /// Its name.
        snapshot: SnapshotId,
    },
    /// A snapshot is on its way.
    Sent {
        /// Who is sent it.
        to: NodeId,
        /// The shard, and the epoch under which it is sent.
        at: ShardEpoch,
        /// How far it is.
        transfer: Transfer,
    },
}

/// How long the flusher sleeps when nothing is behind.
const IDLE: Duration = Duration::from_secs(3600);

/// Lets the database follow the logs.
#[derive(Debug)]
pub(crate) struct Flusher {
    pub(crate) db: Arc<StateDb>,
    pub(crate) wal: Wal,
    pub(crate) states: Arc<States>,
    pub(crate) unflushed: Arc<Unflushed>,
    pub(crate) news: mpsc::Sender<StateNews>,
}

/// A shard after its flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flushed {
    copy: Copy,
    upto: Position,
    /// The log may give up entries up to here.
    pub(super) spare: Position,
}

impl Flusher {
    /// Flushes until the node ends.
    ///
    /// # Errors
    ///
    /// The database is damaged, or the log: the process must end.
    ///
    /// # Cancel safety
    ///
    /// Dropped, a round that is under way still ends; nobody is told.
    pub(crate) async fn run(self) -> Result<(), StateError> {
        tokio::select! {
            failed = self.work() => failed,
            () = self.db.broken() => Err(StateError::Broken),
        }
    }

    async fn work(&self) -> Result<(), StateError> {
        loop {
            match self.unflushed.due(Instant::now()) {
                Due::Flush(round) => {
                    self.flush(round).await?;
                    tokio::time::sleep(FLUSH_PAUSE).await;
                }
                Due::Delete(copies) => self.delete(copies).await?,
                Due::Nothing(until) => {
                    let until = until.unwrap_or_else(|| Instant::now() + IDLE);
                    // Either way it looks again.
                    let _ = tokio::time::timeout_at(until.into(), self.unflushed.woken()).await;
                }
            }
        }
    }

    async fn flush(&self, round: Vec<(ShardId, Position)>) -> Result<(), StateError> {
        let (db, log, shards) = (self.db.clone(), LogReader::new(self.wal.clone()), round.clone());
        let (unflushed, started) = (self.unflushed.clone(), Instant::now());
        let done = blocking(move || flush_round(&db, &log, &unflushed, &shards)).await;
        self.unflushed.flushed();
        let (flushed, checkpoints) = match done {
            Ok(done) => done,
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, "the state was not flushed and stays in the log: trying again");
                let same = round.iter().filter(|(shard, _)| !self.unflushed.was_replaced(*shard));
                same.for_each(|(shard, upto)| self.unflushed.applied(*shard, *upto));
                tokio::time::sleep(FLUSH_RETRY).await;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.states.flushes().add(flushed.len(), started.elapsed());
        // Before the logs give anything up: the database must never be older than what it was trusted with.
        let count = Bytes::copy_from_slice(&checkpoints.to_le_bytes());
        self.wal.submit(vec![Record::Set { slot: slots::STATE_CHECKPOINTS, value: count }]).await?;
        for Flushed { copy, upto, .. } in &flushed {
            self.states.flushed(copy.shard, *upto);
        }
        let spare = flushed.iter().filter(|flushed| flushed.spare > Position(0));
        let spare = spare.map(|flushed| (flushed.copy, flushed.spare)).collect();
        // The shell is gone only when the node is ending.
        let _ = self.news.send(StateNews::Compact(spare)).await;
        Ok(())
    }

    async fn delete(&self, copies: Vec<Copy>) -> Result<(), StateError> {
        // What puts another copy into use is in the log by now: once it is durable, nobody looks for these any more.
        self.wal.submit(Vec::new()).await?.durable().await?;
        for copy in copies {
            let db = self.db.clone();
            match blocking(move || db.delete_some(copy)).await {
                Ok(true) => self.unflushed.deleted(copy),
                // The rest follows when flushes have had their turn.
                Ok(false) => {}
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, "old state was not deleted: trying again");
                    tokio::time::sleep(FLUSH_RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

pub(super) fn flush_round(
    db: &StateDb,
    log: &LogReader,
    unflushed: &Unflushed,
    round: &[(ShardId, Position)],
) -> Result<(Vec<Flushed>, u64), StateError> {
    let started = Instant::now();
    let mut flushed = Vec::with_capacity(round.len());
    for (shard, upto) in round {
        flushed.extend(flush_shard(db, log, unflushed, (*shard, *upto))?);
    }
    let checkpoints = db.checkpoint()?;
    tracing::debug!(shards = flushed.len(), millis = started.elapsed().as_millis() as u64, "state flushed");
    Ok((flushed, checkpoints))
}

/// Lets one shard's state follow its log; nothing, if it was replaced meanwhile.
pub(super) fn flush_shard(
    db: &StateDb,
    log: &LogReader,
    unflushed: &Unflushed,
    (shard, upto): (ShardId, Position),
) -> Result<Option<Flushed>, StateError> {
    let mut kept = Kept::default();
    loop {
        let current = db.current(shard);
        // After it was looked up: that it is new was said before it was there.
        if unflushed.was_replaced(shard) {
            return Ok(None);
        }
        let applied = current.meta.applied.position;
        if applied >= upto {
            let spare = Position(applied.0.saturating_sub(kept.entries()));
            return Ok(Some(Flushed { copy: current.copy, upto: applied, spare }));
        }
        let entries = log.read(shard, applied.next(), upto, FOLD_BYTES_MAX)?;
        if entries.first().is_none_or(|entry| entry.at.position != applied.next()) {
            if db.current(shard).copy != current.copy {
                return Ok(None);
            }
            return Err(StateError::Gap { shard, position: applied.next() });
        }
        let mut fold = Fold::after(shard, current.meta);
        for entry in entries {
            kept.take(&entry);
            fold.take(entry)?;
        }
        if !db.store(current.copy, fold)? {
            return Ok(None);
        }
    }
}

/// How many of the last entries stay in the log.
#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<usize>,
}

impl Kept {
    fn take(&mut self, entry: &LoggedEntry) {
        self.bytes.push_back(entry.batch.as_ref().map_or(0, Bytes::len));
        if self.bytes.len() > KEPT_ENTRIES {
            self.bytes.pop_front();
        }
    }

    fn entries(&self) -> u64 {
        let mut sum = 0;
        let fitting = self.bytes.iter().rev().take_while(|bytes| {
            sum += **bytes;
            sum <= KEPT_BYTES
        });
        let fitting = fitting.count();
        // Where all fit, those from before this flush are small as well.
        if fitting == self.bytes.len() { KEPT_ENTRIES as u64 } else { fitting as u64 }
    }
}
