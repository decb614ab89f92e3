//! The writes of one call, as they stand in a shard's log.
//!
//! ```text
//!  0     1         2       3              19            27
//! +-----+---------+-------+--------------+-------------+------+----------+---------------+-------------+-----
//! | 'W' | version | flags | request u128 | growth: i64 | n u8 | workload | [n u32 reply] | changes u32 | ...
//! +-----+---------+-------+--------------+-------------+------+----------+---------------+-------------+-----
//! change:  key bytes u16 | value bytes u32, or 2^32 - 1 for a removal | key | value
//! ```
//!
//! Integers are little-endian; the reply is there if bit 0 of the flags is set, and no other bit may be. *Growth* is by how many bytes the
//! batch makes the workload's state on this shard larger: whoever writes knows what was there before, so that nobody who applies the batch has to
//! look.

use bytes::{Buf, BufMut, Bytes, BytesMut};

const MAGIC: u8 = b'W';
const VERSION: u8 = 1;
const FLAG_REPLY: u8 = 1;
const HEADER_BYTES: usize = 27;
/// The bytes of a change before its key.
const CHANGE_HEADER_BYTES: usize = 6;
/// In the place of a value's length: the key is removed.
const REMOVED: u32 = u32::MAX;

/// The longest name of a workload, in bytes: its length is one byte here and in the keys of the state.
pub const WORKLOAD_BYTES_MAX: usize = u8::MAX as usize;

/// What a client's idempotency key will add to a batch. There is no such thing in this version: the place is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {}

/// One key, set or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key within the workload's state.
    pub key: Bytes,
    /// Its new value; none to remove it.
    pub value: Option<Bytes>,
}

/// The writes of one call: all of them happen, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteBatch {
    /// The id of the call's request.
    pub request: u128,
    /// The workload whose state changes.
    pub workload: String,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// What the caller was answered, opaque here: a retry by request id gets it again.
    pub reply: Option<Bytes>,
    /// Reserved.
    pub idempotency: Option<Idempotency>,
}

/// A batch as it is read back from a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedBatch {
    /// The batch.
    pub batch: WriteBatch,
    /// By how many bytes, keys and values, it made the workload's state larger.
    pub growth: i64,
}

/// The bytes are no batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Too short, too long, another magic number, or something in it that cannot be.
    #[error("not a batch of writes")]
    Malformed,
    /// Written by a newer build.
    #[error("the batch is of format {found}, this node reads up to {VERSION}: upgrade this node")]
    NewerVersion {
        /// Its version.
        found: u8,
    },
    /// A length does not fit its place.
    #[error("{what} of {bytes} bytes does not fit a batch")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How long it is.
        bytes: usize,
    },
}

impl WriteBatch {
    /// How many bytes [`WriteBatch::encode`] makes of it.
    pub fn encoded_bytes(&self) -> usize {
        let change = |change: &Change| {
            CHANGE_HEADER_BYTES + change.key.len() + change.value.as_ref().map_or(0, Bytes::len)
        };
        let reply = self.reply.as_ref().map_or(0, |reply| 4 + reply.len());
        HEADER_BYTES + 1 + self.workload.len() + reply + 4 + self.changes.iter().map(change).sum::<usize>()
    }

    /// Writes the batch.
    ///
    /// # Errors
    ///
    /// A length does not fit its place.
    pub fn encode(&self, growth: i64) -> Result<Bytes, BatchError> {
        let mut out = BytesMut::with_capacity(self.encoded_bytes());
        out.put_slice(&[MAGIC, VERSION, if self.reply.is_some() { FLAG_REPLY } else { 0 }]);
        out.put_u128_le(self.request);
        out.put_i64_le(growth);
        out.put_u8(u8::try_from(self.workload.len()).map_err(too_long("a workload's name", &self.workload))?);
        out.put_slice(self.workload.as_bytes());
        if let Some(reply) = &self.reply {
            out.put_u32_le(u32::try_from(reply.len()).map_err(too_long("a reply", reply))?);
            out.put_slice(reply);
        }
        let changes = u32::try_from(self.changes.len());
        out.put_u32_le(
            changes.map_err(|_| BatchError::TooLong { what: "a list", bytes: self.changes.len() })?,
        );
        for Change { key, value } in &self.changes {
            out.put_u16_le(u16::try_from(key.len()).map_err(too_long("a key", key))?);
            match value {
                Some(value) => {
                    let bytes = u32::try_from(value.len()).ok().filter(|bytes| *bytes != REMOVED);
                    out.put_u32_le(bytes.ok_or(BatchError::TooLong { what: "a value", bytes: value.len() })?);
                    out.put_slice(key);
                    out.put_slice(value);
                }
                None => {
                    out.put_u32_le(REMOVED);
                    out.put_slice(key);
                }
            }
        }
        Ok(out.freeze())
    }
}

fn too_long<E>(what: &'static str, of: &(impl AsRef<[u8]> + ?Sized)) -> impl FnOnce(E) -> BatchError {
    let bytes = of.as_ref().len();
    move |_| BatchError::TooLong { what, bytes }
}

