//! When calls are to begin in an open loop: at a steady rate, whatever becomes of those before.

use std::time::{Duration, Instant};

/// The beginnings of calls, one after the other.
#[derive(Debug)]
pub(super) struct Schedule {
    begin: Instant,
    per_second: f64,
    next: u64,
}

impl Schedule {
    /// So many calls a second from now on.
    pub(super) fn new(begin: Instant, per_second: f64) -> Schedule {
        Schedule { begin, per_second, next: 0 }
    }

    /// When the next call is to begin. Counted from the first one: a sum of intervals would drift.
    pub(super) fn due(&self) -> Instant {
        self.begin + Duration::from_secs_f64(self.next as f64 / self.per_second)
    }

    /// The next call has begun.
    pub(super) fn advance(&mut self) {
        self.next += 1;
    }

    /// How many calls were to begin before `end` and have not.
    pub(super) fn missed(&self, end: Instant) -> u64 {
        let seconds = end.saturating_duration_since(self.begin).as_secs_f64();
        ((seconds * self.per_second).ceil() as u64).saturating_sub(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_due_at_a_steady_rate_and_do_not_drift() {
        let begin = Instant::now();
        let mut schedule = Schedule::new(begin, 3.0);
        assert_eq!(schedule.due(), begin);
        (0..3_000_000).for_each(|_| schedule.advance());
        assert_eq!(schedule.due(), begin + Duration::from_secs(1_000_000));
    }

    #[test]
    fn a_call_that_begins_late_does_not_put_off_the_next() {
        let begin = Instant::now();
        let mut schedule = Schedule::new(begin, 1_000.0);
        schedule.advance();
        assert_eq!(schedule.due() - begin, Duration::from_millis(1));
        schedule.advance();
        assert_eq!(schedule.due() - begin, Duration::from_millis(2));
    }

    #[test]
    fn what_was_due_and_did_not_begin_is_counted() {
        let begin = Instant::now();
        let mut schedule = Schedule::new(begin, 100.0);
        let end = begin + Duration::from_secs(2);
        assert_eq!(schedule.missed(end), 200);
        (0..150).for_each(|_| schedule.advance());
        assert_eq!(schedule.missed(end), 50);
        (0..50).for_each(|_| schedule.advance());
        assert_eq!(schedule.missed(end), 0);
        assert!(schedule.due() >= end);
        assert_eq!(schedule.missed(begin), 0);
    }
}
