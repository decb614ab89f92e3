//! What guests say: lines with a level, bounded in length and rate.

use std::fmt;
use std::sync::Arc;

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

impl LogSink {
    /// Sends lines to `sink`.
    pub fn new(sink: impl Fn(GuestLine<'_>) + Send + Sync + 'static) -> LogSink {
        LogSink(Arc::new(sink))
    }

    pub(crate) fn write(&self, line: GuestLine<'_>) {
        (self.0)(line);
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSink")
    }
}
