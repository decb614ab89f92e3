//! What can go wrong with the state.

use std::fmt;

/// Why a write was not taken, or a value is not what it should be. The call goes on, with the state as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// The key, the value, or all writes of the call together are over a bound, which the text names.
    TooLarge(String),
    /// With this write the workload would keep more bytes on the shard than it may.
    QuotaExceeded,
    /// The reply has begun: nothing can be written any more.
    Closed,
    /// A value is not of the form that was asked for, or has none in JSON.
    Damaged(String),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::TooLarge(words) | StateError::Damaged(words) => f.write_str(words),
            StateError::QuotaExceeded => f.write_str("this shard has no room for more keys"),
            StateError::Closed => f.write_str("the reply has begun"),
        }
    }
}

impl std::error::Error for StateError {}
