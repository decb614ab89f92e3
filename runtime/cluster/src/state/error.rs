//! Why a state cannot be read or written.

use std::time::Duration;

use shardloom_protocol::batch::BatchError;
use shardloom_sharding::ids::{Position, ShardId};
use shardloom_store::{DataDirError, DbError, EXIT_DAMAGED, WalError};

use crate::log_entries::ShardLogError;

/// Why a shard's state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The shard is not served any more under the epoch: what was read may rest on writes that never were.
    #[error("the shard is not served here any more under this epoch")]
    NotServed,
    /// The database fails.
    #[error(transparent)]
    Db(#[from] DbError),
    /// What was read from the database is damaged.
    #[error("the state of this disk's replicas is damaged: it is made anew at the next start")]
    Broken,
    /// A record beside the values is not in a format that this build reads.
    #[error("the {what} of shard {shard} cannot be read")]
    Unreadable {
        /// Which record.
        what: &'static str,
        /// Whose.
        shard: ShardId,
    },
    /// The log fails.
    #[error(transparent)]
    Log(#[from] ShardLogError),
    /// The write-ahead log fails.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// An entry of the log is no batch.
    #[error("the entry at {position} of shard {shard} cannot be applied")]
    Entry {
        /// Whose.
        shard: ShardId,
        /// Where it stands.
        position: Position,
        /// What is wrong with it.
        source: BatchError,
    },
    /// The log does not hold what the state lacks.
    #[error("the log of shard {shard} does not hold entry {position}, which its state lacks")]
    Gap {
        /// Whose.
        shard: ShardId,
        /// The first that is missing.
        position: Position,
    },
    /// A snapshot that was never taken in is to be installed.
    #[error("no snapshot of shard {shard} has been taken in under generation {generation}")]
    NoSnapshot {
        /// Whose.
        shard: ShardId,
        /// Its generation.
        generation: u32,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// No random numbers.
    #[error("the system has no random numbers: {0}")]
    Random(String),
    /// A batch stands elsewhere in the log than the state says.
    #[error("a batch of shard {shard} stands at {found} in the log, and at {expected} in the state")]
    Diverged {
        /// Whose.
        shard: ShardId,
        /// By the state.
        expected: Position,
        /// By the log.
        found: Position,
    },
}

impl StateError {
    /// Whether the same may succeed later: there was too little room, and nothing was begun. What failed on the disk itself is never tried again: nobody
    /// knows what is on it.
    pub fn is_retryable(&self) -> bool {
        matches!(self, StateError::Db(error) if error.is_no_room())
    }
}

impl StateError {
    /// The code that the process is to end with where it cannot go on.
    pub fn exit_code(&self) -> u8 {
        match self {
            StateError::Wal(error) => error.exit_code(),
            StateError::Db(error) => error.exit_code(),
            _ => EXIT_DAMAGED,
        }
    }
}

/// Why a batch was not written. Nothing of it happened.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// The shard is not served any more under the epoch.
    #[error("the shard is not served here any more under this epoch")]
    NotServed,
    /// Something else was written since.
    #[error("something else was written meanwhile")]
    Overtaken,
    /// Something is too large.
    #[error("{what} of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The disk is full, or nearly.
    #[error("the disk of this node has no room for more")]
    DiskFull {
        /// For how long.
        full_for: Duration,
    },
    /// What was there before cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
}
