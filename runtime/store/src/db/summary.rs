//! The one record that says what else is in a database (drawn in the module above).

use std::path::Path;

use super::error::DbError;

/// Sorts before all tables.
pub(crate) const SUMMARY_KEY: &[u8] = b"\0shardloom";
/// Of the database's layout; a newer one is refused.
const FORMAT_VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"SLOOMTAB";

/// What a database holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) name: String,
    pub(crate) checkpoints: u64,
    pub(crate) entries: u64,
    pub(crate) sum: u64,
}

impl Summary {
    pub(crate) fn new(name: &str) -> Summary {
        Summary { name: name.to_owned(), checkpoints: 0, entries: 0, sum: 0 }
    }

    /// Counts an entry in, by its checksum.
    pub(crate) fn add(&mut self, crc: u32) {
        self.entries += 1;
        self.sum = self.sum.wrapping_add(u64::from(crc));
    }

    /// Counts an entry out.
    pub(crate) fn take(&mut self, crc: u32) {
        self.entries = self.entries.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(u64::from(crc));
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let name_bytes = u32::try_from(self.name.len()).expect("a database's name is short");
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&name_bytes.to_le_bytes());
        bytes.extend_from_slice(self.name.as_bytes());
        for number in [self.checkpoints, self.entries, self.sum] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    pub(crate) fn decode(dir: &Path, name: &str, bytes: &[u8]) -> Result<Summary, DbError> {
        let damaged = || DbError::damaged(dir, "its summary does not check");
        // The checksum covers the whole in every version, so that a newer version is told from a damaged one.
        let (bytes, crc) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
        if crc32fast::hash(bytes) != u32::from_le_bytes(*crc) {
            return Err(damaged());
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (found, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let found = u32::from_le_bytes(*found);
        if found > FORMAT_VERSION {
            return Err(DbError::NewerVersion { dir: dir.to_path_buf(), found, known: FORMAT_VERSION });
        }
        let (name_bytes, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (found, numbers) =
            rest.split_at_checked(u32::from_le_bytes(*name_bytes) as usize).ok_or_else(damaged)?;
        let found = String::from_utf8(found.to_vec()).map_err(|_| damaged())?;
        if found != name {
            return Err(DbError::Foreign { dir: dir.to_path_buf(), expected: name.to_owned(), found });
        }
        let ([checkpoints, entries, sum], []) = numbers.as_chunks::<8>() else { return Err(damaged()) };
        let [checkpoints, entries, sum] = [checkpoints, entries, sum].map(|bytes| u64::from_le_bytes(*bytes));
        Ok(Summary { name: found, checkpoints, entries, sum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_keeps_the_bytes_that_are_drawn() {
        let summary = Summary { name: "raft".to_owned(), checkpoints: 1, entries: 2, sum: 3 };
        let mut expected = b"SLOOMTAB\x01\0\0\0\x04\0\0\0raft".to_vec();
        expected.extend_from_slice(b"\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0");
        expected.extend_from_slice(&0x539683e2u32.to_le_bytes());
        assert_eq!(summary.encode(), expected);
        assert_eq!(Summary::decode(Path::new("x"), "raft", &expected).unwrap(), summary);
    }

    #[test]
    fn newer_version_and_other_name_are_told_from_damage() {
        let good = Summary::new("raft").encode();
        assert!(matches!(Summary::decode(Path::new("x"), "gossip", &good), Err(DbError::Foreign { .. })));
        let mut newer = good[..good.len() - 4].to_vec();
        newer[8] = 2;
        newer.extend_from_slice(&crc32fast::hash(&newer).to_le_bytes());
        let refused = Summary::decode(Path::new("x"), "raft", &newer);
        assert!(matches!(refused, Err(DbError::NewerVersion { found: 2, .. })));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Summary::decode(Path::new("x"), "raft", &bad), Err(DbError::Damaged { .. })));
        }
    }
}
