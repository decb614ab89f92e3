//! A disk that loses what was not synced: it keeps what the records say, first in memory, and for good only after a sync.

use std::collections::VecDeque;
use std::sync::Arc;

use shardloom_sharding::ids::{Epoch, Position, ShardId, Tail};
use shardloom_sharding::protocol::log::LogIndex;
use shardloom_sharding::protocol::messages::{Body, Entry};
use shardloom_sharding::protocol::record::{Record, SnapshotId, StoredShard, WriteSeq};

/// The number of a write; none for a barrier.
pub(super) type Value = Option<u64>;

/// The state of a shard: what stood at each position, from the first on.
pub(super) type State = Arc<Vec<Value>>;

/// A snapshot in its side tree.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// The last entry that it holds.
    pub(super) base: Tail,
    /// The state.
    pub(super) state: State,
}

/// What a disk holds of one shard.
#[derive(Clone, Debug, Default)]
pub(super) struct DiskShard {
    /// The seal.
    pub(super) seal: Epoch,
    /// The last entry that the log no longer holds.
    pub(super) base: Tail,
    /// The entries after it.
    pub(super) log: Vec<Entry>,
    /// The state, up to `state.len()`.
    pub(super) state: State,
}

/// The value in an entry.
pub(super) fn value(entry: &Entry) -> Value {
    match &entry.body {
        Body::Barrier => None,
        Body::Batch(bytes) => bytes.as_ref().try_into().ok().map(u64::from_le_bytes),
    }
}

impl DiskShard {
    /// Where the log ends.
    pub(super) fn last(&self) -> Position {
        Position(self.base.position.0 + self.log.len() as u64)
    }

    /// The entries after `previous` up to `last`.
    pub(super) fn read(&self, previous: Position, last: Position) -> Vec<Entry> {
        let from = (previous.0 - self.base.position.0) as usize;
        let upto = (last.0 - self.base.position.0) as usize;
        self.log[from..upto].to_vec()
    }

    /// The stamp at a position that the log or its base has.
    fn tail_at(&self, position: Position) -> Tail {
        match position.0.checked_sub(self.base.position.0) {
            Some(0) | None => self.base,
            Some(n) => Tail { stamp: self.log[n as usize - 1].stamp, position },
        }
    }

    /// Everything that a guest on this log sees: the state, and the log beyond it.
    pub(super) fn seen(&self) -> Vec<Value> {
        let mut seen: Vec<Value> = self.state.to_vec();
        let skip = (seen.len() as u64).saturating_sub(self.base.position.0) as usize;
        seen.extend(self.log.iter().skip(skip).map(value));
        seen
    }

    fn write(&mut self, record: &Record, snapshot: impl Fn(SnapshotId) -> Option<Snapshot>) {
        match record {
            Record::Seal { epoch, .. } => self.seal = *epoch,
            Record::Append { previous, entries, .. } => {
                self.log.truncate(previous.position.0.saturating_sub(self.base.position.0) as usize);
                self.log.extend(entries.iter().cloned());
            }
            Record::Snapshot { base, snapshot: id, .. } => {
                if let Some(snapshot) = snapshot(*id) {
                    self.base = *base;
                    self.log.clear();
                    self.state = snapshot.state;
                }
            }
            Record::Truncate { base, .. } => {
                let gone = base.position.0.saturating_sub(self.base.position.0) as usize;
                self.log.drain(..gone.min(self.log.len()));
                self.base = *base;
            }
            Record::Drop { .. } => {
                let seal = self.seal;
                *self = DiskShard { seal, ..DiskShard::default() };
            }
        }
    }
}

/// One node's disk.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    /// What is written, synced or not.
    pub(super) shards: Vec<DiskShard>,
    durable: Vec<DiskShard>,
    queue: VecDeque<(WriteSeq, Record)>,
    snapshots: Vec<Snapshot>,
}

