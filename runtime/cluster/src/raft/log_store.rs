//! The control log and the votes, in the node's write-ahead log.
//!
//! ```text
//! entry:  'S' 'L' 'c' 'e'  version:u8  postcard(openraft entry)
//! vote, committed, purged:  'S' 'L' 'c' 'r'  version:u8  postcard(value)
//! ```
//!
//! The version of an entry is one above the level of formats that it needs, so that a build that is too old for it says so. Registers stay at 2.
//!
//! openraft counts entries from 0, logs of the write-ahead log from 1: an entry stands one place further there.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{AnyError, EntryPayload, OptionalSend, RaftLogReader, StorageError, StorageIOError, Vote};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shardloom_sharding::ids::NodeId;
use shardloom_store::{LogId as WalLog, Record, Wal};
use tokio::task::JoinSet;

use super::config::{Entry, LogId, TypeConfig};
use crate::formats::{LEVEL, LEVEL_MIN, Level, NewerBuild, Outdated};
use crate::slots;

const ENTRY_MAGIC: [u8; 4] = *b"SLce";
const REGISTER_MAGIC: [u8; 4] = *b"SLcr";
/// The version of level 1.
const VERSION: u8 = 2;
/// Bytes of entries that one read returns at most; more come with the next read.
const READ_BYTES_MAX: usize = 4 << 20;

/// Where openraft's entry `index` stands in the write-ahead log.
fn place(index: u64) -> u64 {
    index.saturating_add(1)
}

/// openraft's view of the write-ahead log.
#[derive(Debug)]
pub struct LogStore {
    wal: Wal,
    outdated: Arc<Outdated>,
    /// Waits for flushes, to tell openraft; ended with the store.
    flushes: JoinSet<()>,
}

impl LogStore {
    /// Keeps the control log in `wal`. Entries of a newer build are told to `outdated`.
    pub fn new(wal: Wal, outdated: Arc<Outdated>) -> LogStore {
        LogStore { wal, outdated, flushes: JoinSet::new() }
    }

    fn reader(&self) -> LogReader {
        LogReader { wal: self.wal.clone(), outdated: self.outdated.clone() }
    }

    fn register<T: DeserializeOwned>(&self, slot: u64) -> Storage<Option<T>> {
        let value = self.wal.register(slot).map(|bytes| decode(REGISTER_MAGIC, &bytes)).transpose();
        value.map_err(read_error)
    }

    async fn set<T: Serialize>(&self, slot: u64, value: &T) -> Storage<shardloom_store::Ticket> {
        let record = Record::Set { slot, value: encode_register(value)? };
        self.wal.submit(vec![record]).await.map_err(write_error)
    }
}

type Storage<T> = Result<T, StorageError<NodeId>>;

fn write_error(error: impl std::error::Error + 'static) -> StorageError<NodeId> {
    StorageIOError::write_logs(AnyError::new(&error)).into()
}

fn read_error(error: impl std::error::Error + 'static) -> StorageError<NodeId> {
    StorageIOError::read_logs(AnyError::new(&error)).into()
}

/// The level of formats that an entry needs.
pub(super) fn level_of(entry: &Entry) -> Level {
    match &entry.payload {
        EntryPayload::Blank | EntryPayload::Membership(_) => LEVEL_MIN,
        EntryPayload::Normal(command) => command.level(),
    }
}

fn encode<T: Serialize>(magic: [u8; 4], version: u8, value: &T) -> Storage<Bytes> {
    let mut bytes = magic.to_vec();
    bytes.push(version);
    postcard::to_extend(value, bytes).map(Bytes::from).map_err(write_error)
}

/// An entry as it stands in the write-ahead log.
pub(crate) fn encode_entry(entry: &Entry) -> Storage<Bytes> {
    let beyond = u8::try_from(level_of(entry).0 - 1).unwrap_or(u8::MAX);
    encode(ENTRY_MAGIC, VERSION.saturating_add(beyond), entry)
}

/// A vote, or a place in the log, as it stands in a register.
pub(crate) fn encode_register<T: Serialize>(value: &T) -> Storage<Bytes> {
    encode(REGISTER_MAGIC, VERSION, value)
}

/// The bytes on disk are no entry or register of the control log.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("not an entry of the control log")]
    Foreign,
    #[error(transparent)]
    Newer(#[from] NewerBuild),
    #[error(
        "the control log is of format {0}, which this build, of format {VERSION}, reads no more: begin a new cluster"
    )]
    Older(u8),
    #[error("an entry of the control log does not decode")]
    Body(#[from] postcard::Error),
}

fn decode<T: DeserializeOwned>(magic: [u8; 4], bytes: &[u8]) -> Result<T, Unreadable> {
    let body = match bytes.split_at_checked(5) {
        Some((head, _)) if head[..4] != magic => return Err(Unreadable::Foreign),
        Some((head, _)) if head[4] < VERSION => return Err(Unreadable::Older(head[4])),
        Some((head, body)) => {
            let level = Level(1 + u32::from(head[4] - VERSION));
            if level > LEVEL {
                return Err(NewerBuild { what: "this control log", level: Some(level) }.into());
            }
            body
        }
        None => return Err(Unreadable::Foreign),
    };
    Ok(postcard::from_bytes(body)?)
}

