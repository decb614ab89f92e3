//! The bytes on a stream: one head, then frames. All integers are little-endian.
//!
//! ```text
//! stream head   | magic "SLPS", 4 | version 1, 1 | class, 1 | use, 1 | 0, 1 |      sent once, by whoever opens it
//! frame         | body bytes, 4 | id, 8 | kind, 1 | deadline in ms, 4 | body |
//! ```
//! Use 0 is a shared stream: any number of frames, in both directions, replies in any order, matched by id. Use 1 is an
//! own stream: one request, one reply. A deadline counts from the arrival of its frame, and only requests and one-way
//! messages have one. TLS protects the bytes, so there is no checksum.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::class::Class;

const MAGIC: &[u8; 4] = b"SLPS";
const VERSION: u8 = 1;
pub(crate) const STREAM_HEAD_BYTES: usize = 8;
pub(crate) const FRAME_HEAD_BYTES: usize = 17;

/// Bodies up to this size are copied behind their heads, so that many frames become one write; larger ones travel as
/// they are, uncopied.
const COPIED_BYTES_MAX: usize = 4096;
/// A body's buffer begins no larger than this, whatever size its head claims.
const BODY_BYTES_FIRST: usize = 64 * 1024;

/// What is wrong with what came in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a stream does not begin as one of shardloom's")]
    Magic,
    #[error("a stream is of version {0}, and {VERSION} is spoken here")]
    Version(u8),
    #[error("a stream is of the unknown class {0}")]
    Class(u8),
    #[error("a stream is of the unknown use {0}")]
    Use(u8),
    #[error("a frame is of the unknown kind {0}")]
    Kind(u8),
    #[error("a frame of kind {0:?} does not belong here")]
    Misplaced(Kind),
    #[error("a second shared stream of class {0} was opened")]
    Second(Class),
    #[error("a frame of {bytes} bytes is too large: at most {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
}

/// How a stream is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Shared,
    Own,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    OneWay,
    Reply,
    /// In place of a reply: too many are under way, the handler did not run.
    Overloaded,
    /// In place of a reply: the deadline passed.
    Expired,
    /// In place of a reply: the handler failed.
    Failed,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) body_bytes: usize,
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) deadline_ms: u32,
}

pub(crate) fn encode_stream_head(class: Class, usage: Use) -> [u8; STREAM_HEAD_BYTES] {
    let [a, b, c, d] = *MAGIC;
    [a, b, c, d, VERSION, class.index() as u8, usage as u8, 0]
}

pub(crate) fn decode_stream_head(bytes: [u8; STREAM_HEAD_BYTES]) -> Result<(Class, Use), FrameError> {
    let [magic @ .., version, class, usage, _] = bytes;
    if magic != *MAGIC {
        return Err(FrameError::Magic);
    }
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let class = Class::from_wire(class).ok_or(FrameError::Class(class))?;
    match usage {
        0 => Ok((class, Use::Shared)),
        1 => Ok((class, Use::Own)),
        other => Err(FrameError::Use(other)),
    }
}

/// Puts frames together into as few writes as is sensible.
#[derive(Default)]
pub(crate) struct Batch {
    copied: BytesMut,
    writes: Vec<Bytes>,
    frames: usize,
}

impl Batch {
    pub(crate) fn push(&mut self, id: u64, kind: Kind, deadline_ms: u32, body: Bytes) {
        self.frames += 1;
        // No class allows a body over 4 GiB: `PeerNet::bind` sees to it.
        self.copied.put_u32_le(body.len() as u32);
        self.copied.put_u64_le(id);
        self.copied.put_u8(kind as u8);
        self.copied.put_u32_le(deadline_ms);
        if body.len() <= COPIED_BYTES_MAX {
            self.copied.extend_from_slice(&body);
        } else {
            self.writes.push(self.copied.split().freeze());
            self.writes.push(body);
        }
    }

    /// What is to be written now; the caller empties it.
    pub(crate) fn writes(&mut self) -> &mut Vec<Bytes> {
        self.frames = 0;
        if !self.copied.is_empty() {
            self.writes.push(self.copied.split().freeze());
        }
        &mut self.writes
    }

    /// Frames put in since the last [`Batch::writes`].
    pub(crate) fn len(&self) -> usize {
        self.frames
    }
}

/// Takes frames out of the bytes of a stream, in whatever pieces they come.
pub(crate) struct Decoder {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    head: Option<FrameHead>,
    body: BytesMut,
    body_bytes_max: usize,
}

impl Decoder {
    pub(crate) fn new(body_bytes_max: usize) -> Decoder {
        Decoder { pieces: VecDeque::new(), bytes: 0, head: None, body: BytesMut::new(), body_bytes_max }
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Whether the stream may end here.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.bytes == 0 && self.head.is_none()
    }

    /// The next whole frame, if it is there.
    pub(crate) fn frame(&mut self) -> Result<Option<(FrameHead, Bytes)>, FrameError> {
        let Some(head) = self.head()? else { return Ok(None) };
        Ok(self.body().map(|body| (head, body)))
    }

