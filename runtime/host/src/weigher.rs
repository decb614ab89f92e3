//! A weigher: loads to weights, with fuel, a fresh instance each time.

use crate::digest::Digest;

/// A weigher, ready to run; cheap to clone.
#[derive(Clone, Debug)]
pub struct Weigher {
    digest: Digest,
}

/// The load of one shard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShardLoad {
    /// The shard.
    pub shard: u32,
    /// Calls per second.
    pub calls_per_second: f64,
    /// Milliseconds per second in which a guest of the shard ran.
    pub busy_ms_per_second: f64,
    /// Bytes of state.
    pub state_bytes: u64,
    /// Requests that wait now.
    pub queue_depth: u32,
    /// The weight now.
    pub weight: u32,
}

/// The weigher gave no weights: the old ones stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeigherError {
    /// It used up its fuel.
    #[error("the weigher ran out of fuel ({0} units)")]
    Fuel(u64),
    /// It trapped.
    #[error("the weigher trapped: {0}")]
    Trap(String),
    /// It refused, in its own words.
    #[error("the weigher refused: {0}")]
    Refused(String),
    /// It gave another number of weights than there are shards.
    #[error("the weigher gave {weights} weights for {shards} shards")]
    Length {
        /// How many it gave.
        weights: usize,
        /// How many were asked for.
        shards: usize,
    },
    /// No instance of it could be made.
    #[error("no instance of the weigher: {0}")]
    Instantiate(String),
}

impl Weigher {
    /// The component's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// One weight for each load, in the same order. Yields the thread now and then.
    ///
    /// # Errors
    /// See [`WeigherError`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the run.
    pub async fn weigh(&self, loads: &[ShardLoad]) -> Result<Vec<u32>, WeigherError> {
        let _ = loads;
        todo!()
    }
}
