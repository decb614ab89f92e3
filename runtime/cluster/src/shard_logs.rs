//! The shard logs and seals in the node's write-ahead log.
//!
//! ```text
//! entry of a shard log, at the log's index = position:
//!  0     1         2      3            11
//! +-----+---------+------+------------+----------------+
//! | 'E' | version | kind | stamp: u64 | batch (kind 1) |     kind 0: barrier, 1: batch
//! +-----+---------+------+------------+----------------+
//!
//! block of seals, register SEALS + shard / 64:
//!  0     1         2
//! +-----+---------+-------------------------------+
//! | 'B' | version | 64 x epoch: u64, 0: no seal   |
//! +-----+---------+-------------------------------+
//! ```
//!
//! Integers are little-endian. Seals are kept in blocks because one proposal may seal every shard of the cluster at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use shardloom_sharding::ids::{Epoch, Position, ShardId, Tail};
use shardloom_sharding::protocol::log::LogIndex;
use shardloom_sharding::protocol::messages::{Body, Entry};
use shardloom_sharding::protocol::record::{Record as CoreRecord, StoredShard};
use shardloom_store::{LogId, Record, Wal, WalError};

use crate::slots;

const ENTRY_MAGIC: u8 = b'E';
const BLOCK_MAGIC: u8 = b'B';
const VERSION: u8 = 1;
const KIND_BARRIER: u8 = 0;
const KIND_BATCH: u8 = 1;
const ENTRY_HEADER_BYTES: usize = 11;
const BLOCK_HEADER_BYTES: usize = 2;
const BLOCK_SHARDS: usize = 64;
/// Bytes that one read of a log returns at most.
const READ_BYTES_MAX: usize = 1 << 20;

/// Why a shard log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ShardLogError {
    /// The write-ahead log fails.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// What is stored is no entry of a shard log or no block of seals.
    #[error("{what} of shard {shard} is not in a format that this build reads (up to {VERSION})")]
    Unreadable {
        /// What was read.
        what: &'static str,
        /// Whose.
        shard: ShardId,
    },
}

/// The shard logs of this node.
#[derive(Debug)]
pub struct ShardLogs {
    wal: Wal,
    seals: Vec<Epoch>,
    /// The last position of each log that has been submitted; a log that is not here is empty and new.
    last: BTreeMap<ShardId, Position>,
}

impl ShardLogs {
    /// Reads the seals and the stamps of every log. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// Something stored cannot be read.
    pub fn open(wal: Wal, shard_count: u32) -> Result<(ShardLogs, Vec<StoredShard>), ShardLogError> {
        let seals = read_seals(&wal, shard_count)?;
        let mut logs = ShardLogs { wal, seals, last: BTreeMap::new() };
        let mut stored = Vec::new();
        for shard in (0..shard_count).map(ShardId) {
            let log = logs.read_index(shard)?;
            let seal = logs.seals[shard.index()];
            if seal != Epoch(0) || log.is_some() {
                let log = log.unwrap_or_default();
                // Until shards have state, nothing of a log is applied anywhere.
                stored.push(StoredShard { shard, seal, applied: log.base().position, log });
            }
        }
        Ok((logs, stored))
    }

    fn read_index(&mut self, shard: ShardId) -> Result<Option<LogIndex>, ShardLogError> {
        let id = LogId::shard(shard);
        let (Some(first), Some(last)) = (self.wal.first_index(id), self.wal.last_index(id)) else {
            return Ok(None);
        };
        let mut index = LogIndex::default();
        for entry in self.read(shard, Position(first), Position(last))? {
            index.push(entry.stamp);
        }
        self.last.insert(shard, Position(last));
        Ok(Some(index))
    }

    /// Entries `first..=last` of a log, submitted ones included.
    ///
    /// # Errors
    ///
    /// The write-ahead log fails, or an entry cannot be read.
    pub fn read(&self, shard: ShardId, first: Position, last: Position) -> Result<Vec<Entry>, ShardLogError> {
        let mut entries = Vec::new();
        let mut next = first.0;
        while next <= last.0 {
            let found = self.wal.read(LogId::shard(shard), next..last.0 + 1, READ_BYTES_MAX)?;
            let Some((index, _)) = found.last() else { break };
            next = index + 1;
            for (_, bytes) in &found {
                let entry = decode_entry(bytes);
                entries.push(entry.ok_or(ShardLogError::Unreadable { what: "an entry", shard })?);
            }
        }
        Ok(entries)
    }

    /// Turns the core's records into those of the write-ahead log, in the same order. To be submitted at once: the next call builds on it.
    pub fn translate(&mut self, records: Vec<CoreRecord>) -> Vec<Record> {
        let mut out = Vec::new();
        for record in records {
            match record {
                CoreRecord::Seal { epoch, shards } => self.seal(epoch, &shards, &mut out),
                CoreRecord::Append { shard, previous, entries } => {
                    self.append(shard, previous, &entries, &mut out);
                }
                CoreRecord::Truncate { shard, base } => {
                    out.push(Record::Purge { log: LogId::shard(shard), upto: base.position.0 });
                }
                CoreRecord::Snapshot { shard, base, .. } => {
                    // A shard without state has nothing in its snapshot but the place where its log goes on.
                    self.last.insert(shard, base.position);
                    out.push(Record::Drop { log: LogId::shard(shard) });
                    out.push(Record::Purge { log: LogId::shard(shard), upto: base.position.0 });
                }
                CoreRecord::Drop { shard } => {
                    if self.last.remove(&shard).is_some() {
                        out.push(Record::Drop { log: LogId::shard(shard) });
                    }
                }
            }
        }
        out
    }

