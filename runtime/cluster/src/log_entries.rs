//! Entries of shard logs, as bytes, and reading them back.
//!
//! ```text
//! entry of a shard log, at the log's index = position:
//!  0     1         2      3            11
//! +-----+---------+------+------------+----------------+
//! | 'E' | version | kind | stamp: u64 | batch (kind 1) |     kind 0: barrier, 1: batch
//! +-----+---------+------+------------+----------------+
//! ```
//!
//! Integers are little-endian.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use shardloom_sharding::ids::{Epoch, Position, ShardId, Tail};
use shardloom_sharding::protocol::messages::{Body, Entry};
use shardloom_store::{LogId, Wal, WalError};

const MAGIC: u8 = b'E';
pub(crate) const VERSION: u8 = 1;
const KIND_BARRIER: u8 = 0;
const KIND_BATCH: u8 = 1;
const HEADER_BYTES: usize = 11;

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

/// An entry where it stands, without a copy of what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEntry {
    /// The epoch under which it was written, and where it stands.
    pub at: Tail,
    /// The batch; none for a barrier.
    pub batch: Option<Bytes>,
}

/// Reads shard logs.
#[derive(Clone, Debug)]
pub struct LogReader {
    wal: Wal,
}

impl LogReader {
    /// Reads the logs in `wal`.
    pub fn new(wal: Wal) -> LogReader {
        LogReader { wal }
    }

    /// Entries `first..=last` of a log, submitted ones included: from the first that is there, without gaps, until `bytes_max` is
    /// reached, but at least one if there is any. May block on the disk.
    ///
    /// # Errors
    ///
    /// The write-ahead log fails, or an entry cannot be read.
    pub fn read(
        &self,
        shard: ShardId,
        first: Position,
        last: Position,
        bytes_max: usize,
    ) -> Result<Vec<LoggedEntry>, ShardLogError> {
        let found = self.wal.read(LogId::shard(shard), first.0..last.0 + 1, bytes_max)?;
        let entry = |(index, bytes): (u64, Bytes)| {
            let (stamp, batch) =
                decode(&bytes).ok_or(ShardLogError::Unreadable { what: "an entry", shard })?;
            Ok(LoggedEntry { at: Tail { stamp, position: Position(index) }, batch })
        };
        found.into_iter().map(entry).collect()
    }
}

impl From<LoggedEntry> for Entry {
    fn from(entry: LoggedEntry) -> Entry {
        let body = entry.batch.map_or(Body::Barrier, |batch| Body::Batch(Arc::from(&batch[..])));
        Entry { stamp: entry.at.stamp, body }
    }
}

/// Writes an entry.
pub(crate) fn encode(entry: &Entry) -> Bytes {
    let (kind, batch): (u8, &[u8]) = match &entry.body {
        Body::Barrier => (KIND_BARRIER, &[]),
        Body::Batch(batch) => (KIND_BATCH, batch),
    };
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + batch.len());
    bytes.put_slice(&[MAGIC, VERSION, kind]);
    bytes.put_u64_le(entry.stamp.0);
    bytes.put_slice(batch);
    bytes.freeze()
}

/// Reads an entry's stamp and batch.
fn decode(bytes: &Bytes) -> Option<(Epoch, Option<Bytes>)> {
    let header = bytes.get(..HEADER_BYTES)?;
    let batch = match header[..3] {
        [MAGIC, VERSION, KIND_BARRIER] if bytes.len() == HEADER_BYTES => None,
        [MAGIC, VERSION, KIND_BATCH] => Some(bytes.slice(HEADER_BYTES..)),
        _ => return None,
    };
    Some((Epoch(u64::from_le_bytes(header[3..].try_into().ok()?)), batch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_pinned_byte_by_byte_and_read_back() {
        let barrier = Entry { stamp: Epoch(0x0102), body: Body::Barrier };
        assert_eq!(&encode(&barrier)[..], b"E\x01\x00\x02\x01\0\0\0\0\0\0");
        let batch = Entry { stamp: Epoch(3), body: Body::Batch(Arc::from(&b"xy"[..])) };
        assert_eq!(&encode(&batch)[..], b"E\x01\x01\x03\0\0\0\0\0\0\0xy");
        assert_eq!(decode(&encode(&barrier)), Some((Epoch(0x0102), None)));
        assert_eq!(decode(&encode(&batch)), Some((Epoch(3), Some(Bytes::from_static(b"xy")))));
        for bad in
            [&b""[..], b"E\x01\x00", b"E\x02\x00\x02\x01\0\0\0\0\0\0", b"E\x01\x00\x02\x01\0\0\0\0\0\0x"]
        {
            assert_eq!(decode(&Bytes::from_static(bad)), None);
        }
    }
}
