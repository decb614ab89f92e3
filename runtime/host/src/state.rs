//! The state that a call sees, and what it leaves: the seam between a guest and whoever keeps the shard's state.

use bytes::Bytes;

/// One workload's state on one shard, as of the start of a call. It does not change while the call runs.
///
/// A guest's reads end here, on the guest's own fiber: an answer may wait for a disk, but for nothing else.
///
/// Keys are ordered by their bytes and laid out as [`key_layout`](crate::key_layout) says.
pub trait StateView: Send + Sync {
    /// Reads the value of a key.
    ///
    /// # Errors
    /// Where the state cannot be read; it ends the call.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError>;

    /// Reads rows in order, from `start` and before `end`: at most `rows` of them, ending with the one that brings keys and
    /// values to `bytes` or more. An answer with fewer rows and fewer bytes than that says that there are no more.
    ///
    /// # Errors
    /// Where the state cannot be read; it ends the call.
    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError>;

    /// Bytes of all keys and values together, for the quota: asked with every write, so it has to be at hand.
    fn bytes(&self) -> u64;
}

/// The state could not be read: trouble of this node, not of the guest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StateError(String);

/// One change that a call made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The key, as the state has it.
    pub key: Bytes,
    /// The key's new value; none removes the key.
    pub value: Option<Bytes>,
}

impl StateError {
    /// An error in words.
    pub fn new(words: impl Into<String>) -> StateError {
        StateError(words.into())
    }
}