impl LoggedBatch {
    /// Reads a batch; keys, values and reply are slices of `bytes`.
    ///
    /// # Errors
    ///
    /// The bytes are no batch.
    pub fn decode(mut bytes: Bytes) -> Result<LoggedBatch, BatchError> {
        match bytes.first_chunk::<2>() {
            Some(&[MAGIC, version]) if version > VERSION => {
                return Err(BatchError::NewerVersion { found: version });
            }
            Some(&[MAGIC, VERSION]) if bytes.len() > HEADER_BYTES => bytes.advance(2),
            _ => return Err(BatchError::Malformed),
        }
        let flags = bytes.get_u8();
        if flags & !FLAG_REPLY != 0 {
            return Err(BatchError::Malformed);
        }
        let (request, growth) = (bytes.get_u128_le(), bytes.get_i64_le());
        let name = bytes.get_u8();
        let name = take(&mut bytes, usize::from(name))?;
        let workload = std::str::from_utf8(&name).map_err(|_| BatchError::Malformed)?.to_owned();
        let reply = match flags & FLAG_REPLY {
            0 => None,
            _ => {
                let length = length(&mut bytes)?;
                Some(take(&mut bytes, length as usize)?)
            }
        };
        let count = length(&mut bytes)? as usize;
        if count > bytes.len() / CHANGE_HEADER_BYTES {
            return Err(BatchError::Malformed);
        }
        let mut changes = Vec::with_capacity(count);
        for _ in 0..count {
            let key = bytes.try_get_u16_le().map_err(|_| BatchError::Malformed)?;
            let value = length(&mut bytes)?;
            let key = take(&mut bytes, usize::from(key))?;
            let value = if value == REMOVED { None } else { Some(take(&mut bytes, value as usize)?) };
            changes.push(Change { key, value });
        }
        if !bytes.is_empty() {
            return Err(BatchError::Malformed);
        }
        Ok(LoggedBatch { batch: WriteBatch { request, workload, changes, reply, idempotency: None }, growth })
    }
}

fn length(bytes: &mut Bytes) -> Result<u32, BatchError> {
    bytes.try_get_u32_le().map_err(|_| BatchError::Malformed)
}

fn take(bytes: &mut Bytes, count: usize) -> Result<Bytes, BatchError> {
    if count > bytes.len() { Err(BatchError::Malformed) } else { Ok(bytes.split_to(count)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change(key: &'static [u8], value: Option<&'static [u8]>) -> Change {
        Change { key: Bytes::from_static(key), value: value.map(Bytes::from_static) }
    }

    fn batch() -> WriteBatch {
        WriteBatch {
            request: 0x0102,
            workload: "wc".into(),
            changes: vec![change(b"a", Some(b"one")), change(b"bb", None), change(b"", Some(b""))],
            reply: Some(Bytes::from_static(b"ok")),
            idempotency: None,
        }
    }

    #[test]
    fn a_batch_is_pinned_byte_by_byte_and_reads_back() {
        let bytes = batch().encode(-3).unwrap();
        let expected = [
            &b"W\x01\x01\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xfd\xff\xff\xff\xff\xff\xff\xff"[..],
            b"\x02wc\x02\0\0\0ok\x03\0\0\0",
            b"\x01\0\x03\0\0\0aone\x02\0\xff\xff\xff\xffbb\0\0\0\0\0\0",
        ]
        .concat();
        assert_eq!(bytes, expected);
        assert_eq!(bytes.len(), batch().encoded_bytes());
        assert_eq!(LoggedBatch::decode(bytes), Ok(LoggedBatch { batch: batch(), growth: -3 }));
    }

    #[test]
    fn values_are_slices_of_what_was_read() {
        let bytes = batch().encode(0).unwrap();
        let range = bytes.as_ptr_range();
        let read = LoggedBatch::decode(bytes).unwrap();
        let value = read.batch.changes[0].value.as_ref().unwrap();
        assert!(range.contains(&value.as_ptr()));
    }

    #[test]
    fn every_cut_and_a_newer_version_are_refused() {
        let bytes = batch().encode(9).unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(LoggedBatch::decode(bytes.slice(..cut)), Err(BatchError::Malformed), "cut at {cut}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(LoggedBatch::decode(longer.into()), Err(BatchError::Malformed));
        let mut newer = bytes.to_vec();
        newer[1] = 2;
        assert_eq!(LoggedBatch::decode(newer.into()), Err(BatchError::NewerVersion { found: 2 }));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let long = WriteBatch { workload: "w".repeat(256), ..batch() };
        assert_eq!(long.encode(0), Err(BatchError::TooLong { what: "a workload's name", bytes: 256 }));
    }

    proptest! {
        #[test]
        fn flipped_bytes_never_panic(at in 0usize..60, to in any::<u8>()) {
            let mut bytes = batch().encode(1).unwrap().to_vec();
            let at = at % bytes.len();
            bytes[at] = to;
            let _ = LoggedBatch::decode(bytes.into());
        }
    }
}
