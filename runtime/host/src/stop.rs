//! Why a guest was stopped: a trap, a limit, or the time.

use std::fmt;

use wasmtime::{Trap, WasmBacktrace};

/// Bytes of a guest's backtrace, and of the text of a refusal, that are kept.
const TEXT_BYTES_MAX: usize = 8 << 10;

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

/// Why wasmtime ended a guest.
#[derive(Debug)]
pub(crate) enum StopReason {
    Timeout(TimeoutKind),
    Limit(LimitHit),
    Trap(GuestTrap),
    /// No trap: the host itself failed.
    Host(String),
}

impl StopReason {
    /// Reads the reason from the error alone; what the guest met before it, and how large its limits are, is for the
    /// caller to weigh first.
    pub(crate) fn of(error: &wasmtime::Error, stack_bytes: u64, hand_over_bytes: u64) -> StopReason {
        let trap = error.downcast_ref::<Trap>();
        if trap == Some(&Trap::StackOverflow) {
            return StopReason::Limit(LimitHit::Stack(stack_bytes));
        }
        // wasmtime gives this error no type of its own; a test would notice other words.
        if error.root_cause().to_string().contains("fuel allocated for hostcalls") {
            return StopReason::Limit(LimitHit::Reply(hand_over_bytes));
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

/// The start of a text that a guest had a hand in.
pub(crate) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}
