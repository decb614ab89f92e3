//! A connection to a peer: whom it is to, why it ended, and what its frames mean.

use std::time::Instant;

use bytes::Bytes;
use quinn::{Connection, ConnectionError};

use crate::class::Class;
use crate::error::{Delivery, Peer, TransportError};
use crate::frame::{FrameError, FrameHead, Kind};

/// Why a connection is closed, as QUIC carries it.
pub(crate) mod close_code {
    use quinn::VarInt;

    pub(crate) const ORDERLY: VarInt = VarInt::from_u32(0);
    pub(crate) const PROTOCOL: VarInt = VarInt::from_u32(1);
    /// Said before anything was handled, and only then.
    pub(crate) const NOT_ALLOWED: VarInt = VarInt::from_u32(2);
    pub(crate) const OVERLOADED: VarInt = VarInt::from_u32(3);
    /// The far end's certificate is believed no more; what it had sent may have been handled.
    pub(crate) const RETIRED: VarInt = VarInt::from_u32(4);
}

/// A connection, and whom it is to.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) connection: Connection,
    pub(crate) peer: Peer,
}

impl Wire {
    /// Says why the connection is gone. A refused certificate is told apart: nothing that was sent has been read then.
    pub(crate) fn lost(&self, delivery: Delivery) -> TransportError {
        let Some(error) = self.connection.close_reason() else {
            return TransportError::Lost { delivery, reason: "its stream ended".to_owned() };
        };
        match refusal(&error) {
            Some(reason) => {
                let address = self.connection.remote_address();
                TransportError::Connect { node: self.peer, address, reason }
            }
            None => TransportError::Lost { delivery, reason: error.to_string() },
        }
    }
}

/// The words of a peer that has refused this node's certificate, or this node's of the peer's.
pub(crate) fn refusal(error: &ConnectionError) -> Option<String> {
    let (code, reason) = match error {
        ConnectionError::TransportError(error) => (u64::from(error.code), error.reason.clone()),
        ConnectionError::ConnectionClosed(close) => {
            (u64::from(close.error_code), String::from_utf8_lossy(&close.reason).into_owned())
        }
        ConnectionError::ApplicationClosed(close) if close.error_code == close_code::NOT_ALLOWED => {
            return Some(String::from_utf8_lossy(&close.reason).into_owned());
        }
        _ => return None,
    };
    // RFC 9000, 20.1: 0x100 to 0x1ff are alerts of TLS.
    (0x100..0x200).contains(&code).then_some(reason)
}

/// What a frame means to the one who asked.
pub(crate) fn outcome(
    class: Class,
    head: FrameHead,
    body: Bytes,
) -> Result<Result<Bytes, TransportError>, FrameError> {
    Ok(match head.kind {
        Kind::Reply => Ok(body),
        Kind::Overloaded => Err(TransportError::Overloaded { class, at_peer: true }),
        Kind::Expired => Err(TransportError::Deadline { delivery: Delivery::Unknown }),
        Kind::Failed => Err(TransportError::Failed),
        Kind::Request | Kind::OneWay => return Err(FrameError::Misplaced(head.kind)),
    })
}

/// The time left, rounded up: the far end must not give up first.
pub(crate) fn left_ms(deadline: Instant, now: Instant) -> u32 {
    u32::try_from(deadline.saturating_duration_since(now).as_micros().div_ceil(1000)).unwrap_or(u32::MAX)
}
