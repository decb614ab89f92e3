//! The shard logs and seals in the node's write-ahead log.

use std::collections::BTreeMap;
use std::sync::Arc;

use shardloom_sharding::ids::{Epoch, Position, ShardId, Tail};
use shardloom_sharding::protocol::log::LogIndex;
use shardloom_sharding::protocol::messages::Entry;
use shardloom_sharding::protocol::record::{Record as CoreRecord, StoredShard};
use shardloom_store::{LogId, Record, Wal};

use crate::log_entries::{self, LogReader, LoggedEntry, ShardLogError};
use crate::seals::Seals;
use crate::state::{Copy, StateDb, StateError, Unflushed};

/// Bytes that one read of a log returns at most.
const READ_BYTES_MAX: usize = 1 << 20;
/// Bytes in one submission to the write-ahead log, beyond one record of the core.
const SUBMIT_BYTES_MAX: usize = 1 << 20;
/// What a record takes beside its payload, about, in bytes.
const RECORD_BYTES: usize = 64;

/// The shard logs of this node.
#[derive(Debug)]
pub struct ShardLogs {
    wal: Wal,
    reader: LogReader,
    seals: Arc<Seals>,
    /// The last position of each log that has been submitted; a log that is not here is empty and new.
    last: BTreeMap<ShardId, Position>,
    state: Arc<StateDb>,
    unflushed: Arc<Unflushed>,
    /// Copies of states that nobody uses once what was translated last is durable.
    garbage: Vec<Copy>,
}

impl ShardLogs {
    /// Reads the stamps of every log. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// Something stored cannot be read.
    pub(crate) fn open(
        wal: Wal,
        seals: Arc<Seals>,
        state: Arc<StateDb>,
        unflushed: Arc<Unflushed>,
    ) -> Result<(ShardLogs, Vec<StoredShard>), ShardLogError> {
        let reader = LogReader::new(wal.clone());
        let (last, garbage) = (BTreeMap::new(), Vec::new());
        let mut logs = ShardLogs { wal, reader, seals, last, state, unflushed, garbage };
        let mut stored = Vec::new();
        for shard in logs.seals.shards() {
            let applied = logs.state.current(shard).meta.applied;
            let log = logs.read_index(shard, applied)?;
            let seal = logs.seals.of(shard);
            if seal != Epoch(0) || log.is_some() {
                let log = log.unwrap_or_default();
                stored.push(StoredShard { shard, seal, log, applied: applied.position });
            }
        }
        Ok((logs, stored))
    }

    /// The stamps of a log; what it has given up begins with an entry whose stamp is known: its first, or else the last that the state holds.
    fn read_index(&mut self, shard: ShardId, applied: Tail) -> Result<Option<LogIndex>, ShardLogError> {
        let id = LogId::shard(shard);
        let Some(last) = self.wal.last_index(id) else { return Ok(None) };
        self.last.insert(shard, Position(last));
        let purged = self.wal.purged_index(id).unwrap_or(0);
        let entries = match self.wal.first_index(id) {
            Some(first) => self.read(shard, Position(first), Position(last))?,
            None => Vec::new(),
        };
        let mut entries = entries.into_iter().map(|entry| entry.at);
        let mut index = if purged == 0 {
            LogIndex::default()
        } else if applied.position.0 > purged {
            LogIndex::starting_after(entries.next().unwrap_or(applied))
        } else {
            LogIndex::starting_after(applied)
        };
        for entry in entries {
            index.push(entry.stamp);
        }
        Ok(Some(index))
    }

    /// Entries `first..=last` of a log, submitted ones included.
    ///
    /// # Errors
    ///
    /// The write-ahead log fails, or an entry cannot be read.
    fn read(
        &self,
        shard: ShardId,
        first: Position,
        last: Position,
    ) -> Result<Vec<LoggedEntry>, ShardLogError> {
        let (mut entries, mut next) = (Vec::new(), first);
        while next <= last {
            let mut found = self.reader.read(shard, next, last, READ_BYTES_MAX)?;
            let Some(end) = found.last() else { break };
            next = end.at.position.next();
            entries.append(&mut found);
        }
        Ok(entries)
    }

