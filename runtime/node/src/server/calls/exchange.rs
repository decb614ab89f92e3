//! The bodies of a call that are not held whole.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use shardloom_host::Streams;

/// The bodies of one call, which can be used once.
pub struct Exchange {
    streams: Mutex<Option<Streams>>,
    asked: String,
}

impl Exchange {
    /// With bodies that nobody has touched, and the path and query of the request as it came.
    pub fn new(streams: Streams, asked: String) -> Exchange {
        Exchange { streams: Mutex::new(Some(streams)), asked }
    }

    /// Takes the bodies, for the one guest that gets them.
    pub fn take(&self) -> Option<Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the caller has asked for, as it came: path and query.
    pub fn asked(&self) -> &str {
        &self.asked
    }

    /// Whether a guest has got them.
    pub fn is_taken(&self) -> bool {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("is_taken", &self.is_taken()).finish_non_exhaustive()
    }
}
