//! What can be said about logs and registers, and its bytes (drawn in `format`).

use std::fmt;

use bytes::{Buf, Bytes};
use shardloom_sharding::ids::ShardId;

use super::format::{u32_at, u64_at};

/// One of the many logs in the write-ahead log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogId(pub u64);

/// Shard logs start here; the numbers below are for logs of the node itself.
const SHARD_LOGS_START: u64 = 16;

impl LogId {
    /// The Raft log of the cluster.
    pub const CONTROL: LogId = LogId(0);

    /// The log of a shard.
    pub fn shard(shard: ShardId) -> LogId {
        LogId(SHARD_LOGS_START + u64::from(shard.0))
    }

    /// The shard whose log it is, if it is one's.
    pub fn as_shard(self) -> Option<ShardId> {
        u32::try_from(self.0.checked_sub(SHARD_LOGS_START)?).ok().map(ShardId)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One statement about a log or a register. The records of one submission become durable together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Adds the next entry to a log. The first entry of a log that is new may have any index above 0.
    Append {
        /// The log.
        log: LogId,
        /// One more than the last index.
        index: u64,
        /// The entry.
        payload: Bytes,
    },
    /// Cuts the tail of a log: entries at `from` and above are gone.
    Truncate {
        /// The log.
        log: LogId,
        /// The first index that is cut.
        from: u64,
    },
    /// Gives up the head of a log: entries up to `upto`, inclusive, are gone, and the log goes on after it. May lie
    /// beyond the last entry: then the log is empty and continues at `upto + 1`.
    Purge {
        /// The log.
        log: LogId,
        /// The last index that is given up.
        upto: u64,
    },
    /// Forgets a log: as if it had never been.
    Drop {
        /// The log.
        log: LogId,
    },
    /// Sets a small durable register.
    Set {
        /// Which one; below [`super::SLOT_RESERVED`].
        slot: u64,
        /// Its value.
        value: Bytes,
    },
    /// Forgets a register.
    Clear {
        /// Which one; below [`super::SLOT_RESERVED`].
        slot: u64,
    },
}

/// What a record costs in the queue beyond its payload, in bytes: more than its head on the disk, and about what it
/// takes in memory. It bounds the number of queued records, too.
pub(crate) const RECORD_COST_BYTES: usize = 64;

impl Record {
    /// What the record costs in the queue.
    pub(crate) fn cost(&self) -> usize {
        let payload = match self {
            Record::Append { payload, .. } => payload.len(),
            Record::Set { value, .. } => value.len(),
            _ => 0,
        };
        RECORD_COST_BYTES + payload
    }
}

/// The bytes of a record before its payload.
pub(crate) const RECORD_HEAD: usize = 25;

/// A record's kind on the disk. `Carry` and `Base` repeat what an old segment holds, so that it can be deleted: an
/// entry, and the index that a log starts after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Append = 1,
    Truncate = 2,
    Purge = 3,
    Drop = 4,
    Set = 5,
    Clear = 6,
    Carry = 7,
    Base = 8,
}

impl Kind {
    fn decode(byte: u8) -> Option<Kind> {
        let kinds = [
            Kind::Append,
            Kind::Truncate,
            Kind::Purge,
            Kind::Drop,
            Kind::Set,
            Kind::Clear,
            Kind::Carry,
            Kind::Base,
        ];
        kinds.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A record as it lies on the disk: `key` is the log or the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) kind: Kind,
    pub(crate) key: u64,
    pub(crate) index: u64,
    pub(crate) payload: Bytes,
}

impl From<Record> for Line {
    fn from(record: Record) -> Line {
        let bare = |kind, key, index| Line { kind, key, index, payload: Bytes::new() };
        match record {
            Record::Append { log, index, payload } => Line { kind: Kind::Append, key: log.0, index, payload },
            Record::Truncate { log, from } => bare(Kind::Truncate, log.0, from),
            Record::Purge { log, upto } => bare(Kind::Purge, log.0, upto),
            Record::Drop { log } => bare(Kind::Drop, log.0, 0),
            Record::Set { slot, value } => Line { kind: Kind::Set, key: slot, index: 0, payload: value },
            Record::Clear { slot } => bare(Kind::Clear, slot, 0),
        }
    }
}

impl Line {
    /// The bytes that the record takes on the disk.
    pub(crate) fn disk_bytes(&self) -> usize {
        RECORD_HEAD + self.payload.len()
    }

    /// Appends the record's bytes to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        let bytes = u32::try_from(self.payload.len()).expect("a payload is smaller than a segment");
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&bytes.to_le_bytes());
        out.push(self.kind as u8);
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.payload);
        let crc = crc32fast::hash(&out[at + 4..]);
        out[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Takes the first record off `bytes`; nothing, if it does not check.
    pub(crate) fn decode(bytes: &mut Bytes) -> Option<Line> {
        let payload_bytes = u32_at(bytes.get(..RECORD_HEAD)?, 4) as usize;
        let whole = bytes.get(..RECORD_HEAD + payload_bytes)?;
        if u32_at(whole, 0) != crc32fast::hash(&whole[4..]) {
            return None;
        }
        let (kind, key, index) = (Kind::decode(whole[8])?, u64_at(whole, 9), u64_at(whole, 17));
        bytes.advance(RECORD_HEAD);
        Some(Line { kind, key, index, payload: bytes.split_to(payload_bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_keeps_its_bytes() {
        let record = Record::Append { log: LogId(18), index: 5, payload: Bytes::from_static(b"hello") };
        let mut bytes = Vec::new();
        Line::from(record.clone()).encode(&mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "a21b703705000000011200000000000000050000000000000068656c6c6f");
        assert_eq!(Line::decode(&mut Bytes::from(bytes)), Some(Line::from(record)));
    }

    #[test]
    fn any_flipped_bit_of_a_record_is_seen() {
        let mut bytes = Vec::new();
        Line::from(Record::Set { slot: 3, value: Bytes::from_static(b"vote") }).encode(&mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Line::decode(&mut Bytes::from(bad)), None, "bit {bit}");
        }
    }
}
