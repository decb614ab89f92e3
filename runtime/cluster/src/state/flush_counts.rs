//! What flushing has done so far, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Figures for metrics, since the node has started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushFigures {
    /// Rounds: one checkpoint of the database each.
    pub rounds: u64,
    /// Shards whose state was brought up to its log, once for each round that it was in.
    pub shards: u64,
    /// Microseconds that the rounds took.
    pub micros: u64,
}

/// Counts rounds; cheap enough to be asked at any time.
#[derive(Debug, Default)]
pub(crate) struct FlushCounts {
    rounds: AtomicU64,
    shards: AtomicU64,
    micros: AtomicU64,
}

impl FlushCounts {
    /// One more round.
    pub(crate) fn add(&self, shards: usize, took: Duration) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        self.shards.fetch_add(shards as u64, Ordering::Relaxed);
        self.micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    /// All rounds so far.
    pub(crate) fn figures(&self) -> FlushFigures {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        FlushFigures { rounds: read(&self.rounds), shards: read(&self.shards), micros: read(&self.micros) }
    }
}
