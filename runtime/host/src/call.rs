//! One call, as plain data: request, reply, and every way in which it can end.

use crate::bindings::shard_handler::exports::shardloom::shard::handler as wit;
use crate::limits::Limits;
use crate::state::Write;
use crate::stop::{GuestTrap, LimitHit, StopReason, TimeoutKind, cut};

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The key that picked the shard.
    pub key: String,
    /// Which operation; empty where none was named.
    pub method: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The caller's bytes.
    pub body: Vec<u8>,
    /// Where it goes, for a component of wasi:http; `method` is HTTP's then.
    pub http: Option<HttpTarget>,
}

/// What an HTTP request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTarget {
    /// Whether the caller came by TLS.
    pub tls: bool,
    /// The host, and the port if there is one, that the caller meant.
    pub authority: String,
    /// Path and query as the component is to see them.
    pub path_and_query: String,
}

/// What the guest answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status of HTTP; 200 from a handler.
    pub status: u16,
    /// Headers for the caller; as the guest gave them, unchecked.
    pub headers: Vec<(String, String)>,
    /// Bytes for the caller.
    pub body: Vec<u8>,
}

/// A refusal by the guest, in its own words; the instance stays usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The request makes no sense.
    #[error("invalid: {0}")]
    Invalid(String),
    /// It is about something that does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// It contradicts the state.
    #[error("conflict: {0}")]
    Conflict(String),
    /// Anything else.
    #[error("failed: {0}")]
    Failed(String),
}

/// Why a call has no reply. After anything but a failure the instance is dead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest refused; the instance lives.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// A component of wasi:http has ended without a whole response; the instance may live.
    #[error("{0}")]
    NoResponse(String),
    /// The guest trapped.
    #[error("the guest trapped: {}", .0.reason)]
    Trap(GuestTrap),
    /// The guest went over one of its limits.
    #[error("the guest went over its limit: {0}")]
    Limit(LimitHit),
    /// The guest ran too long.
    #[error("the guest ran too long: {0}")]
    Timeout(TimeoutKind),
    /// The host failed under the guest: a fault of this node, or of wasmtime.
    #[error("the host failed under the guest: {0}")]
    Host(String),
    /// The instance was dead before the call: a new one is needed. The guest did not run.
    #[error("the instance is dead")]
    Dead,
}

/// How a call ended, and what it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEnd {
    /// The guest's reply, or why there is none.
    pub result: Result<Reply, CallError>,
    /// What the call changes in the state, sorted by key, each key once; empty unless there is a reply.
    pub writes: Vec<Write>,
}

/// The status of every reply of a handler.
const STATUS_OK: u16 = 200;

/// From here on a status says that the component failed.
const STATUS_FAILED_MIN: u16 = 500;

impl Reply {
    /// Whether what the call wrote is to be kept.
    pub(crate) fn keeps_writes(&self) -> bool {
        self.status < STATUS_FAILED_MIN
    }
}

/// What came of a guest that has run to its end, and whether its instance may be called again.
pub(crate) struct Ended {
    pub(crate) result: Result<Reply, CallError>,
    pub(crate) usable: bool,
}

/// How large a reply may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyBounds {
    pub(crate) reply_bytes: u64,
    headers: u32,
    header_bytes: u32,
}

impl ReplyBounds {
    pub(crate) fn new(limits: &Limits) -> ReplyBounds {
        ReplyBounds {
            reply_bytes: limits.reply_bytes,
            headers: limits.reply_headers,
            header_bytes: limits.reply_header_bytes,
        }
    }

    pub(crate) fn check(&self, reply: Reply) -> Result<Reply, LimitHit> {
        let header_bytes: usize = reply.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if reply.body.len() as u64 > self.reply_bytes {
            Err(LimitHit::Reply(self.reply_bytes))
        } else if reply.headers.len() as u64 > u64::from(self.headers) {
            Err(LimitHit::ReplyHeaders(self.headers))
        } else if header_bytes as u64 > u64::from(self.header_bytes) {
            Err(LimitHit::ReplyHeaderBytes(self.header_bytes))
        } else {
            Ok(reply)
        }
    }
}

impl From<StopReason> for CallError {
    fn from(reason: StopReason) -> CallError {
        match reason {
            StopReason::Timeout(kind) => CallError::Timeout(kind),
            StopReason::Limit(hit) => CallError::Limit(hit),
            StopReason::Trap(trap) => CallError::Trap(trap),
            StopReason::Host(text) => CallError::Host(text),
        }
    }
}

impl From<Request> for wit::Request {
    fn from(request: Request) -> wit::Request {
        let Request { key, method, headers, body, http: _ } = request;
        wit::Request { key, method, headers, body }
    }
}

impl From<wit::Reply> for Reply {
    fn from(reply: wit::Reply) -> Reply {
        Reply { status: STATUS_OK, headers: reply.headers, body: reply.body }
    }
}

impl From<wit::Failure> for Failure {
    fn from(failure: wit::Failure) -> Failure {
        match failure {
            wit::Failure::Invalid(text) => Failure::Invalid(cut(text)),
            wit::Failure::NotFound(text) => Failure::NotFound(cut(text)),
            wit::Failure::Conflict(text) => Failure::Conflict(cut(text)),
            wit::Failure::Failed(text) => Failure::Failed(cut(text)),
        }
    }
}
