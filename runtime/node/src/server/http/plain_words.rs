//! What hyper itself refuses (a head that is too large, or no HTTP at all), it refuses with an empty body. This wrapper around a
//! connection puts an error of ours in its place, so that callers hear in each case what was wrong.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::problem::{Code, Problem};

/// hyper's own refusals are shorter than this, and ours are longer.
const BARE_REFUSAL_BYTES_MAX: usize = 200;

/// A connection whose bare refusals are put into words.
#[derive(Debug)]
pub(super) struct PlainWords<I> {
    io: I,
    /// What is still to be written in place of a refusal.
    instead: Vec<u8>,
    /// Whether everything before has been flushed, so that a reply begins here.
    between: bool,
}

impl<I> PlainWords<I> {
    pub(super) fn new(io: I) -> PlainWords<I> {
        PlainWords { io, instead: Vec::new(), between: true }
    }
}

/// The error for a bare refusal, if the bytes are one.
fn worded(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() > BARE_REFUSAL_BYTES_MAX || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?;
    let status = head.strip_prefix("HTTP/1.1 4")?;
    if !head.contains("\r\nconnection: close\r\ncontent-length: 0\r\n") {
        return None;
    }
    let (code, detail) = match status.get(..2)? {
        "14" => (Code::KeyTooLarge, "the path, with the key, is too long"),
        "31" => (Code::HeadTooLarge, "the request line and the headers are too large or too many"),
        "00" => (Code::BadRequest, "this is not an HTTP/1.1 request"),
        _ => return None,
    };
    let body = Problem::new(code, detail).to_json().to_string();
    let status = code.status();
    Some(
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/problem+json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}

impl<I: AsyncWrite + Unpin> PlainWords<I> {
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for PlainWords<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for PlainWords<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        if std::mem::take(&mut self.between)
            && let Some(instead) = worded(bytes)
        {
            // It is written on the next flush; hyper flushes before it closes.
            self.instead = instead;
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [only] => self.poll_write(cx, only),
            _ => {
                ready!(self.poll_instead(cx))?;
                self.between = false;
                Pin::new(&mut self.io).poll_write_vectored(cx, slices)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        self.between = true;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
