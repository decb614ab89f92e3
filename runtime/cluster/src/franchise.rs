//! Who has a say in elections.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this node has a say in elections: whether it votes, and stands.
#[derive(Debug)]
pub struct Franchise {
    held: AtomicBool,
}

impl Franchise {
    /// Held from the start, or not before [`crate::candidacy`] gives it.
    pub fn new(held: bool) -> Franchise {
        Franchise { held: AtomicBool::new(held) }
    }

    /// Whether the node may vote and stand now.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// From now on it may.
    pub(crate) fn give(&self) {
        self.held.store(true, Ordering::Release);
    }
}
