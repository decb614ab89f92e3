//! How long a guest may run: its own processor time, and the deadline of the request.
//!
//! A running guest meets a check at each tick of the clock. There its time is added up and compared, and it yields the
//! thread. A call that ends before its first tick, as almost all do, never reads a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use crate::stop::TimeoutKind;

/// The time of one call.
#[derive(Debug)]
pub(crate) struct RunTime {
    run_max: Duration,
    deadline: Option<Instant>,
    /// Processor time of this call so far, without the part before its first tick.
    ran: Duration,
    /// Processor time of the thread, in nanoseconds, when the guest was last given it; 0 before the first tick.
    resumed_at_ns: Arc<AtomicU64>,
    expired: Option<TimeoutKind>,
}

impl RunTime {
    pub(crate) fn new(run_max: Duration) -> RunTime {
        RunTime {
            run_max,
            deadline: None,
            ran: Duration::ZERO,
            resumed_at_ns: Arc::new(AtomicU64::new(0)),
            expired: None,
        }
    }

    /// Starts to count for a call.
    pub(crate) fn start(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
        self.ran = Duration::ZERO;
        self.resumed_at_ns.store(0, Ordering::Relaxed);
        self.expired = None;
    }

    /// Which time ran out in this call.
    pub(crate) fn expired(&self) -> Option<TimeoutKind> {
        self.expired
    }

    /// At a tick, on the guest's thread: ends the call or has it yield.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let resumed_at_ns = self.resumed_at_ns.load(Ordering::Relaxed);
        if resumed_at_ns != 0 {
            self.ran += Duration::from_nanos(thread_time_ns().saturating_sub(resumed_at_ns));
        }
        if self.ran >= self.run_max {
            return self
                .expire(TimeoutKind::RunTime(u32::try_from(self.run_max.as_millis()).unwrap_or(u32::MAX)));
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return self.expire(TimeoutKind::Deadline);
        }
        let resumed_at = Arc::clone(&self.resumed_at_ns);
        let give_way = async move {
            tokio::task::yield_now().await;
            // Maybe another thread by now.
            resumed_at.store(thread_time_ns(), Ordering::Relaxed);
        };
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(give_way)))
    }

    fn expire(&mut self, kind: TimeoutKind) -> wasmtime::Result<UpdateDeadline> {
        self.expired = Some(kind);
        Ok(UpdateDeadline::Interrupt)
    }
}

/// Processor time that this thread has used.
fn thread_time_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let ns = Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)).as_nanos();
    // 584 years of processor time fit.
    u64::try_from(ns).unwrap_or(u64::MAX)
}
