//! Calls that are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts a call as under way for as long as it exists.
pub(crate) struct UnderWay(Arc<AtomicU64>);

impl UnderWay {
    pub(crate) fn new(count: &Arc<AtomicU64>) -> UnderWay {
        count.fetch_add(1, Ordering::SeqCst);
        UnderWay(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
