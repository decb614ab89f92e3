//! The one clock that the cluster decides by: monotonic, and counting the time that the machine was suspended.
//!
//! Wall clocks decide nothing. `CLOCK_BOOTTIME` is what makes a lease safe on a machine that sleeps: a clock that stops with the
//! machine would let a node wake up and go on serving under a lease that has long run out.

use rustix::time::{ClockId, clock_gettime};
use shardloom_sharding::protocol::timing::Time;

/// Reads the clock: nanoseconds since the machine started, suspension included.
pub fn now() -> Time {
    let time = clock_gettime(ClockId::Boottime);
    Time(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
