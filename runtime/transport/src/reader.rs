//! Frames out of a QUIC stream.

use bytes::Bytes;
use quinn::{ReadError, RecvStream};

use crate::class::Class;
use crate::frame::{Decoder, FrameError, FrameHead, STREAM_HEAD_BYTES, Use, decode_stream_head};

/// Pieces taken from the stream at a time: each is about one packet, and one lock of the connection is for all.
const PIECES_MAX: usize = 32;

/// Why no more frames come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadFailure {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Stream(#[from] ReadError),
    /// The far end gave up in the middle of a frame.
    #[error("the stream ended within a frame")]
    CutOff,
}

pub(crate) struct FrameReader {
    stream: RecvStream,
    decoder: Decoder,
}

impl FrameReader {
    pub(crate) fn new(stream: RecvStream, body_bytes_max: usize) -> FrameReader {
        FrameReader { stream, decoder: Decoder::new(body_bytes_max) }
    }

    /// The next frame; none when the stream has ended between frames.
    ///
    /// # Cancel safety
    /// Safe: what was read stays.
    pub(crate) async fn frame(&mut self) -> Result<Option<(FrameHead, Bytes)>, ReadFailure> {
        loop {
            if let Some(frame) = self.decoder.frame()? {
                return Ok(Some(frame));
            }
            if !self.fill().await? {
                return if self.decoder.is_between_frames() { Ok(None) } else { Err(ReadFailure::CutOff) };
            }
        }
    }

    /// The next frame, if all of it is here already.
    pub(crate) fn frame_at_hand(&mut self) -> Result<Option<(FrameHead, Bytes)>, FrameError> {
        self.decoder.frame()
    }

    /// The head of the next frame, before its body.
    pub(crate) async fn head(&mut self) -> Result<Option<FrameHead>, ReadFailure> {
        loop {
            if let Some(head) = self.decoder.head()? {
                return Ok(Some(head));
            }
            if !self.fill().await? {
                return if self.decoder.is_between_frames() { Ok(None) } else { Err(ReadFailure::CutOff) };
            }
        }
    }

    /// The body that belongs to the head read before.
    pub(crate) async fn body(&mut self) -> Result<Bytes, ReadFailure> {
        loop {
            if let Some(body) = self.decoder.body() {
                return Ok(body);
            }
            if !self.fill().await? {
                return Err(ReadFailure::CutOff);
            }
        }
    }

    /// Waits for more of the stream; false at its end.
    async fn fill(&mut self) -> Result<bool, ReadError> {
        let mut pieces = [const { Bytes::new() }; PIECES_MAX];
        let Some(count) = self.stream.read_chunks(&mut pieces).await? else { return Ok(false) };
        for piece in pieces.into_iter().take(count) {
            self.decoder.push(piece);
        }
        Ok(true)
    }
}

/// Reads the head of a stream that a peer has opened.
pub(crate) async fn read_stream_head(stream: &mut RecvStream) -> Result<(Class, Use), ReadFailure> {
    let mut head = [0; STREAM_HEAD_BYTES];
    match stream.read_exact(&mut head).await {
        Ok(()) => Ok(decode_stream_head(head)?),
        Err(quinn::ReadExactError::FinishedEarly(_)) => Err(ReadFailure::CutOff),
        Err(quinn::ReadExactError::ReadError(error)) => Err(error.into()),
    }
}
