//! Takes snapshots in: each into a copy of its own, which the protocol puts into use, or not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shardloom_protocol::envelope::{self, EnvelopeError, Kind};
use shardloom_sharding::ids::{NodeId, ShardId};
use shardloom_sharding::protocol::messages::ShardEpoch;
use shardloom_store::{Record, Wal};
use tokio::sync::mpsc;

use super::super::blocking::blocking;
use super::super::db::StateDb;
use super::super::flusher::StateNews;
use super::super::keys::Copy;
use super::super::limits::{ARRIVALS_MAX, ARRIVED_UNSYNCED_BYTES_MAX};
use super::super::meta::ShardMeta;
use super::super::unflushed::Unflushed;
use super::part::{PartVerdict, RowDigest, SnapshotEnd, SnapshotPart};
use crate::slots;

/// A snapshot of which nothing has come for so long is given up: its sender waits for no part longer than half of that.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A copy that a snapshot goes into; its rows are deleted when it is dropped before it is whole.
#[derive(Debug)]
struct SideCopy {
    copy: Copy,
    unflushed: Option<Arc<Unflushed>>,
}

impl Drop for SideCopy {
    fn drop(&mut self) {
        if let Some(unflushed) = self.unflushed.take() {
            unflushed.delete([self.copy]);
        }
    }
}

#[derive(Debug)]
struct Arrival {
    from: NodeId,
    at: ShardEpoch,
    transfer: u64,
    /// The part that comes next.
    next: u32,
    digest: RowDigest,
    heard: Instant,
    /// Bytes that have come since the database was last made durable for it.
    unsynced_bytes: usize,
    side: SideCopy,
}

/// The snapshots that are arriving.
#[derive(Debug)]
pub(crate) struct Arrivals {
    pub(crate) db: Arc<StateDb>,
    pub(crate) wal: Wal,
    pub(crate) unflushed: Arc<Unflushed>,
    pub(crate) news: mpsc::Sender<StateNews>,
    arriving: Mutex<BTreeMap<ShardId, Arrival>>,
}

impl Arrivals {
    /// Nothing is arriving yet.
    pub(crate) fn new(
        db: Arc<StateDb>,
        wal: Wal,
        unflushed: Arc<Unflushed>,
        news: mpsc::Sender<StateNews>,
    ) -> Arrivals {
        Arrivals { db, wal, unflushed, news, arriving: Mutex::default() }
    }

    fn arriving(&self) -> MutexGuard<'_, BTreeMap<ShardId, Arrival>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a part in, and says so.
    ///
    /// # Errors
    ///
    /// The bytes are no part of a snapshot.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the end, the snapshot is thrown away.
    pub(crate) async fn answer(&self, from: NodeId, body: &Bytes) -> Result<Bytes, EnvelopeError> {
        let part: SnapshotPart = envelope::decode(Kind::Snapshot, body)?;
        let verdict: PartVerdict = self.take(from, part).await;
        envelope::encode(Kind::SnapshotReply, &verdict)
    }

    async fn take(&self, from: NodeId, part: SnapshotPart) -> PartVerdict {
        // Out of the table meanwhile: no other part of it is taken in at the same time.
        let mut arrival = self.find(from, &part)?;
        arrival.digest.take(&part.rows);
        arrival.unsynced_bytes += part.rows.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        let sync = arrival.unsynced_bytes >= ARRIVED_UNSYNCED_BYTES_MAX;
        if sync {
            arrival.unsynced_bytes = 0;
        }
        let (db, copy, rows) = (self.db.clone(), arrival.side.copy, part.rows);
        let taken = blocking(move || {
            db.take_in(copy, rows)?;
            if sync { db.checkpoint().map(drop) } else { Ok(()) }
        });
        taken.await.map_err(|error| error.to_string())?;
        match part.end {
            Some(end) => self.end(arrival, end).await,
            None => {
                arrival.next += 1;
                arrival.heard = Instant::now();
                self.arriving().insert(part.at.shard, arrival);
                Ok(())
            }
        }
    }

    fn find(&self, from: NodeId, part: &SnapshotPart) -> Result<Arrival, String> {
        let mut arriving = self.arriving();
        let old = arriving.remove(&part.at.shard);
        if part.number > 0 {
            let next = |arrival: &Arrival| {
                (arrival.from, arrival.at, arrival.transfer, arrival.next)
                    == (from, part.at, part.transfer, part.number)
            };
            return old.filter(next).ok_or_else(|| "another part was to come".to_owned());
        }
        arriving.retain(|_, arrival| arrival.heard.elapsed() < SILENCE_MAX);
        if arriving.len() >= ARRIVALS_MAX {
            return Err("too many snapshots are arriving".to_owned());
        }
        if self.db.space().is_full() {
            return Err("the disk of the receiver is full: it takes on no replica".to_owned());
        }
        let copy = self.db.side_copy(part.at.shard);
        Ok(Arrival {
            from,
            at: part.at,
            transfer: part.transfer,
            next: 0,
            digest: RowDigest::default(),
            heard: Instant::now(),
            unsynced_bytes: 0,
            side: SideCopy { copy, unflushed: Some(self.unflushed.clone()) },
        })
    }

    async fn end(&self, mut arrival: Arrival, end: SnapshotEnd) -> PartVerdict {
        let meta = ShardMeta::decode(&end.meta).filter(|_| arrival.digest.is(&end));
        let meta = meta.ok_or_else(|| "what came is not what was sent".to_owned())?;
        let (db, copy, base) = (self.db.clone(), arrival.side.copy, meta.applied);
        let checkpoints = blocking(move || db.arrived(copy, meta)).await;
        let value = checkpoints.map_err(|error| error.to_string())?.to_le_bytes();
        let record = Record::Set { slot: slots::STATE_CHECKPOINTS, value: Bytes::copy_from_slice(&value) };
        self.wal.submit(vec![record]).await.map_err(|error| error.to_string())?;
        // From here on the protocol says what becomes of it.
        arrival.side.unflushed = None;
        let news = StateNews::Arrived { from: arrival.from, at: arrival.at, base, snapshot: copy.snapshot() };
        self.news.send(news).await.map_err(|_| "the node is ending".to_owned())
    }
}
