//! Parts of a snapshot on their way, and the digest of the whole.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shardloom_sharding::protocol::messages::ShardEpoch;

/// A part of a snapshot; the next is sent once this one is taken in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotPart {
    /// The shard, and the epoch under which it is sent.
    pub(crate) at: ShardEpoch,
    /// Names the snapshot among all of its sender; random.
    pub(crate) transfer: u64,
    /// Counts the parts, from 0.
    pub(crate) number: u32,
    /// Rows in the order of their keys, by what follows shard and generation in them.
    pub(crate) rows: Vec<(Bytes, Bytes)>,
    /// In the last part.
    pub(crate) end: Option<SnapshotEnd>,
}

/// What a whole snapshot is checked by.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotEnd {
    /// The meta record.
    pub(crate) meta: Bytes,
    /// How many rows there are beside it.
    pub(crate) rows: u64,
    /// Their crc32, lengths included.
    pub(crate) digest: u32,
}

/// What became of a part; the text says why it was not taken in.
pub(crate) type PartVerdict = Result<(), String>;

/// Sums up rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowDigest {
    hasher: crc32fast::Hasher,
    rows: u64,
}

impl RowDigest {
    /// Takes the next rows.
    pub(crate) fn take(&mut self, rows: &[(Bytes, Bytes)]) {
        for (key, value) in rows {
            self.hasher.update(&(key.len() as u64).to_le_bytes());
            self.hasher.update(key);
            self.hasher.update(&(value.len() as u64).to_le_bytes());
            self.hasher.update(value);
            self.rows += 1;
        }
    }

    /// Ends a snapshot with this meta record.
    pub(crate) fn end(&self, meta: Bytes) -> SnapshotEnd {
        SnapshotEnd { meta, rows: self.rows, digest: self.hasher.clone().finalize() }
    }

    /// Whether these are the rows that were sent.
    pub(crate) fn is(&self, end: &SnapshotEnd) -> bool {
        self.rows == end.rows && self.hasher.clone().finalize() == end.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_cut_moved_or_changed_do_not_add_up() {
        let row = |key: &'static str, value: &'static str| (Bytes::from(key), Bytes::from(value));
        let digest = |rows: &[(Bytes, Bytes)]| {
            let mut digest = RowDigest::default();
            digest.take(rows);
            digest
        };
        let rows = [row("a", "1"), row("b", "2")];
        let end = digest(&rows).end(Bytes::new());
        assert!(digest(&rows).is(&end));
        for other in [
            &rows[..1],
            &[row("a", "1"), row("b", "3")],
            &[row("b", "2"), row("a", "1")],
            &[row("a1", ""), row("b", "2")],
        ] {
            assert!(!digest(other).is(&end));
        }
    }
}
