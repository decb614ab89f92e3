//! The bytes of a segment file.
//!
//! All numbers are little-endian. A segment is made zero-filled at its full size and never grows.
//!
//! ```text
//! segment header, at 0                          frame, at a multiple of 8 from 4096 on
//!  0  8  magic "SLOOMWAL"                         0  3  magic: "SLb" batch, "SLm" mark
//!  8  4  format version                           3  1  format version
//! 12  4  crc32 of bytes 0..12                     4  4  crc32 of bytes 8..32, begun with the place
//! 16  4  segment number, from 1                   8  8  sequence number
//! 20  4  crc32 of bytes 16..20, 24..64           16  4  bytes of the body, padding included
//! 24  8  disk id                                 20  4  records in the body
//! 32  8  bytes of the file                       24  4  crc32 of the body, begun with the place
//! 40  8  sequence number of the first batch      28  4  zero
//! 48 16  zero                                    32  .. the body: records, then zeros up to a multiple of 8
//!
//! record, anywhere in a body
//!  0  4  crc32 of bytes 4..25+n
//!  4  4  n, the bytes of the payload
//!  8  1  kind
//!  9  8  log, or register slot
//! 17  8  index (0 where the kind has none)
//! 25  n  payload
//! ```
//!
//! A **batch** is one group commit: it is written, then fdatasynced, before the next one is written, and it counts on by
//! one from the batch before, across segments. So a batch behind another proves that the first was durable. A **mark**
//! says the same of the last batch: it is written behind it once it is durable, carries its sequence number, and is
//! overwritten by the next batch. With these two, a batch that does not check is a *tear* (the crash came before its
//! fdatasync returned) only if nothing that proves the contrary follows; else it is *damage*.
//!
//! The *place* that begins a frame's checksums is disk id, segment number and offset: bytes that were valid elsewhere,
//! a payload that looks like a frame among them, are not valid here.
//!
//! The first 16 bytes of the header are the same in every format version to come, so that a version that is newer can
//! be told from a version that is damaged.

use shardloom_sharding::ids::DiskId;

/// Of the file format; a newer one is refused.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Where the first frame starts: the header has a page of its own, which no later write can tear.
pub(crate) const FRAMES_START: u64 = 4096;
/// The bytes of a frame's head.
pub(crate) const FRAME_HEAD: usize = 32;
/// Frames start at multiples of this, so that a search for them takes steps.
pub(crate) const FRAME_ALIGN: usize = 8;
/// The bytes of a segment's header.
pub(crate) const HEADER_BYTES: usize = 64;

const HEADER_MAGIC: &[u8; 8] = b"SLOOMWAL";
const BATCH_MAGIC: &[u8; 3] = b"SLb";
const MARK_MAGIC: &[u8; 3] = b"SLm";

/// What a segment file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: u32,
    pub(crate) disk: DiskId,
    pub(crate) file_bytes: u64,
    pub(crate) first_sequence: u64,
}

/// Why a header cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Newer(u32),
    Damaged { offset: u64, what: &'static str },
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(HEADER_MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        let crc = crc32fast::hash(&bytes[0..12]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.disk.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.file_bytes.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_sequence.to_le_bytes());
        let crc = rest_crc(&bytes);
        bytes[20..24].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Header, HeaderError> {
        if &bytes[0..8] != HEADER_MAGIC {
            return Err(HeaderError::Damaged {
                offset: 0,
                what: "the magic number of a segment was expected",
            });
        }
        if u32_at(bytes, 12) != crc32fast::hash(&bytes[0..12]) {
            return Err(HeaderError::Damaged {
                offset: 8,
                what: "the checksum of the format version is wrong",
            });
        }
        let version = u32_at(bytes, 8);
        if version > FORMAT_VERSION {
            return Err(HeaderError::Newer(version));
        }
        if version != FORMAT_VERSION || u32_at(bytes, 20) != rest_crc(bytes) {
            return Err(HeaderError::Damaged { offset: 16, what: "the checksum of the header is wrong" });
        }
        Ok(Header {
            number: u32_at(bytes, 16),
            disk: DiskId(u64_at(bytes, 24)),
            file_bytes: u64_at(bytes, 32),
            first_sequence: u64_at(bytes, 40),
        })
    }
}

fn rest_crc(bytes: &[u8; HEADER_BYTES]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[16..20]);
    hasher.update(&bytes[24..]);
    hasher.finalize()
}

/// Where a frame is: it is valid nowhere else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FramePlace {
    pub(crate) disk: DiskId,
    pub(crate) segment: u32,
    pub(crate) offset: u64,
}

impl FramePlace {
    fn crc(&self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.disk.0.to_le_bytes());
        hasher.update(&self.segment.to_le_bytes());
        hasher.update(&self.offset.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Batch,
    Mark,
}

/// The head of a frame, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) kind: FrameKind,
    pub(crate) sequence: u64,
    pub(crate) body_bytes: u32,
    pub(crate) records: u32,
    body_crc: u32,
}

