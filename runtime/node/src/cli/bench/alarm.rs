//! A clock to wake by that is exact to some microseconds. The runtime's own counts milliseconds: at ten thousand calls a second, ten
//! of them would begin at once, and wait for each other.

use std::fs::File;
use std::io;
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;

/// An alarm clock for one sleeper at a time: a timer that is read as a pipe is, which has something in it once the time has come.
#[derive(Debug)]
pub(super) struct Alarm {
    set: File,
    rung: Receiver,
}

impl Alarm {
    /// A clock that rings for nobody yet.
    ///
    /// # Errors
    /// If the system has no descriptor left.
    pub(super) fn new() -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let set = File::from(timerfd_create(TimerfdClockId::Monotonic, flags)?);
        let rung = Receiver::from_file_unchecked(set.try_clone()?)?;
        Ok(Alarm { set, rung })
    }

    /// Sleeps until then; not at all if that is over.
    ///
    /// # Errors
    /// If the system refuses to set the clock.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the clock set; the next sleeper sets it anew.
    pub(super) async fn sleep_until(&self, then: Instant) -> io::Result<()> {
        loop {
            let left = then.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let left = Timespec::try_from(left).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: left };
            timerfd_settime(&self.set, TimerfdTimerFlags::empty(), &once)?;
            self.rung.readable().await?;
            // It may be the ring of the sleeper before, whose time is over: what counts is the loop's condition. Read until there is
            // nothing left, or the next sleeper would be woken by this ring.
            while self.rung.try_read(&mut [0; 8]).is_ok() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sleeper_is_not_woken_early_and_a_time_that_is_over_is_not_waited_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let alarm = Alarm::new().unwrap();
            let begun = Instant::now();
            alarm.sleep_until(begun).await.unwrap();
            for step in 1..=20 {
                let then = begun + Duration::from_micros(300) * step;
                alarm.sleep_until(then).await.unwrap();
                assert!(Instant::now() >= then);
            }
        });
    }
}