    /// The head of the next frame, if it is there; its body comes next.
    pub(crate) fn head(&mut self) -> Result<Option<FrameHead>, FrameError> {
        if self.head.is_none() {
            let mut raw = [0; FRAME_HEAD_BYTES];
            if !self.take(&mut raw) {
                return Ok(None);
            }
            let mut raw = &raw[..];
            let body_bytes = raw.get_u32_le() as usize;
            let id = raw.get_u64_le();
            let kind = match raw.get_u8() {
                0 => Kind::Request,
                1 => Kind::OneWay,
                2 => Kind::Reply,
                3 => Kind::Overloaded,
                4 => Kind::Expired,
                5 => Kind::Failed,
                other => return Err(FrameError::Kind(other)),
            };
            if body_bytes > self.body_bytes_max {
                return Err(FrameError::TooLarge { bytes: body_bytes, bytes_max: self.body_bytes_max });
            }
            self.head = Some(FrameHead { body_bytes, id, kind, deadline_ms: raw.get_u32_le() });
        }
        Ok(self.head)
    }

    /// The body that belongs to the head read before, once it is whole.
    pub(crate) fn body(&mut self) -> Option<Bytes> {
        let whole = self.head?.body_bytes;
        if self.body.is_empty() {
            let first = self.pieces.front_mut();
            if let Some(piece) = first.filter(|piece| piece.len() >= whole) {
                // The common case: the body is part of one packet, and is not copied.
                let body = piece.split_to(whole);
                self.bytes -= whole;
                if piece.is_empty() {
                    self.pieces.pop_front();
                }
                self.head = None;
                return Some(body);
            }
            if whole == 0 {
                self.head = None;
                return Some(Bytes::new());
            }
            self.body.reserve(whole.min(BODY_BYTES_FIRST));
        }
        while self.body.len() < whole {
            let piece = self.pieces.front_mut()?;
            let part = piece.split_to(piece.len().min(whole - self.body.len()));
            self.bytes -= part.len();
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            self.body.extend_from_slice(&part);
        }
        self.head = None;
        Some(std::mem::take(&mut self.body).freeze())
    }

    /// Fills `to` from the front, or takes nothing.
    pub(crate) fn take(&mut self, to: &mut [u8]) -> bool {
        if self.bytes < to.len() {
            return false;
        }
        self.bytes -= to.len();
        let mut filled = 0;
        while filled < to.len() {
            let Some(piece) = self.pieces.front_mut() else { return false };
            let part = piece.len().min(to.len() - filled);
            piece.copy_to_slice(&mut to[filled..filled + part]);
            filled += part;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_of_heads_are_pinned() {
        assert_eq!(&encode_stream_head(Class::Requests, Use::Own), b"SLPS\x01\x02\x01\x00");
        let mut batch = Batch::default();
        batch.push(0x0102, Kind::Reply, 1000, Bytes::from_static(b"hi"));
        assert_eq!(batch.writes().concat(), b"\x02\0\0\0\x02\x01\0\0\0\0\0\0\x02\xe8\x03\0\0hi");
    }

    #[test]
    fn a_stream_of_another_version_class_or_use_is_refused() {
        let good = encode_stream_head(Class::Control, Use::Shared);
        assert_eq!(decode_stream_head(good), Ok((Class::Control, Use::Shared)));
        let changed = |at: usize, byte| {
            let mut bytes = good;
            bytes[at] = byte;
            decode_stream_head(bytes)
        };
        assert_eq!(changed(0, b'X'), Err(FrameError::Magic));
        assert_eq!(changed(4, 2), Err(FrameError::Version(2)));
        assert_eq!(changed(5, 99), Err(FrameError::Class(99)));
        assert_eq!(changed(6, 2), Err(FrameError::Use(2)));
    }

    #[test]
    fn a_frame_that_claims_too_much_is_refused_before_its_body_comes() {
        let mut batch = Batch::default();
        batch.push(1, Kind::Request, 0, Bytes::from(vec![0; 11]));
        let mut decoder = Decoder::new(10);
        decoder.push(Bytes::from(batch.writes().concat()).slice(..FRAME_HEAD_BYTES));
        assert_eq!(decoder.frame(), Err(FrameError::TooLarge { bytes: 11, bytes_max: 10 }));
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_whatever_the_pieces(
            sizes in prop::collection::vec(prop_oneof![0..40usize, 4000..5000usize], 1..12),
            cuts in prop::collection::vec(1..3000usize, 1..40),
        ) {
            let mut batch = Batch::default();
            let body = |n: usize, size| Bytes::from(vec![n as u8; size]);
            for (n, size) in sizes.iter().enumerate() {
                batch.push(n as u64, Kind::OneWay, n as u32, body(n, *size));
            }
            let mut stream = Bytes::from(batch.writes().concat());
            let mut decoder = Decoder::new(1 << 20);
            let mut out = Vec::new();
            for cut in cuts.iter().cycle() {
                if stream.is_empty() {
                    break;
                }
                decoder.push(stream.split_to((*cut).min(stream.len())));
                while let Some((head, body)) = decoder.frame().unwrap() {
                    out.push((head.id, head.deadline_ms, body));
                }
            }
            prop_assert!(decoder.is_between_frames());
            let wanted: Vec<_> =
                sizes.iter().enumerate().map(|(n, size)| (n as u64, n as u32, body(n, *size))).collect();
            prop_assert_eq!(out, wanted);
        }

        #[test]
        fn garbage_never_panics(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20)) {
            let mut decoder = Decoder::new(1000);
            for piece in pieces {
                decoder.push(piece.into());
                while let Ok(Some(_)) = decoder.frame() {}
            }
        }
    }
}
