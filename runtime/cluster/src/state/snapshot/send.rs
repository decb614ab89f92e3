//! Sends snapshots: few at once, at a bounded rate.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shardloom_protocol::envelope::{self, EnvelopeError, Kind};
use shardloom_sharding::ids::{NodeId, ShardId};
use shardloom_sharding::protocol::messages::ShardEpoch;
use shardloom_sharding::protocol::node::Transfer;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::blocking::blocking;
use super::super::db::{Current, StateDb};
use super::super::error::StateError;
use super::super::flusher::StateNews;
use super::super::keys::{Copy, is_meta};
use super::super::limits::{
    SCAN_PAGE_ROWS, SNAPSHOT_PART_BYTES, SNAPSHOT_PART_WAIT, SNAPSHOTS_IN_FLIGHT, SNAPSHOTS_WAITING_MAX,
};
use super::super::meta::ShardMeta;
use super::super::scan::after;
use super::super::unflushed::Unflushed;
use super::part::{PartVerdict, RowDigest, SnapshotPart};
use crate::peers::{PeerError, Peers};
use crate::seals::Seals;

/// Somebody needs a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotRequest {
    /// Who.
    pub(crate) to: NodeId,
    /// Of this shard, under this epoch.
    pub(crate) at: ShardEpoch,
}

/// Sends what is asked for; asked again for what is under way, it goes on.
#[derive(Debug)]
pub(crate) struct SnapshotSender {
    pub(crate) source: SnapshotSource,
    pub(crate) requests: mpsc::Receiver<SnapshotRequest>,
}

/// What snapshots are made from, and where they go.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotSource {
    pub(crate) db: Arc<StateDb>,
    pub(crate) unflushed: Arc<Unflushed>,
    pub(crate) seals: Arc<Seals>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) news: mpsc::Sender<StateNews>,
}

/// Why a snapshot was not sent.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error("the receiver refuses it: {0}")]
    Refused(String),
    #[error("the shard was sealed anew")]
    Sealed,
}

impl SnapshotSender {
    /// Sends until nobody can ask any more.
    ///
    /// # Cancel safety
    ///
    /// Dropped, what is under way ends in the middle; its receiver throws it away.
    pub(crate) async fn run(mut self) {
        let mut known: BTreeSet<(NodeId, ShardId)> = BTreeSet::new();
        let mut waiting: VecDeque<SnapshotRequest> = VecDeque::new();
        let mut sending: JoinSet<SnapshotRequest> = JoinSet::new();
        loop {
            while sending.len() < SNAPSHOTS_IN_FLIGHT
                && let Some(request) = waiting.pop_front()
            {
                let source = self.source.clone();
                sending.spawn(async move {
                    source.tell(request).await;
                    request
                });
            }
            tokio::select! {
                request = self.requests.recv() => {
                    let Some(request) = request else { return };
                    let room = waiting.len() < SNAPSHOTS_WAITING_MAX;
                    if room && known.insert((request.to, request.at.shard)) {
                        waiting.push_back(request);
                    }
                }
                Some(sent) = sending.join_next(), if !sending.is_empty() => match sent {
                    Ok(request) => drop(known.remove(&(request.to, request.at.shard))),
                    // Nobody knows which it was: the protocol asks again for all of them.
                    Err(_) => known.clear(),
                }
            }
        }
    }
}

impl SnapshotSource {
    async fn tell(&self, request: SnapshotRequest) {
        let SnapshotRequest { to, at: ShardEpoch { shard, epoch } } = request;
        let started = Instant::now();
        match self.send(request).await {
            Ok(bytes) => {
                let millis = started.elapsed().as_millis() as u64;
                tracing::info!(%shard, %epoch, %to, bytes, millis, "sent the state of a shard");
            }
            Err(error @ (NotSent::State(_) | NotSent::Refused(_))) => {
                tracing::warn!(%shard, %epoch, %to, %error, "the state of a shard was not sent");
            }
            Err(error) => tracing::debug!(%shard, %epoch, %to, %error, "the state of a shard was not sent"),
        }
    }

