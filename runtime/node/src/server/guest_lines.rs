//! What the guests of this node have said: the newest lines are kept in memory, and those to come can be followed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use shardloom_host::{GuestLine, GuestTrap, LogLevel, LogSink};
use shardloom_sharding::ids::ShardId;
use tokio::sync::broadcast;

/// Lines that a node keeps: enough to see what led to a failure.
pub const KEPT_MAX: usize = 1_000;
/// Bytes of text in them: long lines push more of the old ones out.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// Lines that one who follows may be behind before it misses some.
const BEHIND_MAX: usize = 1_024;

/// What groups the lines that say that a guest has trapped.
const TRAP: &str = "trap";

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// When it was said, in milliseconds since 1970 by the node's own clock: for people, who compare it with other logs.
    pub at_ms: u64,
    /// The workload.
    pub workload: Arc<str>,
    /// The shard whose instance said it.
    pub shard: ShardId,
    /// How much it matters.
    pub level: &'static str,
    /// Any text that groups lines; `stdout` and `stderr` for what was printed, `trap` for what the node says of a trap.
    pub context: String,
    /// The text.
    pub message: String,
    /// Lines that were dropped before it, since the guest was over its rate.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Arc<Line>>,
    bytes: usize,
}

/// The lines of all guests of a node.
#[derive(Debug)]
pub struct GuestLines {
    kept: Mutex<Kept>,
    coming: broadcast::Sender<Arc<Line>>,
}

impl Default for GuestLines {
    fn default() -> GuestLines {
        GuestLines { kept: Mutex::default(), coming: broadcast::Sender::new(BEHIND_MAX) }
    }
}

impl GuestLines {
    /// Where the lines of one workload's guest on one shard go: here, and into the node's own log.
    pub fn sink(self: &Arc<Self>, workload: &str, shard: ShardId) -> LogSink {
        let (lines, workload): (_, Arc<str>) = (Arc::clone(self), Arc::from(workload));
        LogSink::new(move |line: GuestLine<'_>| {
            trace(&workload, shard, &line);
            lines.take(Line {
                at_ms: now_ms(),
                workload: Arc::clone(&workload),
                shard,
                level: name(line.level),
                context: line.context.to_owned(),
                message: line.message.to_owned(),
                dropped: line.dropped,
            });
        })
    }

    /// Notes that a guest has trapped: who looks at its lines wants to know where they end, and why.
    pub fn trapped(&self, workload: &str, shard: ShardId, trap: &GuestTrap) {
        tracing::warn!(workload, %shard, reason = trap.reason, backtrace = trap.backtrace, "a guest trapped");
        self.take(Line {
            at_ms: now_ms(),
            workload: Arc::from(workload),
            shard,
            level: name(LogLevel::Error),
            context: TRAP.to_owned(),
            message: format!("the guest trapped: {}\n{}", trap.reason, trap.backtrace).trim_end().to_owned(),
            dropped: 0,
        });
    }

    fn take(&self, line: Line) {
        let line = Arc::new(line);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += line.bytes();
        kept.lines.push_back(Arc::clone(&line));
        while kept.lines.len() > KEPT_MAX || kept.bytes > KEPT_BYTES_MAX {
            let Some(oldest) = kept.lines.pop_front() else { break };
            kept.bytes -= oldest.bytes();
        }
        // Nobody may be following. Under the lock: who begins to follow misses no line and gets none twice.
        let _ = self.coming.send(line);
    }

    /// The newest lines, at most so many of those that are wanted, oldest first; and all that come after them.
    pub fn follow(
        &self,
        most: usize,
        wanted: impl Fn(&Line) -> bool,
    ) -> (Vec<Arc<Line>>, broadcast::Receiver<Arc<Line>>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest: Vec<_> =
            kept.lines.iter().rev().filter(|line| wanted(line)).take(most).cloned().collect();
        newest.reverse();
        (newest, self.coming.subscribe())
    }
}

impl Line {
    fn bytes(&self) -> usize {
        self.context.len() + self.message.len()
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
        LogLevel::Critical => "critical",
    }
}

/// Writes a line into the node's log.
fn trace(workload: &str, shard: ShardId, line: &GuestLine<'_>) {
    let GuestLine { level, context, message, dropped } = line;
    match level {
        LogLevel::Trace => {
            tracing::trace!(target: "guest", workload, %shard, context, dropped, "{message}")
        }
        LogLevel::Debug => {
            tracing::debug!(target: "guest", workload, %shard, context, dropped, "{message}")
        }
        LogLevel::Info => {
            tracing::info!(target: "guest", workload, %shard, context, dropped, "{message}")
        }
        LogLevel::Warn => {
            tracing::warn!(target: "guest", workload, %shard, context, dropped, "{message}")
        }
        LogLevel::Error | LogLevel::Critical => {
            tracing::error!(target: "guest", workload, %shard, context, dropped, "{message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str) -> Line {
        Line {
            at_ms: 1,
            workload: "w".into(),
            shard: ShardId(1),
            level: "info",
            context: String::new(),
            message: message.to_owned(),
            dropped: 0,
        }
    }

    #[test]
    fn the_newest_lines_are_kept_and_those_to_come_are_followed() {
        let lines = GuestLines::default();
        for number in 0..KEPT_MAX + 5 {
            lines.take(line(&number.to_string()));
        }
        let (newest, mut coming) = lines.follow(2, |line| line.message.ends_with('3'));
        assert_eq!(newest.iter().map(|line| &line.message[..]).collect::<Vec<_>>(), ["993", "1003"]);
        assert_eq!(lines.follow(usize::MAX, |_| true).0.len(), KEPT_MAX);
        lines.take(line("next"));
        assert_eq!(coming.try_recv().unwrap().message, "next");
        assert!(coming.try_recv().is_err());
    }
}
