//! Bytes on a socket, for requests that no proper client sends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// What came back.
#[derive(Debug)]
pub struct RawReply {
    /// The status of the answer's first line, if it was HTTP.
    pub status: Option<u16>,
    /// Everything that was read.
    pub text: String,
    /// How many bytes of the body were sent before the node had enough.
    pub body_bytes_sent: u64,
}

/// Sends a head, then zeros as its body, until all are sent or the node answers or hangs up.
///
/// # Errors
/// If the node cannot be reached.
pub fn send(address: SocketAddr, head: &[u8], body_bytes: u64, within: Duration) -> Result<RawReply> {
    let mut stream = TcpStream::connect_timeout(&address, within).context("no connection")?;
    stream.set_write_timeout(Some(within))?;
    stream.set_read_timeout(Some(within))?;
    stream.write_all(head)?;

    let chunk = [b'0'; 16 * 1024];
    let mut sent = 0;
    while sent < body_bytes {
        let size = chunk.len().min(usize::try_from(body_bytes - sent).unwrap_or(usize::MAX));
        // A node that has said no may close while we still write: then its answer is there to read.
        if stream.write_all(&chunk[..size]).is_err() {
            break;
        }
        sent += size as u64;
        stream.set_nonblocking(true)?;
        let answered = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false)?;
        if answered {
            break;
        }
    }
    let mut answer = Vec::new();
    let mut limited = (&mut stream).take(ANSWER_BYTES_MAX);
    let mut buffer = [0; 4096];
    // The connection may stay open after the answer: a pause is an end too.
    while let Ok(count) = limited.read(&mut buffer) {
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..count]);
        if complete(&answer) {
            break;
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status =
        text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    Ok(RawReply { status, text, body_bytes_sent: sent })
}

/// Whether an answer with a content length is all there.
fn complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    length.is_some_and(|length| body.len() >= length)
}

/// Sends datagrams of noise to a UDP port.
///
/// # Errors
/// If they cannot be sent.
pub fn noise(address: SocketAddr, datagrams: u32) -> Result<()> {
    let socket = UdpSocket::bind((address.ip(), 0))?;
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for count in 0..datagrams {
        let noise: Vec<u8> = (0..1 + count % 1400)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_le_bytes()[7]
            })
            .collect();
        socket.send_to(&noise, address)?;
    }
    Ok(())
}
