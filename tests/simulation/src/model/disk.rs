//! The disk of one node, as far as one shard goes.

use shardloom_sharding::ids::{Epoch, Position, ShardId, Tail};
use shardloom_sharding::protocol::log::LogIndex;
use shardloom_sharding::protocol::messages::{Body, Entry};
use shardloom_sharding::protocol::record::{Record, SnapshotId, StoredShard, WriteSeq};

/// The only shard.
pub(super) const SHARD: ShardId = ShardId(0);

/// An entry without its wrapping: stamp, and value (0 is a barrier).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cell {
    pub(super) stamp: u8,
    pub(super) value: u8,
}

impl Cell {
    pub(super) fn of(entry: &Entry) -> Cell {
        let value = match &entry.body {
            Body::Barrier => 0,
            Body::Batch(bytes) => bytes[0],
        };
        Cell { stamp: entry.stamp.0 as u8, value }
    }

    pub(super) fn entry(self) -> Entry {
        let body = match self.value {
            0 => Body::Barrier,
            value => Body::Batch([value].as_slice().into()),
        };
        Entry { stamp: Epoch(u64::from(self.stamp)), body }
    }
}

/// What a disk holds: the state up to the base, then the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Content {
    pub(super) seal: Epoch,
    pub(super) base: Tail,
    /// Everything from the first position on: what the state holds up to the base, and the log after it. A log that was cut to
    /// before its base, which no rule allows, shows as missing cells.
    pub(super) cells: Vec<Cell>,
}

/// Something that waits for a sync.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Queued {
    Seal(Epoch),
    Append(Position, Vec<Cell>),
    Install(Tail, Vec<Cell>),
    Truncate(Tail),
    Drop,
}

impl Content {
    fn take(&mut self, queued: &Queued) {
        match queued {
            Queued::Seal(epoch) => self.seal = *epoch,
            Queued::Append(previous, cells) => {
                self.cells.truncate(previous.0 as usize);
                self.cells.extend(cells);
            }
            Queued::Install(base, cells) => {
                self.base = *base;
                self.cells.clone_from(cells);
            }
            Queued::Truncate(base) => self.base = *base,
            Queued::Drop => {
                self.base = Tail::default();
                self.cells.clear();
            }
        }
    }
}

/// One node's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Disk {
    /// With what waits for a sync.
    pub(super) newest: Content,
    pub(super) durable: Content,
    pub(super) queue: Vec<Queued>,
    pub(super) seq: u64,
}

impl Disk {
    /// The number of the next write.
    pub(super) fn next(&self) -> WriteSeq {
        WriteSeq(self.seq + 1)
    }

    pub(super) fn write(&mut self, record: &Record, snapshot: impl Fn(SnapshotId) -> Vec<Cell>) {
        let queued = match record {
            Record::Seal { epoch, .. } => Queued::Seal(*epoch),
            Record::Append { previous, entries, .. } => {
                Queued::Append(previous.position, entries.iter().map(Cell::of).collect())
            }
            Record::Snapshot { base, snapshot: id, .. } => Queued::Install(*base, snapshot(*id)),
            Record::Truncate { base, .. } => Queued::Truncate(*base),
            Record::Drop { .. } => Queued::Drop,
        };
        self.newest.take(&queued);
        self.queue.push(queued);
    }

    /// Everything becomes durable; returns the newest write.
    pub(super) fn sync(&mut self) -> WriteSeq {
        for queued in std::mem::take(&mut self.queue) {
            self.durable.take(&queued);
        }
        WriteSeq(std::mem::take(&mut self.seq))
    }

    /// The power goes; of the queue, so many have reached the disk.
    pub(super) fn crash(&mut self, kept: usize) {
        for queued in self.queue.drain(..).take(kept) {
            self.durable.take(&queued);
        }
        self.seq = 0;
        self.newest.clone_from(&self.durable);
    }

    /// What a node finds when it starts.
    pub(super) fn stored(&self) -> StoredShard {
        let Content { seal, base, cells } = &self.durable;
        let mut log = LogIndex::starting_after(*base);
        for cell in cells.iter().skip(base.position.0 as usize) {
            log.push(Epoch(u64::from(cell.stamp)));
        }
        StoredShard { shard: SHARD, seal: *seal, log, applied: base.position }
    }
}
