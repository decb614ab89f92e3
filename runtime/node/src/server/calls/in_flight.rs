//! How many calls, and how many bytes of them, a node has taken and not answered: bounded, so that callers cannot fill its memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::gauge::Gauge;

use crate::server::problem::{Code, Problem};

/// The two bounds and what is in use of them.
#[derive(Debug)]
pub struct InFlight {
    calls: AtomicU64,
    bytes: AtomicU64,
    calls_max: u64,
    bytes_max: u64,
    gauge: Gauge,
}

/// The room that one call takes, until it is dropped.
#[derive(Debug)]
pub struct Room {
    of: Arc<InFlight>,
    bytes: u64,
}

impl InFlight {
    /// Sets the bounds; `gauge` shows the calls.
    pub fn new(calls_max: u64, bytes_max: u64, gauge: Gauge) -> Arc<InFlight> {
        Arc::new(InFlight { calls: AtomicU64::new(0), bytes: AtomicU64::new(0), calls_max, bytes_max, gauge })
    }

    /// Makes room for a call with a body of up to `bytes`.
    ///
    /// # Errors
    /// `overloaded`, if either bound is reached.
    pub fn enter(self: &Arc<Self>, bytes: u64) -> Result<Room, Problem> {
        // The room exists from here on: where a bound is found exceeded, dropping it gives back what was taken.
        let room = Room { of: Arc::clone(self), bytes };
        let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.gauge.inc();
        if calls > self.calls_max || bytes > self.bytes_max {
            return Err(Problem::new(Code::Overloaded, "this node has as many calls in flight as it takes"));
        }
        Ok(room)
    }

    /// How many calls are in flight now.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of.calls.fetch_sub(1, Ordering::Relaxed);
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.of.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_a_bound_is_refused_and_takes_nothing() {
        let in_flight = InFlight::new(2, 100, Gauge::default());
        let first = in_flight.enter(90).unwrap();
        assert_eq!(in_flight.enter(11).unwrap_err().code, Code::Overloaded);
        let second = in_flight.enter(10).unwrap();
        assert!(in_flight.enter(0).is_err());
        drop(first);
        assert!(in_flight.enter(90).is_ok());
        drop(second);
        assert_eq!(in_flight.calls(), 0);
    }
}