    /// Sends one snapshot; how many bytes it took. Entries go on being flushed into what is read: a row is as old as the beginning or newer, and
    /// the receiver, which begins with the meta record of the beginning, goes over the entries in between again.
    async fn send(&self, SnapshotRequest { to, at }: SnapshotRequest) -> Result<usize, NotSent> {
        let current = self.begin(to, at).await;
        let random = getrandom::u64().map_err(|error| StateError::Random(error.to_string()));
        let (transfer, mut digest) = (random?, RowDigest::default());
        let (mut start, mut sent, mut row_bytes) = (Some(Bytes::new()), 0, 0);
        for number in 0.. {
            let Some(from) = start.take() else { break };
            let (db, copy) = (self.db.clone(), current.copy);
            let (rows, next) = blocking(move || read_part(&db, copy, from)).await?;
            // After the reading: no row of a copy is deleted while it is in use.
            if self.seals.of(at.shard) != at.epoch || self.db.current(at.shard).copy != current.copy {
                return Err(NotSent::Sealed);
            }
            digest.take(&rows);
            row_bytes += rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
            let end = next.is_none().then(|| digest.end(current.meta.encode()));
            let part = envelope::encode(Kind::Snapshot, &SnapshotPart { at, transfer, number, rows, end })?;
            sent += part.len();
            self.pace.wait(part.len()).await;
            let answer = self.peers.fetch_bulk(to, part, SNAPSHOT_PART_WAIT).await?;
            let verdict: PartVerdict = envelope::decode(Kind::SnapshotReply, &answer)?;
            verdict.map_err(NotSent::Refused)?;
            self.report(to, at, &current.meta, row_bytes).await;
            start = next;
        }
        Ok(sent)
    }

    /// Says from where on the log is needed, before it may give up anything after that.
    async fn begin(&self, to: NodeId, at: ShardEpoch) -> Current {
        let _hold = self.unflushed.hold(at.shard).await;
        let current = self.db.current(at.shard);
        self.report(to, at, &current.meta, 0).await;
        current
    }

    async fn report(&self, to: NodeId, at: ShardEpoch, meta: &ShardMeta, sent_bytes: u64) {
        let whole_bytes = meta.bytes.values().sum::<u64>().max(sent_bytes);
        let transfer = Transfer { base: meta.applied.position, sent_bytes, whole_bytes };
        // The shell is gone only when the node is ending.
        let _ = self.news.send(StateNews::Sent { to, at, transfer }).await;
    }
}

/// Rows, and where the next part begins.
type Part = (Vec<(Bytes, Bytes)>, Option<Bytes>);

fn read_part(db: &StateDb, copy: Copy, mut start: Bytes) -> Result<Part, StateError> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while bytes < SNAPSHOT_PART_BYTES {
        let page = db.rows(copy, &start, SCAN_PAGE_ROWS)?;
        let last = page.last().map(|(key, _)| after(key));
        let full = page.len() == SCAN_PAGE_ROWS;
        for (key, value) in page.into_iter().filter(|(key, _)| !is_meta(key)) {
            bytes += key.len() + value.len();
            rows.push((key, value));
        }
        match last.filter(|_| full) {
            Some(next) => start = next,
            None => return Ok((rows, None)),
        }
    }
    Ok((rows, Some(start)))
}

/// Bounds the bytes that all snapshots together send in a second.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: AtomicU64,
    next: Mutex<Instant>,
}

impl Pace {
    /// So many bytes a second, and one at least.
    pub(crate) fn new(bytes_per_second: u64) -> Pace {
        Pace { bytes_per_second: AtomicU64::new(bytes_per_second.max(1)), next: Mutex::new(Instant::now()) }
    }

    /// So many bytes a second from now on.
    pub(crate) fn set(&self, bytes_per_second: u64) {
        self.bytes_per_second.store(bytes_per_second.max(1), Ordering::Relaxed);
    }

    /// Waits until so many bytes may be sent.
    async fn wait(&self, bytes: usize) {
        let start = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let start = (*next).max(Instant::now());
            let rate = self.bytes_per_second.load(Ordering::Relaxed);
            *next = start + Duration::from_secs_f64(bytes as f64 / rate as f64);
            start
        };
        tokio::time::sleep_until(start.into()).await;
    }
}
