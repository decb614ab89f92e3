//! A shard function: key to shard, with fuel, from any thread.

use crate::digest::Digest;

/// A shard function, ready to be asked from any thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct ShardFunction {
    digest: Digest,
}

/// The function gave no shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardFunctionError {
    /// It used up its fuel.
    #[error("the shard function ran out of fuel ({0} units)")]
    Fuel(u64),
    /// It trapped.
    #[error("the shard function trapped: {0}")]
    Trap(String),
    /// It named a shard that the cluster does not have.
    #[error("the shard function answered {answer}; there are {count} shards")]
    OutOfRange {
        /// What it answered.
        answer: u32,
        /// How many shards there are.
        count: u32,
    },
    /// No instance of it could be made.
    #[error("no instance of the shard function: {0}")]
    Instantiate(String),
}

impl ShardFunction {
    /// The component's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The shard, below `count`, that the key belongs to.
    ///
    /// # Errors
    /// See [`ShardFunctionError`]; the next call is not affected.
    pub fn shard_of(&self, key: &str, count: u32) -> Result<u32, ShardFunctionError> {
        let _ = (key, count);
        todo!()
    }
}
