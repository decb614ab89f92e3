//! What can go wrong with a database.

use std::io;
use std::path::{Path, PathBuf};

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
