//! One call, as plain data: request, reply, and every way in which it can end.

use std::fmt;

use wasmtime::{Trap, WasmBacktrace};

use crate::bindings::shard_handler::exports::shardloom::shard::handler as wit;
use crate::guest::Guest;
use crate::limits::Limits;

/// Bytes of a guest's backtrace, and of the text of a refusal, that are kept.
const TEXT_BYTES_MAX: usize = 8 << 10;

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
}

/// What the guest answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
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

/// A trap, and where in the guest it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestTrap {
    /// The trap in one line.
    pub reason: String,
    /// The guest's stack, one frame a line; may be empty.
    pub backtrace: String,
}

/// Which limit a guest went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitHit {
    /// Linear memory; the bytes allowed.
    Memory(u64),
    /// Elements of tables; the number allowed.
    Tables(u32),
    /// The stack; the bytes allowed.
    Stack(u64),
    /// What it hands over in one call, its reply above all; the bytes allowed.
    Reply(u64),
    /// Headers of its reply; the number allowed.
    ReplyHeaders(u32),
    /// Bytes of its reply's headers; the bytes allowed.
    ReplyHeaderBytes(u32),
}

/// Which time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeoutKind {
    /// The guest's own run time; the milliseconds allowed.
    RunTime(u32),
    /// The deadline of the request came while the guest ran.
    Deadline,
}

/// How large a reply may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyBounds {
    reply_bytes: u64,
    headers: u32,
    header_bytes: u32,
}

/// Why wasmtime ended a guest.
#[derive(Debug)]
pub(crate) enum StopReason {
    Timeout(TimeoutKind),
    Limit(LimitHit),
    Trap(GuestTrap),
    Host(String),
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

impl StopReason {
    /// Reads the reason from the error, and from what the guest met before it.
    pub(crate) fn of(
        error: &wasmtime::Error,
        guest: &Guest,
        stack_bytes: u64,
        reply: &ReplyBounds,
    ) -> StopReason {
        if let Some(kind) = guest.run_time.expired() {
            return StopReason::Timeout(kind);
        }
        let trap = error.downcast_ref::<Trap>();
        if trap == Some(&Trap::StackOverflow) {
            return StopReason::Limit(LimitHit::Stack(stack_bytes));
        }
        if let Some(hit) = guest.bounds.hit() {
            return StopReason::Limit(hit);
        }
        // wasmtime gives this error no type of its own; a test would notice other words.
        if error.root_cause().to_string().contains("fuel allocated for hostcalls") {
            return StopReason::Limit(LimitHit::Reply(reply.reply_bytes));
        }
        match (trap, error.downcast_ref::<WasmBacktrace>()) {
            (None, None) => StopReason::Host(cut(format!("{error:#}"))),
            (_, backtrace) => StopReason::Trap(GuestTrap {
                reason: trap_words(error),
                backtrace: backtrace.map(|backtrace| cut(backtrace.to_string())).unwrap_or_default(),
            }),
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
        let Request { key, method, headers, body } = request;
        wit::Request { key, method, headers, body }
    }
}

impl From<wit::Reply> for Reply {
    fn from(reply: wit::Reply) -> Reply {
        Reply { headers: reply.headers, body: reply.body }
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

impl fmt::Display for LimitHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitHit::Memory(bytes) => write!(f, "memory ({bytes} bytes)"),
            LimitHit::Tables(elements) => write!(f, "tables ({elements} elements)"),
            LimitHit::Stack(bytes) => write!(f, "stack ({bytes} bytes)"),
            LimitHit::Reply(bytes) => write!(f, "reply ({bytes} bytes)"),
            LimitHit::ReplyHeaders(count) => write!(f, "headers of the reply ({count})"),
            LimitHit::ReplyHeaderBytes(bytes) => write!(f, "headers of the reply ({bytes} bytes)"),
        }
    }
}

impl fmt::Display for TimeoutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeoutKind::RunTime(ms) => write!(f, "{ms} ms of run time"),
            TimeoutKind::Deadline => f.write_str("the deadline of the request"),
        }
    }
}

/// The trap in words, without wasmtime's own prefix.
pub(crate) fn trap_words(error: &wasmtime::Error) -> String {
    let words = error.root_cause().to_string();
    cut(words.strip_prefix("wasm trap: ").map(str::to_owned).unwrap_or(words))
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}