/// Reads entries while openraft goes on writing.
#[derive(Clone, Debug)]
pub struct LogReader {
    wal: Wal,
    outdated: Arc<Outdated>,
}

impl LogReader {
    fn entries(&self, range: impl RangeBounds<u64>, bytes_max: usize) -> Storage<Vec<Entry>> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => u64::MAX,
        };
        let found =
            self.wal.read(WalLog::CONTROL, place(start)..place(end), bytes_max).map_err(read_error)?;
        let entries = found.iter().map(|(_, bytes)| decode(ENTRY_MAGIC, bytes));
        entries.collect::<Result<_, Unreadable>>().map_err(|unreadable| {
            if let Unreadable::Newer(newer) = &unreadable {
                self.outdated.note(newer.clone());
            }
            read_error(unreadable)
        })
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Storage<Vec<Entry>> {
        self.entries(range, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Storage<Vec<Entry>> {
        self.entries(start..end, READ_BYTES_MAX)
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Storage<Vec<Entry>> {
        self.reader().entries(range, usize::MAX)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Storage<LogState<TypeConfig>> {
        let last_purged_log_id: Option<LogId> = self.register(slots::PURGED)?;
        let last = match (self.wal.first_index(WalLog::CONTROL), self.wal.last_index(WalLog::CONTROL)) {
            (Some(_), Some(last)) => self.reader().entries(last - 1..last, usize::MAX)?.pop(),
            _ => None,
        };
        let last_log_id = last.map(|entry| entry.log_id).or(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader()
    }

    async fn save_vote(&mut self, vote: &Vote<NodeId>) -> Storage<()> {
        self.set(slots::VOTE, vote).await?.durable().await.map_err(write_error)
    }

    async fn read_vote(&mut self) -> Storage<Option<Vote<NodeId>>> {
        self.register(slots::VOTE)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Storage<()> {
        // Only spares a restart some work: it need not be durable.
        self.set(slots::COMMITTED, &committed).await.map(|_| ())
    }

    async fn read_committed(&mut self) -> Storage<Option<LogId>> {
        Ok(self.register::<Option<LogId>>(slots::COMMITTED)?.flatten())
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Storage<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        for entry in entries {
            let index = place(entry.log_id.index);
            let payload = encode_entry(&entry)?;
            records.push(Record::Append { log: WalLog::CONTROL, index, payload });
        }
        // Small, and nothing goes without it: a full disk must not keep its shards from moving.
        let ticket = self.wal.submit_on_reserve(records).await.map_err(write_error)?;
        while self.flushes.try_join_next().is_some() {}
        self.flushes.spawn(async move {
            let flushed = ticket.durable().await;
            callback.log_io_completed(flushed.map_err(std::io::Error::other));
        });
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Storage<()> {
        let record = Record::Truncate { log: WalLog::CONTROL, from: place(log_id.index) };
        let ticket = self.wal.submit(vec![record]).await.map_err(write_error)?;
        ticket.durable().await.map_err(write_error)
    }

    async fn purge(&mut self, log_id: LogId) -> Storage<()> {
        let records = vec![
            Record::Set { slot: slots::PURGED, value: encode_register(&log_id)? },
            Record::Purge { log: WalLog::CONTROL, upto: place(log_id.index) },
        ];
        self.wal.submit(records).await.map(|_| ()).map_err(write_error)
    }
}

#[cfg(test)]
mod tests {
    use openraft::CommittedLeaderId;

    use super::*;
    use crate::control::ControlCommand;

    fn entry(level: Level) -> Entry {
        let raise = ControlCommand::RaiseLevel { level, proven: vec![NodeId(1)] };
        Entry {
            log_id: LogId::new(CommittedLeaderId::new(1, NodeId(1)), 7),
            payload: EntryPayload::Normal(raise),
        }
    }

    #[test]
    fn an_entry_that_needs_a_higher_level_than_this_build_reads_is_refused_by_its_version() {
        let bytes = encode_entry(&entry(Level(2))).unwrap();
        assert_eq!(bytes[4], VERSION + 1);
        assert_eq!(decode::<Entry>(ENTRY_MAGIC, &bytes).unwrap(), entry(Level(2)));
        let above = Level(LEVEL.0 + 1);
        let bytes = encode_entry(&entry(above)).unwrap();
        let refused = decode::<Entry>(ENTRY_MAGIC, &bytes);
        let newer = NewerBuild { what: "this control log", level: Some(above) };
        assert!(matches!(refused, Err(Unreadable::Newer(found)) if found == newer));
        let damaged = decode::<Entry>(ENTRY_MAGIC, b"SLce\x02\xff");
        assert!(matches!(damaged, Err(Unreadable::Body(_))), "damage is no newer build");
        assert!(matches!(decode::<Entry>(ENTRY_MAGIC, b"SLce\x01"), Err(Unreadable::Older(1))));
    }
}