    fn seal(&mut self, epoch: Epoch, shards: &[ShardId], out: &mut Vec<Record>) {
        let mut blocks = BTreeSet::new();
        for shard in shards {
            self.seals[shard.index()] = epoch;
            blocks.insert(shard.index() / BLOCK_SHARDS);
        }
        for block in blocks {
            let start = block * BLOCK_SHARDS;
            let rows = &self.seals[start..self.seals.len().min(start + BLOCK_SHARDS)];
            let mut value = BytesMut::with_capacity(BLOCK_HEADER_BYTES + 8 * BLOCK_SHARDS);
            value.put_slice(&[BLOCK_MAGIC, VERSION]);
            rows.iter().for_each(|epoch| value.put_u64_le(epoch.0));
            out.push(Record::Set { slot: slots::SEALS + block as u64, value: value.freeze() });
        }
    }

    fn append(&mut self, shard: ShardId, previous: Tail, entries: &[Entry], out: &mut Vec<Record>) {
        let log = LogId::shard(shard);
        let mut position = previous.position;
        if self.last.get(&shard).is_some_and(|last| *last > position) {
            out.push(Record::Truncate { log, from: position.0 + 1 });
        }
        for entry in entries {
            position = position.next();
            out.push(Record::Append { log, index: position.0, payload: encode_entry(entry) });
        }
        self.last.insert(shard, position);
    }
}

fn encode_entry(entry: &Entry) -> Bytes {
    let batch: &[u8] = match &entry.body {
        Body::Barrier => &[],
        Body::Batch(batch) => batch,
    };
    let kind = if matches!(entry.body, Body::Barrier) { KIND_BARRIER } else { KIND_BATCH };
    let mut bytes = BytesMut::with_capacity(ENTRY_HEADER_BYTES + batch.len());
    bytes.put_slice(&[ENTRY_MAGIC, VERSION, kind]);
    bytes.put_u64_le(entry.stamp.0);
    bytes.put_slice(batch);
    bytes.freeze()
}

fn decode_entry(bytes: &[u8]) -> Option<Entry> {
    let (header, batch) = bytes.split_at_checked(ENTRY_HEADER_BYTES)?;
    let body = match header[..3] {
        [ENTRY_MAGIC, VERSION, KIND_BARRIER] if batch.is_empty() => Body::Barrier,
        [ENTRY_MAGIC, VERSION, KIND_BATCH] => Body::Batch(Arc::from(batch)),
        _ => return None,
    };
    Some(Entry { stamp: Epoch(u64::from_le_bytes(header[3..].try_into().ok()?)), body })
}

fn read_seals(wal: &Wal, shard_count: u32) -> Result<Vec<Epoch>, ShardLogError> {
    let mut seals = vec![Epoch(0); shard_count as usize];
    for (block, rows) in seals.chunks_mut(BLOCK_SHARDS).enumerate() {
        let Some(bytes) = wal.register(slots::SEALS + block as u64) else { continue };
        let shard = ShardId((block * BLOCK_SHARDS) as u32);
        let unreadable = || ShardLogError::Unreadable { what: "the block of seals", shard };
        let (header, body) = bytes.split_at_checked(BLOCK_HEADER_BYTES).ok_or_else(unreadable)?;
        if header != [BLOCK_MAGIC, VERSION] || body.len() != rows.len() * 8 {
            return Err(unreadable());
        }
        for (row, bytes) in rows.iter_mut().zip(body.chunks_exact(8)) {
            *row = Epoch(u64::from_le_bytes(bytes.try_into().map_err(|_| unreadable())?));
        }
    }
    Ok(seals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_pinned_byte_by_byte_and_read_back() {
        let barrier = Entry { stamp: Epoch(0x0102), body: Body::Barrier };
        assert_eq!(&encode_entry(&barrier)[..], b"E\x01\x00\x02\x01\0\0\0\0\0\0");
        let batch = Entry { stamp: Epoch(3), body: Body::Batch(Arc::from(&b"xy"[..])) };
        assert_eq!(&encode_entry(&batch)[..], b"E\x01\x01\x03\0\0\0\0\0\0\0xy");
        for entry in [barrier, batch] {
            assert_eq!(decode_entry(&encode_entry(&entry)), Some(entry));
        }
        for bad in [&b""[..], b"E\x01\x00", b"E\x02\x00\x02\x01\0\0\0\0\0\0", b"E\x01\x00\x02\x01\0\0\0\0\0\0x"] {
            assert_eq!(decode_entry(bad), None);
        }
    }
}
