//! What guests say: lines with a level, bounded in length and rate.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::limits::Limits;

/// How much a guest's line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Values and flow of control.
    Trace,
    /// For whoever debugs the guest.
    Debug,
    /// For whoever watches the guest.
    Info,
    /// A hazard.
    Warn,
    /// A serious error.
    Error,
    /// A fatal error.
    Critical,
}

/// One line of a guest's log.
#[derive(Debug, Clone, Copy)]
pub struct GuestLine<'a> {
    /// How much it matters.
    pub level: LogLevel,
    /// Any text that groups lines.
    pub context: &'a str,
    /// The text, cut to the limit.
    pub message: &'a str,
    /// Lines dropped before this one because the guest was over its rate.
    pub dropped: u64,
}

/// Where a guest's lines go. It is called on the guest's thread: it must not block.
#[derive(Clone)]
pub struct LogSink(Arc<dyn Fn(GuestLine<'_>) + Send + Sync>);

/// A log: cuts lines, holds the rate, counts what it drops.
#[derive(Debug)]
struct GuestLog {
    sink: LogSink,
    line_bytes_max: usize,
    bytes_per_s: u32,
    /// Bytes that may be written now.
    credit_bytes: u64,
    refilled_at: Instant,
    dropped: u64,
}

/// The log of one workload's instances on one shard: its rate holds for all of them together, since each may live for one
/// request only. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SharedLog(Arc<Mutex<GuestLog>>);

impl SharedLog {
    /// A log that sends its lines to `sink`, within these limits.
    pub fn new(sink: LogSink, limits: &Limits) -> SharedLog {
        SharedLog(Arc::new(Mutex::new(GuestLog::new(sink, limits))))
    }

    pub(crate) fn write(&self, now: Instant, level: LogLevel, context: &str, message: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(now, level, context, message);
    }
}

impl LogSink {
    /// Sends lines to `sink`.
    pub fn new(sink: impl Fn(GuestLine<'_>) + Send + Sync + 'static) -> LogSink {
        LogSink(Arc::new(sink))
    }

    /// Drops all lines.
    pub fn discard() -> LogSink {
        LogSink::new(|_| {})
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSink")
    }
}

impl GuestLog {
    fn new(sink: LogSink, limits: &Limits) -> GuestLog {
        GuestLog {
            sink,
            line_bytes_max: limits.log_line_bytes as usize,
            bytes_per_s: limits.log_bytes_per_s,
            credit_bytes: limits.log_bytes_per_s.into(),
            refilled_at: Instant::now(),
            dropped: 0,
        }
    }

    fn write(&mut self, now: Instant, level: LogLevel, context: &str, message: &str) {
        self.refill(now);
        let context = cut(context, self.line_bytes_max);
        let message = cut(message, self.line_bytes_max);
        // An empty line costs too.
        let cost = (context.len() + message.len() + 1) as u64;
        match self.credit_bytes.checked_sub(cost) {
            Some(rest) => {
                self.credit_bytes = rest;
                let dropped = std::mem::take(&mut self.dropped);
                (self.sink.0)(GuestLine { level, context, message, dropped });
            }
            None => self.dropped += 1,
        }
    }

    fn refill(&mut self, now: Instant) {
        let rate = u64::from(self.bytes_per_s);
        let passed_ms =
            u64::try_from(now.saturating_duration_since(self.refilled_at).as_millis()).unwrap_or(u64::MAX);
        let earned = rate.saturating_mul(passed_ms) / 1_000;
        if earned > 0 {
            self.credit_bytes = self.credit_bytes.saturating_add(earned).min(rate);
            self.refilled_at = now;
        }
    }
}

/// The longest start of the text that is within the bytes and ends between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    #[test]
    fn log_over_its_rate_is_dropped_and_counted() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        let sink =
            LogSink::new(move |line| seen.lock().unwrap().push((line.message.to_owned(), line.dropped)));
        let limits = Limits { log_bytes_per_s: 10, log_line_bytes: 4, ..Limits::default() };
        let mut log = GuestLog::new(sink, &limits);
        let start = Instant::now();
        for message in ["aéaaaa", "b", "cccc", "d"] {
            log.write(start, LogLevel::Info, "", message);
        }
        log.write(start + Duration::from_secs(9), LogLevel::Info, "", "e");
        let line = |text: &str, dropped| (text.to_owned(), dropped);
        assert_eq!(*lines.lock().unwrap(), [line("aéa", 0), line("b", 0), line("d", 1), line("e", 0)]);
    }
}