impl Disk {
    /// An empty disk.
    pub(super) fn new(shard_count: u32) -> Disk {
        let shards = vec![DiskShard::default(); shard_count as usize];
        Disk { durable: shards.clone(), shards, queue: VecDeque::new(), snapshots: Vec::new() }
    }

    /// Keeps a snapshot in a side tree.
    pub(super) fn keep(&mut self, snapshot: Snapshot) -> SnapshotId {
        self.snapshots.push(snapshot);
        SnapshotId(self.snapshots.len() as u64 - 1)
    }

    /// Queues a record of a write.
    pub(super) fn write(&mut self, seq: WriteSeq, record: Record) {
        apply(&mut self.shards, &self.snapshots, &record);
        self.queue.push_back((seq, record));
    }

    /// The newest write that waits for a sync.
    pub(super) fn newest(&self) -> Option<WriteSeq> {
        self.queue.back().map(|(seq, _)| *seq)
    }

    /// Makes everything up to a write durable.
    pub(super) fn sync(&mut self, upto: WriteSeq) {
        while let Some((_, record)) = self.queue.pop_front_if(|(seq, _)| *seq <= upto) {
            apply(&mut self.durable, &self.snapshots, &record);
        }
    }

    /// Lets the state take the log up to here.
    pub(super) fn apply(&mut self, shard: ShardId, upto: Position) {
        let shard = &mut self.shards[shard.index()];
        let have = shard.state.len() as u64;
        let entries = shard.read(Position(have), upto);
        Arc::make_mut(&mut shard.state).extend(entries.iter().map(value));
    }

    /// Makes the state of a shard durable; returns up to where the log may be given up. Waits for queued records of the shard.
    pub(super) fn checkpoint(&mut self, shard: ShardId) -> Position {
        let queued = |record: &Record| match record {
            Record::Seal { .. } => false,
            Record::Append { shard: of, .. }
            | Record::Snapshot { shard: of, .. }
            | Record::Truncate { shard: of, .. }
            | Record::Drop { shard: of } => *of == shard,
        };
        if self.queue.iter().any(|(_, record)| queued(record)) {
            return Position(0);
        }
        let state = self.shards[shard.index()].state.clone();
        let upto = Position(state.len() as u64);
        self.durable[shard.index()].state = state;
        upto
    }

    /// The power goes: of the queue, the first `kept` records have reached the disk.
    pub(super) fn crash(&mut self, kept: usize) {
        for (_, record) in self.queue.drain(..).take(kept) {
            apply(&mut self.durable, &self.snapshots, &record);
        }
        self.shards.clone_from(&self.durable);
    }

    /// How many records wait for a sync.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// What a node finds when it starts.
    pub(super) fn stored(&self) -> Vec<StoredShard> {
        let stored = |(shard, disk): (usize, &DiskShard)| {
            let mut log = LogIndex::starting_after(disk.base);
            disk.log.iter().for_each(|entry| {
                log.push(entry.stamp);
            });
            let applied = Position(disk.state.len() as u64);
            StoredShard { shard: ShardId(shard as u32), seal: disk.seal, log, applied }
        };
        self.durable.iter().enumerate().map(stored).collect()
    }

    /// A snapshot of a shard's state.
    pub(super) fn snapshot(&self, shard: ShardId) -> Snapshot {
        let shard = &self.shards[shard.index()];
        let base = shard.tail_at(Position(shard.state.len() as u64));
        Snapshot { base, state: shard.state.clone() }
    }
}

fn apply(shards: &mut [DiskShard], snapshots: &[Snapshot], record: &Record) {
    let find = |id: SnapshotId| snapshots.get(id.0 as usize).cloned();
    match record {
        Record::Seal { shards: sealed, .. } => {
            sealed.iter().for_each(|shard| shards[shard.index()].write(record, find));
        }
        Record::Append { shard, .. }
        | Record::Snapshot { shard, .. }
        | Record::Truncate { shard, .. }
        | Record::Drop { shard } => shards[shard.index()].write(record, find),
    }
}