    /// Entries from `first` on up to `last`, but no more than `bytes_max` of them, and one at least: what one message carries.
    ///
    /// # Errors
    ///
    /// The write-ahead log fails, or an entry cannot be read.
    pub(crate) fn read_some(
        &self,
        shard: ShardId,
        first: Position,
        last: Position,
        bytes_max: usize,
    ) -> Result<Vec<LoggedEntry>, ShardLogError> {
        if first > last { Ok(Vec::new()) } else { self.reader.read(shard, first, last, bytes_max) }
    }

    /// Turns the core's records into submissions to the write-ahead log, in the same order; each is bounded. To be submitted at once: the next
    /// call builds on it.
    ///
    /// # Errors
    ///
    /// The core installs a snapshot that has not arrived.
    pub(crate) fn translate(&mut self, records: Vec<CoreRecord>) -> Result<Vec<Vec<Record>>, StateError> {
        let (mut submissions, mut out, mut bytes) = (Vec::new(), Vec::new(), 0);
        for record in records {
            let from = out.len();
            match record {
                CoreRecord::Seal { epoch, shards } => self.seals.seal(epoch, &shards, &mut out),
                CoreRecord::Append { shard, previous, entries } => {
                    self.append(shard, previous, &entries, &mut out);
                }
                CoreRecord::Truncate { shard, base } => {
                    out.push(Record::Purge { log: LogId::shard(shard), upto: base.position.0 });
                }
                CoreRecord::Snapshot { shard, base, snapshot } => {
                    self.unflushed.replaced(shard);
                    let (generation, old) = self.state.install(Copy::of(snapshot))?;
                    self.garbage.push(old);
                    self.last.insert(shard, base.position);
                    out.push(generation.record(shard));
                    out.push(Record::Drop { log: LogId::shard(shard) });
                    out.push(Record::Purge { log: LogId::shard(shard), upto: base.position.0 });
                }
                CoreRecord::Drop { shard } => {
                    if self.last.remove(&shard).is_some() {
                        self.unflushed.replaced(shard);
                        let (generation, old) = self.state.give_up(shard);
                        self.garbage.push(old);
                        out.push(generation.record(shard));
                        out.push(Record::Drop { log: LogId::shard(shard) });
                    }
                }
            }
            bytes += out[from..].iter().map(record_bytes).sum::<usize>();
            if bytes >= SUBMIT_BYTES_MAX {
                submissions.push(std::mem::take(&mut out));
                bytes = 0;
            }
        }
        submissions.push(out);
        submissions.retain(|records| !records.is_empty());
        Ok(submissions)
    }

    /// What was translated is submitted: the rows of states that it puts out of use may go once it is durable.
    pub(crate) fn submitted(&mut self) {
        if !self.garbage.is_empty() {
            self.unflushed.delete(self.garbage.drain(..));
        }
    }

    fn append(&mut self, shard: ShardId, previous: Tail, entries: &[Entry], out: &mut Vec<Record>) {
        let log = LogId::shard(shard);
        let mut position = previous.position;
        if self.last.get(&shard).is_some_and(|last| *last > position) {
            out.push(Record::Truncate { log, from: position.0 + 1 });
        }
        let mut bytes = 0;
        for entry in entries {
            position = position.next();
            let payload = log_entries::encode(entry);
            bytes += payload.len();
            out.push(Record::Append { log, index: position.0, payload });
        }
        self.last.insert(shard, position);
        self.unflushed.logged(shard, bytes as u64);
    }
}

fn record_bytes(record: &Record) -> usize {
    let payload = match record {
        Record::Append { payload, .. } => payload.len(),
        Record::Set { value, .. } => value.len(),
        _ => 0,
    };
    RECORD_BYTES + payload
}
