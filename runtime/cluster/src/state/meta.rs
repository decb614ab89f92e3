//! What is kept beside the values of a shard's state: how far it follows the log, how large it is, and the recent replies.
//!
//! ```text
//! meta record:
//!  0     1         2            10              18            26
//! +-----+---------+------------+---------------+-------------+-----------+-----------------------------------
//! | 'M' | version | stamp: u64 | position: u64 | replies u64 | sizes u32 | sizes x (n u8, workload, bytes u64)
//! +-----+---------+------------+---------------+-------------+-----------+-----------------------------------
//! page of up to 8 recent replies, at place ordinal / 8 % 17:
//!  0     1         2
//! +-----+---------+----------------------------------------------------------------------
//! | 'P' | version | n x (ordinal: u64, position: u64, request: u128, bytes: u32, reply)
//! +-----+---------+----------------------------------------------------------------------
//! ```
//!
//! Integers are little-endian. Replies stand together because each row costs about as much as a write; there is one page more than the newest need,
//! since a new page pushes out a whole old one.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use shardloom_sharding::ids::{Epoch, Position, Tail};

use super::limits::REPLIES_MAX;

const META_MAGIC: u8 = b'M';
const REPLY_MAGIC: u8 = b'P';
const VERSION: u8 = 1;
/// The bytes of a reply in its page before what was answered.
const REPLY_HEADER_BYTES: usize = 36;
/// Replies in a page.
const PAGE_REPLIES: u64 = 8;
/// Pages of a shard.
const PAGES: u64 = REPLIES_MAX as u64 / PAGE_REPLIES + 1;

/// How far a shard's state follows its log, and how large it is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct ShardMeta {
    /// The last entry that the state holds.
    pub(crate) applied: Tail,
    /// Replies that were ever kept; the newest ones still are.
    pub(crate) replies: u64,
    /// Bytes of keys and values by workload.
    pub(crate) bytes: BTreeMap<String, u64>,
}

impl ShardMeta {
    /// Takes note that a workload's state has grown, or shrunk.
    pub(crate) fn grow(&mut self, workload: &str, growth: i64) {
        let Some(bytes) = self.bytes.get_mut(workload) else {
            if growth > 0 {
                self.bytes.insert(workload.to_owned(), growth.unsigned_abs());
            }
            return;
        };
        *bytes = bytes.saturating_add_signed(growth);
        if *bytes == 0 {
            self.bytes.remove(workload);
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(30 + 16 * self.bytes.len());
        out.put_slice(&[META_MAGIC, VERSION]);
        out.put_u64_le(self.applied.stamp.0);
        out.put_u64_le(self.applied.position.0);
        out.put_u64_le(self.replies);
        out.put_u32_le(self.bytes.len() as u32);
        for (workload, bytes) in &self.bytes {
            out.put_u8(u8::try_from(workload.len()).unwrap_or(u8::MAX));
            out.put_slice(workload.as_bytes());
            out.put_u64_le(*bytes);
        }
        out.freeze()
    }

    /// Reads it back; nothing, if it is not in this format.
    pub(crate) fn decode(mut from: &[u8]) -> Option<ShardMeta> {
        from = from.strip_prefix(&[META_MAGIC, VERSION])?;
        let stamp = Epoch(from.try_get_u64_le().ok()?);
        let position = Position(from.try_get_u64_le().ok()?);
        let replies = from.try_get_u64_le().ok()?;
        let mut bytes = BTreeMap::new();
        for _ in 0..from.try_get_u32_le().ok()? {
            let length = usize::from(from.try_get_u8().ok()?);
            let (workload, rest) = from.split_at_checked(length)?;
            from = rest;
            bytes.insert(std::str::from_utf8(workload).ok()?.to_owned(), from.try_get_u64_le().ok()?);
        }
        from.is_empty().then_some(ShardMeta { applied: Tail { stamp, position }, replies, bytes })
    }
}

/// A reply that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptReply {
    /// The how-manieth of its shard.
    pub(crate) ordinal: u64,
    /// Where the call's batch stands.
    pub(crate) position: Position,
    /// The call's request.
    pub(crate) request: u128,
    /// What was answered; empty where that was too large.
    pub(crate) reply: Bytes,
}

/// The page in which a reply is kept, among all that ever were.
pub(crate) fn page(ordinal: u64) -> u64 {
    ordinal / PAGE_REPLIES
}

/// The place of a page until one comes that pushes it out.
pub(crate) fn place(page: u64) -> u8 {
    (page % PAGES) as u8
}

/// Writes a page.
pub(crate) fn encode_page(replies: &[KeptReply]) -> Bytes {
    let bytes: usize = replies.iter().map(|kept| REPLY_HEADER_BYTES + kept.reply.len()).sum();
    let mut out = BytesMut::with_capacity(2 + bytes);
    out.put_slice(&[REPLY_MAGIC, VERSION]);
    for kept in replies {
        out.put_u64_le(kept.ordinal);
        out.put_u64_le(kept.position.0);
        out.put_u128_le(kept.request);
        out.put_u32_le(kept.reply.len() as u32);
        out.put_slice(&kept.reply);
    }
    out.freeze()
}

/// Reads a page back; nothing, if it is not in this format.
pub(crate) fn decode_page(bytes: &Bytes) -> Option<Vec<KeptReply>> {
    let (mut rest, mut replies) = (bytes.clone(), Vec::new());
    if rest.get(..2)? != [REPLY_MAGIC, VERSION] {
        return None;
    }
    rest.advance(2);
    while !rest.is_empty() {
        if rest.len() < REPLY_HEADER_BYTES {
            return None;
        }
        let (ordinal, position) = (rest.get_u64_le(), Position(rest.get_u64_le()));
        let (request, length) = (rest.get_u128_le(), rest.get_u32_le() as usize);
        if length > rest.len() {
            return None;
        }
        replies.push(KeptReply { ordinal, position, request, reply: rest.split_to(length) });
    }
    Some(replies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_pinned_byte_by_byte_and_read_back() {
        let mut meta = ShardMeta {
            applied: Tail { stamp: Epoch(7), position: Position(9) },
            replies: 2,
            bytes: BTreeMap::new(),
        };
        meta.grow("wc", 5);
        meta.grow("gone", 5);
        meta.grow("gone", -5);
        let bytes = meta.encode();
        let expected =
            b"M\x01\x07\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\x02wc\x05\0\0\0\0\0\0\0";
        assert_eq!(&bytes[..], expected);
        assert_eq!(ShardMeta::decode(&bytes), Some(meta));
        for cut in 0..bytes.len() {
            assert_eq!(ShardMeta::decode(&bytes[..cut]), None);
        }
        let kept = |ordinal, reply: &'static str| KeptReply {
            ordinal,
            position: Position(4),
            request: 1,
            reply: Bytes::from(reply),
        };
        let replies = [kept(136, "ok"), kept(137, "")];
        let bytes = encode_page(&replies);
        let expected = [
            &b"P\x01\x88\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0ok"[..],
            b"\x89\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ]
        .concat();
        assert_eq!(bytes, expected);
        assert_eq!(decode_page(&bytes), Some(replies.to_vec()));
        assert_eq!(decode_page(&bytes.slice(..bytes.len() - 1)), None);
        assert_eq!((page(136), place(page(136)), place(page(135))), (17, 0, 16));
    }
}
