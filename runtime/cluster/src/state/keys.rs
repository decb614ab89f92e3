//! Where things stand in the database.
//!
//! ```text
//! shard u32 | generation u32 | 'm'                                             the shard's meta record
//! shard u32 | generation u32 | 'r' | place u8                                  a page of recent replies
//! shard u32 | generation u32 | 's' | n u8, name of the workload | key          a value of its state
//! ```
//!
//! Integers are big-endian, so that all sorts as it reads: by shard, by generation, by workload, by key. A generation is one copy of a shard's
//! state: a snapshot comes in as the next one beside that in use.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use shardloom_sharding::ids::ShardId;
use shardloom_sharding::protocol::record::SnapshotId;

const META: u8 = b'm';
const REPLY: u8 = b'r';
const STATE: u8 = b's';
/// The bytes before the kind.
const PREFIX_BYTES: usize = 8;

/// One copy of a shard's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Copy {
    pub(crate) shard: ShardId,
    pub(crate) generation: u32,
}

impl Copy {
    /// The name of the copy, where it came as a snapshot.
    pub(crate) fn snapshot(self) -> SnapshotId {
        SnapshotId(u64::from(self.shard.0) << 32 | u64::from(self.generation))
    }

    /// The copy that came as a snapshot of this name.
    pub(crate) fn of(snapshot: SnapshotId) -> Copy {
        Copy { shard: ShardId((snapshot.0 >> 32) as u32), generation: snapshot.0 as u32 }
    }

    fn prefix(self, more: usize) -> BytesMut {
        let mut key = BytesMut::with_capacity(PREFIX_BYTES + more);
        key.put_u32(self.shard.0);
        key.put_u32(self.generation);
        key
    }

    /// The meta record.
    pub(crate) fn meta(self) -> Bytes {
        self.row(&[META])
    }

    /// A page of recent replies.
    pub(crate) fn replies_at(self, place: u8) -> Bytes {
        self.row(&[REPLY, place])
    }

    /// All recent replies.
    pub(crate) fn replies(self) -> Range<Bytes> {
        self.row(&[REPLY])..self.row(&[REPLY + 1])
    }

    /// A value, by its [`state_key`].
    pub(crate) fn state(self, state_key: &[u8]) -> Bytes {
        let mut key = self.prefix(1 + state_key.len());
        key.put_u8(STATE);
        key.put_slice(state_key);
        key.freeze()
    }

    /// Any row, by what follows shard and generation.
    pub(crate) fn row(self, rest: &[u8]) -> Bytes {
        let mut key = self.prefix(rest.len());
        key.put_slice(rest);
        key.freeze()
    }

    /// Where the next copy begins, of this shard or another; none after the last that can be.
    pub(crate) fn end(self) -> Option<Bytes> {
        let next = self.snapshot().0.checked_add(1)?;
        Some(Bytes::copy_from_slice(&next.to_be_bytes()))
    }
}

/// The copy that a row belongs to, and the rest of its key.
pub(crate) fn split(key: &Bytes) -> Option<(Copy, Bytes)> {
    let prefix = key.first_chunk::<PREFIX_BYTES>()?;
    let copy = Copy::of(SnapshotId(u64::from_be_bytes(*prefix)));
    Some((copy, key.slice(PREFIX_BYTES..)))
}

/// Whether a row, by what follows shard and generation, is the meta record.
pub(crate) fn is_meta(rest: &[u8]) -> bool {
    rest == [META]
}

/// The part of a value's key that is the same in every copy and on every shard: workload and key.
pub(crate) fn state_key(workload: &str, key: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + workload.len() + key.len());
    // Names are bounded where batches are encoded; a longer one is found nowhere.
    out.put_u8(u8::try_from(workload.len()).unwrap_or(u8::MAX));
    out.put_slice(workload.as_bytes());
    out.put_slice(key);
    out.freeze()
}

/// The key that follows the last one of a workload.
pub(crate) fn state_end(workload: &str) -> Bytes {
    let mut out = BytesMut::from(&state_key(workload, &[])[..]);
    // A name is UTF-8 and never empty in practice: no byte of it is 0xff, and the length before it is not either unless it is all of it.
    while let Some(last) = out.last_mut() {
        if let Some(next) = last.checked_add(1) {
            *last = next;
            break;
        }
        out.truncate(out.len() - 1);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COPY: Copy = Copy { shard: ShardId(0x0102), generation: 3 };

    #[test]
    fn keys_are_pinned_byte_by_byte_and_split_again() {
        assert_eq!(&COPY.meta()[..], b"\0\0\x01\x02\0\0\0\x03m");
        assert_eq!(&COPY.replies_at(9)[..], b"\0\0\x01\x02\0\0\0\x03r\x09");
        assert_eq!(&COPY.state(&state_key("wc", b"k"))[..], b"\0\0\x01\x02\0\0\0\x03s\x02wck");
        assert_eq!(split(&COPY.replies_at(9)), Some((COPY, Bytes::from_static(b"r\x09"))));
        assert_eq!(&COPY.end().unwrap()[..], b"\0\0\x01\x02\0\0\0\x04");
        assert!(is_meta(&split(&COPY.meta()).unwrap().1));
    }

    #[test]
    fn a_workload_ends_before_the_next() {
        assert!(state_key("a", &[0xff; 9]) < state_end("a"));
        assert!(state_end("a") <= state_key("b", b""));
        assert!(state_key("a", b"") < state_key("a", b"\0"));
        let last = Copy { shard: ShardId(u32::MAX), generation: u32::MAX };
        assert_eq!(last.end(), None);
        let of_shard = Copy { shard: ShardId(1), generation: u32::MAX };
        assert_eq!(&of_shard.end().unwrap()[..], b"\0\0\0\x02\0\0\0\0");
    }
}
