//! What can go wrong with the log, and what it means for the process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{FORMAT_VERSION, HeaderError};
use super::record::LogId;
use crate::exit::{EXIT_DAMAGED, EXIT_DISK_FAILED, EXIT_DISK_FULL, EXIT_NEWER_BUILD};

/// Why the log could not be opened, written or read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WalError {
    /// A checksum, a sequence number or a shape is wrong before the tail of the log. Nothing was changed.
    #[error("{} is damaged at byte {offset}: {what}", file.display())]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file the damaged unit starts.
        offset: u64,
        /// What was expected.
        what: String,
    },
    /// The file was written by a newer Shardloom. Nothing was changed.
    #[error("{} has format version {found}; this Shardloom reads up to {known}: use a newer one", file.display())]
    NewerVersion {
        /// The file.
        file: PathBuf,
        /// The version it has.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
    /// The disk is full: entries are refused until there is room. If the log's own reserve runs out too, it is fatal.
    #[error("the disk of {} is full", dir.display())]
    DiskFull {
        /// The directory of the log.
        dir: PathBuf,
        /// Whether the log ended over it.
        fatal: bool,
    },
    /// A write or fdatasync failed. Nobody knows any more what is on the disk: the log accepts nothing from here on.
    #[error("{step} {} failed: the disk is not to be trusted any more", file.display())]
    Failed {
        /// What failed, as a verb.
        step: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// A file operation outside the write path failed.
    #[error("cannot {step} {}", path.display())]
    Io {
        /// What failed, as a verb.
        step: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// The queue is full ([`super::Wal::try_submit`] only).
    #[error("the log's queue is full")]
    QueueFull,
    /// The submission is larger than the log accepts at once.
    #[error("a submission of {bytes} bytes is over the log's limit of {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// An entry does not follow the last one of its log. Nothing of the submission was taken.
    #[error("log {log} continues at {expected}, not at {index}")]
    OutOfOrder {
        /// The log.
        log: LogId,
        /// The index that the entry has.
        index: u64,
        /// The index that it must have.
        expected: u64,
    },
    /// The tail cannot be cut below the given-up head. Nothing of the submission was taken.
    #[error("log {log} starts at {first} and cannot be cut at {from}")]
    CutBelowHead {
        /// The log.
        log: LogId,
        /// Where the cut was asked for.
        from: u64,
        /// The first index of the log.
        first: u64,
    },
    /// Slots from [`super::SLOT_RESERVED`] on belong to the log itself.
    #[error("register slot {slot:#x} is reserved")]
    ReservedSlot {
        /// The slot.
        slot: u64,
    },
    /// The options contradict each other.
    #[error("log options: {0}")]
    Options(&'static str),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl WalError {
    /// A failure in the write path; a full disk is told apart.
    pub(crate) fn failed(step: &'static str, file: &Path) -> impl Fn(io::Error) -> WalError {
        let file = file.to_path_buf();
        move |source| match (source.kind(), file.parent()) {
            (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, Some(dir)) => {
                WalError::DiskFull { dir: dir.to_path_buf(), fatal: true }
            }
            _ => WalError::Failed { step, file: file.clone(), source: Arc::new(source) },
        }
    }

    pub(crate) fn io(step: &'static str, path: &Path) -> impl Fn(io::Error) -> WalError {
        let path = path.to_path_buf();
        move |source| WalError::Io { step, path: path.clone(), source: Arc::new(source) }
    }

    pub(crate) fn header(file: &Path, error: HeaderError) -> WalError {
        let file = file.to_path_buf();
        match error {
            HeaderError::Newer(found) => WalError::NewerVersion { file, found, known: FORMAT_VERSION },
            HeaderError::Damaged { offset, what } => {
                WalError::Damaged { file, offset, what: what.to_owned() }
            }
        }
    }

    /// Whether the log is unusable from here on: the process is to end with [`WalError::exit_code`].
    pub fn is_fatal(&self) -> bool {
        match self {
            WalError::Failed { .. } | WalError::Damaged { .. } | WalError::NewerVersion { .. } => true,
            WalError::DiskFull { fatal, .. } => *fatal,
            _ => false,
        }
    }

    /// Whether the same submission may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, WalError::QueueFull | WalError::DiskFull { fatal: false, .. })
    }

    /// Whether the disk has no room: the caller is told so.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, WalError::DiskFull { .. })
    }

    /// The code that the process is to end with when this error is fatal.
    pub fn exit_code(&self) -> u8 {
        match self {
            WalError::DiskFull { .. } => EXIT_DISK_FULL,
            WalError::Damaged { .. } => EXIT_DAMAGED,
            WalError::NewerVersion { .. } => EXIT_NEWER_BUILD,
            _ => EXIT_DISK_FAILED,
        }
    }
}