impl FrameHead {
    /// Reads a head at the start of `bytes`; nothing, if there is no valid one.
    pub(crate) fn decode(place: FramePlace, bytes: &[u8]) -> Option<FrameHead> {
        let head = bytes.get(..FRAME_HEAD)?;
        let kind = match &head[0..3] {
            magic if magic == BATCH_MAGIC => FrameKind::Batch,
            magic if magic == MARK_MAGIC => FrameKind::Mark,
            _ => return None,
        };
        if u32::from(head[3]) != FORMAT_VERSION || u32_at(head, 4) != place.crc(&head[8..]) {
            return None;
        }
        Some(FrameHead {
            kind,
            sequence: u64_at(head, 8),
            body_bytes: u32_at(head, 16),
            records: u32_at(head, 20),
            body_crc: u32_at(head, 24),
        })
    }

    /// The body that belongs to this head, of the bytes that follow it, if it is whole.
    pub(crate) fn body<'a>(&self, place: FramePlace, rest: &'a [u8]) -> Option<&'a [u8]> {
        let body = rest.get(..self.body_bytes as usize)?;
        (place.crc(body) == self.body_crc).then_some(body)
    }
}

/// Completes a batch: `frame` is [`FRAME_HEAD`] bytes of room and the records behind them.
pub(crate) fn seal_batch(place: FramePlace, sequence: u64, records: u32, frame: &mut Vec<u8>) {
    frame.resize(frame.len().next_multiple_of(FRAME_ALIGN), 0);
    let (head, body) = frame.split_at_mut(FRAME_HEAD);
    write_head(place, BATCH_MAGIC, sequence, records, body, head);
}

/// The mark that says that the batch `sequence` is durable.
pub(crate) fn mark(place: FramePlace, sequence: u64) -> [u8; FRAME_HEAD] {
    let mut head = [0; FRAME_HEAD];
    write_head(place, MARK_MAGIC, sequence, 0, &[], &mut head);
    head
}

fn write_head(place: FramePlace, magic: &[u8; 3], sequence: u64, records: u32, body: &[u8], head: &mut [u8]) {
    let body_bytes =
        u32::try_from(body.len()).expect("a batch is smaller than a segment, which is under 4 GiB");
    head[0..3].copy_from_slice(magic);
    head[3] = FORMAT_VERSION as u8;
    head[8..16].copy_from_slice(&sequence.to_le_bytes());
    head[16..20].copy_from_slice(&body_bytes.to_le_bytes());
    head[20..24].copy_from_slice(&records.to_le_bytes());
    head[24..28].copy_from_slice(&place.crc(body).to_le_bytes());
    head[28..32].fill(0);
    let crc = place.crc(&head[8..]);
    head[4..8].copy_from_slice(&crc.to_le_bytes());
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::record::{Line, LogId, Record};
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    const HEADER: Header =
        Header { number: 7, disk: DiskId(0x1122_3344_5566_7788), file_bytes: 65536, first_sequence: 42 };
    const PLACE: FramePlace = FramePlace { disk: HEADER.disk, segment: 7, offset: 4096 };

    #[test]
    fn header_and_mark_keep_the_bytes_that_are_drawn() {
        let header = concat!(
            "534c4f4f4d57414c01000000a15ea93707000000c6bf84768877665544332211",
            "00000100000000002a0000000000000000000000000000000000000000000000",
        );
        assert_eq!(hex(&HEADER.encode()), header);
        let expected = "534c6d01eddbcd442a000000000000000000000000000000008449ed00000000";
        assert_eq!(hex(&mark(PLACE, 42)), expected);
    }

    #[test]
    fn batch_keeps_its_bytes() {
        let mut frame = vec![0; FRAME_HEAD];
        let record = Record::Append { log: LogId(18), index: 5, payload: Bytes::from_static(b"hello") };
        Line::from(record).encode(&mut frame);
        seal_batch(PLACE, 42, 1, &mut frame);
        let expected = concat!(
            "534c6201b6895b872a0000000000000020000000010000007197676900000000",
            "a21b703705000000011200000000000000050000000000000068656c6c6f0000",
        );
        assert_eq!(hex(&frame), expected);
        let head = FrameHead::decode(PLACE, &frame).unwrap();
        assert_eq!((head.kind, head.sequence, head.records), (FrameKind::Batch, 42, 1));
        assert_eq!(head.body(PLACE, &frame[FRAME_HEAD..]), Some(&frame[FRAME_HEAD..]));
    }

    #[test]
    fn any_flipped_bit_of_a_header_is_seen() {
        let good = HEADER.encode();
        assert_eq!(Header::decode(&good), Ok(HEADER));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Header::decode(&bad), Err(HeaderError::Damaged { .. })), "bit {bit}");
        }
    }

    #[test]
    fn newer_format_version_is_told_from_damage() {
        let mut bytes = HEADER.encode();
        bytes[8] = 2;
        let crc = crc32fast::hash(&bytes[0..12]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Newer(2)));
    }

    #[test]
    fn frame_is_valid_at_its_own_place_only() {
        let bytes = mark(PLACE, 42);
        assert_eq!(FrameHead::decode(PLACE, &bytes).map(|head| head.sequence), Some(42));
        for other in [
            FramePlace { offset: 4104, ..PLACE },
            FramePlace { segment: 8, ..PLACE },
            FramePlace { disk: DiskId(1), ..PLACE },
        ] {
            assert_eq!(FrameHead::decode(other, &bytes), None);
        }
    }
}
