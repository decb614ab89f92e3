//! How long a guest may run: its own processor time, and the deadline of the request.
//!
//! A running guest meets a check at each tick of the clock. There its time is added up and compared, and it yields the
//! thread. A call that ends before its first tick, as almost all do, never reads a clock.
//!
//! A guest gives the thread away at ticks, and wherever it waits for the host. It may be given another one then, and what other
//! tasks use meanwhile is not its time: so whoever polls the call says when it has the thread, by [`Clock::count`].

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use crate::stop::TimeoutKind;

/// The time of one call.
#[derive(Debug)]
pub(crate) struct RunTime {
    run_max: Duration,
    deadline: Option<Instant>,
    clock: Clock,
    expired: Option<TimeoutKind>,
}

/// The processor time that a call has used; a clone is the same clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    /// Nanoseconds of this call so far, without the part before its first tick.
    ran_ns: AtomicU64,
    /// Processor time of the thread, in nanoseconds, up to which they are counted; 0 before the first tick.
    counted_to_ns: AtomicU64,
    /// Whether the call's deadline has been met in time, and holds no more.
    undated: AtomicBool,
}

impl RunTime {
    pub(crate) fn new(run_max: Duration) -> RunTime {
        RunTime { run_max, deadline: None, clock: Clock::default(), expired: None }
    }

    /// Starts to count for a call, which is to be polled through the clock.
    pub(crate) fn start(&mut self, deadline: Option<Instant>) -> Clock {
        self.deadline = deadline;
        self.expired = None;
        self.clock.reset();
        self.clock.clone()
    }

    /// Which time ran out in this call.
    pub(crate) fn expired(&self) -> Option<TimeoutKind> {
        self.expired
    }

    /// At a tick, on the guest's thread: ends the call or has it yield.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        if self.clock.ran_at_tick() >= self.run_max {
            return self
                .expire(TimeoutKind::RunTime(u32::try_from(self.run_max.as_millis()).unwrap_or(u32::MAX)));
        }
        let deadline = self.deadline.filter(|_| !self.clock.0.undated.load(Ordering::Relaxed));
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return self.expire(TimeoutKind::Deadline);
        }
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    }

    fn expire(&mut self, kind: TimeoutKind) -> wasmtime::Result<UpdateDeadline> {
        self.expired = Some(kind);
        Ok(UpdateDeadline::Interrupt)
    }
}

impl Clock {
    /// Polls a call, and counts the time in which it has the thread.
    pub(crate) async fn count<F: Future>(self, call: F) -> F::Output {
        let mut call = pin!(call);
        poll_fn(|context| {
            self.resume();
            let polled = call.as_mut().poll(context);
            if polled.is_pending() {
                self.suspend();
            }
            polled
        })
        .await
    }

    /// The call has said what its caller waited for: it may go on without a deadline.
    pub(crate) fn lift_deadline(&self) {
        self.0.undated.store(true, Ordering::Relaxed);
    }

    /// What the call has used until now counts no more.
    pub(crate) fn count_anew(&self) {
        self.0.ran_ns.store(0, Ordering::Relaxed);
    }

    fn reset(&self) {
        self.0.undated.store(false, Ordering::Relaxed);
        self.0.ran_ns.store(0, Ordering::Relaxed);
        self.0.counted_to_ns.store(0, Ordering::Relaxed);
    }

    /// The call is given a thread: what that one has used before is not the call's.
    fn resume(&self) {
        if self.0.counted_to_ns.load(Ordering::Relaxed) != 0 {
            self.0.counted_to_ns.store(thread_time_ns(), Ordering::Relaxed);
        }
    }

    /// The call gives the thread away.
    fn suspend(&self) {
        if self.0.counted_to_ns.load(Ordering::Relaxed) != 0 {
            self.add_up();
        }
    }

    /// The call's time so far; begins to count at the first tick.
    fn ran_at_tick(&self) -> Duration {
        self.add_up();
        Duration::from_nanos(self.0.ran_ns.load(Ordering::Relaxed))
    }

    /// Adds what was used since it was last counted. One thread at a time has the call, so nothing comes between.
    fn add_up(&self) {
        let now = thread_time_ns();
        let counted_to = self.0.counted_to_ns.swap(now, Ordering::Relaxed);
        if counted_to != 0 {
            self.0.ran_ns.fetch_add(now.saturating_sub(counted_to), Ordering::Relaxed);
        }
    }
}

/// Processor time that this thread has used.
fn thread_time_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let ns = Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)).as_nanos();
    // 584 years of processor time fit.
    u64::try_from(ns).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const RUN_MAX: Duration = Duration::from_millis(100);

    /// Uses so much of this thread's processor time.
    fn burn(time: Duration) {
        let end = thread_time_ns() + u64::try_from(time.as_nanos()).unwrap();
        while thread_time_ns() < end {}
    }

    fn poll<T>(call: &mut Pin<Box<impl Future<Output = T>>>) -> Poll<T> {
        call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Waits for the host, as an import may.
    async fn wait() {
        let mut waited = false;
        poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    #[test]
    fn what_another_thread_has_used_before_is_not_the_calls_time() {
        let mut run_time = RunTime::new(RUN_MAX);
        let clock = run_time.start(None);
        let mut call = Box::pin(clock.count(async move {
            run_time.tick().unwrap();
            wait().await;
            run_time.tick().unwrap();
            run_time.expired()
        }));
        assert!(poll(&mut call).is_pending());
        let other = std::thread::spawn(move || {
            burn(RUN_MAX * 2);
            poll(&mut call)
        });
        assert_eq!(other.join().unwrap(), Poll::Ready(None));
    }

    #[test]
    fn what_others_use_of_the_thread_meanwhile_is_not_the_calls_time() {
        let mut run_time = RunTime::new(RUN_MAX);
        let clock = run_time.start(None);
        let mut call = Box::pin(clock.count(async move {
            run_time.tick().unwrap();
            wait().await;
            run_time.tick().unwrap();
            run_time.expired()
        }));
        assert!(poll(&mut call).is_pending());
        burn(RUN_MAX * 2);
        assert_eq!(poll(&mut call), Poll::Ready(None));
    }

    #[test]
    fn what_a_call_uses_between_its_waits_is_added_up() {
        let mut run_time = RunTime::new(RUN_MAX);
        let clock = run_time.start(None);
        let mut call = Box::pin(clock.count(async move {
            run_time.tick().unwrap();
            for _ in 0..3 {
                burn(RUN_MAX / 2);
                wait().await;
            }
            run_time.tick().unwrap();
            run_time.expired()
        }));
        let expired = loop {
            if let Poll::Ready(expired) = poll(&mut call) {
                break expired;
            }
        };
        assert!(matches!(expired, Some(TimeoutKind::RunTime(100))), "{expired:?}");
    }
}
