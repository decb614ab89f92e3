//! What can go wrong with a database.

use std::io;
use std::path::{Path, PathBuf};

use crate::exit::{EXIT_DAMAGED, EXIT_DISK_FAILED, EXIT_DISK_FULL, EXIT_NEWER_BUILD};

/// Why a database cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The content is not what was written: the database must be rebuilt.
    #[error("{} is damaged: {what}", dir.display())]
    Damaged {
        /// The database's directory.
        dir: PathBuf,
        /// What was found.
        what: String,
    },
    /// Written by a newer Shardloom. Nothing was changed.
    #[error("{} has format version {found}; this Shardloom reads up to {known}: use a newer one", dir.display())]
    NewerVersion {
        /// The database's directory.
        dir: PathBuf,
        /// The version it has.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
    /// The directory holds another database.
    #[error("{} is the database {found:?}, not {expected:?}", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// The name it was to have.
        expected: String,
        /// The name it has.
        found: String,
    },
    /// A file operation failed.
    #[error("cannot {step} {}", dir.display())]
    Io {
        /// What failed, as a verb.
        step: &'static str,
        /// The database's directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk has too little room for what is to be written. Nothing was changed, and it may be tried again.
    #[error("there is too little room on the disk of {}", dir.display())]
    NoRoom {
        /// The database's directory.
        dir: PathBuf,
    },
    /// A value is too large. Nothing was changed.
    #[error("a value of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The name of a table is empty or has control characters.
    #[error("{0:?} is no name for a table")]
    TableName(String),
}

impl DbError {
    /// Whether the database must be removed and rebuilt.
    pub fn is_damaged(&self) -> bool {
        matches!(self, DbError::Damaged { .. })
    }

    /// Whether the disk was too full, and the same may succeed later.
    pub fn is_no_room(&self) -> bool {
        matches!(self, DbError::NoRoom { .. })
    }

    /// The code that the process is to end with where it cannot go on.
    pub fn exit_code(&self) -> u8 {
        match self {
            DbError::Io { source, .. } if is_full(source) => EXIT_DISK_FULL,
            DbError::NoRoom { .. } => EXIT_DISK_FULL,
            DbError::Io { .. } => EXIT_DISK_FAILED,
            DbError::NewerVersion { .. } => EXIT_NEWER_BUILD,
            _ => EXIT_DAMAGED,
        }
    }

    pub(crate) fn damaged(dir: &Path, what: impl Into<String>) -> DbError {
        DbError::Damaged { dir: dir.to_path_buf(), what: what.into() }
    }

    pub(crate) fn io(step: &'static str, dir: &Path) -> impl FnOnce(io::Error) -> DbError {
        let dir = dir.to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                DbError::damaged(&dir, source.to_string())
            }
            _ => DbError::Io { step, dir, source },
        }
    }
}

/// Whether a file operation failed because there is no room.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        || error.to_string().contains("No space left on device")
}
