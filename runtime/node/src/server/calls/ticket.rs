//! Whether a queued call starts or is crossed out.

use std::sync::atomic::{AtomicU8, Ordering};

const QUEUED: u8 = 0;
const STARTED: u8 = 1;
const CROSSED_OUT: u8 = 2;

/// Decides once and for all whether a queued call starts or is crossed out: after one of them, the other cannot happen.
#[derive(Debug, Default)]
pub struct Ticket(AtomicU8);

impl Ticket {
    fn settle(&self, end: u8) -> bool {
        self.0.compare_exchange(QUEUED, end, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Starts the call; false if it was crossed out.
    pub fn start(&self) -> bool {
        self.settle(STARTED)
    }

    /// Crosses the call out, so that it can never start; false if it has started.
    pub fn cross_out(&self) -> bool {
        self.settle(CROSSED_OUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_either_starts_or_is_crossed_out() {
        let ticket = Ticket::default();
        assert!(ticket.start());
        assert!(!ticket.cross_out() && !ticket.start());
        let ticket = Ticket::default();
        assert!(ticket.cross_out());
        assert!(!ticket.start());
    }
}
