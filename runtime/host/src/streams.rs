//! The bodies of a call that are not held whole: how a request's comes in, and how a response's goes out.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::mpsc;
use wasmtime_wasi_http::Error as WasiError;

use crate::call::CallError;

/// The body of a request, as it comes.
pub type IncomingBody = UnsyncBoxBody<Bytes, BodyError>;

/// Both bodies of one call.
#[derive(Debug)]
pub struct Streams {
    /// What the caller sends.
    pub body: IncomingBody,
    /// Where the response's body goes. Its capacity is what the guest may be ahead of the caller; who drops the other end ends the guest.
    pub parts: mpsc::Sender<Part>,
    /// How long the response's body may stand still, for whichever side.
    pub idle_max: Duration,
}

/// A part of a response's body. One that ends without [`Part::End`] is broken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Bytes of it.
    Data(Bytes),
    /// It is whole.
    End,
}

/// Why no more comes of a request's body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Nothing has come for so long.
    #[error("nothing has come for {} s", .0.as_secs())]
    Idle(Duration),
    /// The caller is gone, or sends what is no body.
    #[error("{0}")]
    Broken(String),
}

/// Why a streamed response did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The guest ended badly.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Nobody waits for it any more.
    #[error("the caller went away")]
    CallerGone,
    /// The caller takes nothing of what is there.
    #[error("the caller has taken nothing for {} s", .0.as_secs())]
    CallerIdle(Duration),
    /// The guest neither goes on nor ends.
    #[error("the component has not gone on for {} s", .0.as_secs())]
    GuestIdle(Duration),
}

impl From<BodyError> for WasiError {
    fn from(error: BodyError) -> WasiError {
        match error {
            BodyError::Idle(_) => WasiError::ConnectionReadTimeout,
            BodyError::Broken(_) => WasiError::ConnectionTerminated,
        }
    }
}
