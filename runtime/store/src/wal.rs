//! The node's write-ahead log: many logs and registers in one sequence of segment files.

mod error;
mod record;
mod ticket;

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use shardloom_sharding::ids::{Boot, DiskId};

pub use error::{EXIT_DAMAGED, EXIT_DISK_FAILED, EXIT_DISK_FULL, WalError};
pub use record::{LogId, Record};
pub use ticket::{Progress, Ticket, WriteSeq};

/// Register slots from here on belong to the log itself.
pub const SLOT_RESERVED: u64 = 1 << 63;

/// The limits of a log.
#[derive(Clone, Debug)]
pub struct WalOptions {
    /// The size of a segment file, in bytes; it is zero-filled ahead of use, because a write into allocated blocks
    /// spares fdatasync the file system's journal.
    pub segment_bytes: u64,
    /// How much may be queued and not yet durable, in bytes (each record counts its payload and a fixed cost): the
    /// bound of one group commit, and of one submission. At most a quarter of a segment.
    pub queue_bytes_max: usize,
    /// How many bytes of durable entries stay in memory for readers of the tails.
    pub cache_bytes_max: usize,
}

impl Default for WalOptions {
    fn default() -> WalOptions {
        WalOptions { segment_bytes: 16 << 20, queue_bytes_max: 4 << 20, cache_bytes_max: 16 << 20 }
    }
}

/// What was found when the log was opened.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The identity of this log; made with it.
    pub disk: DiskId,
    /// How often the log has been opened, this time included; durable.
    pub boot: Boot,
    /// How many bytes of a torn tail were cut off; 0 after an orderly end.
    pub torn_bytes: u64,
    /// How many segment files were read.
    pub segments: usize,
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Group commits since the log was opened, one fdatasync each.
    pub commits: u64,
    /// Records written since the log was opened.
    pub records: u64,
    /// Records written again to free old segments.
    pub carried: u64,
    /// Bytes written since the log was opened.
    pub written_bytes: u64,
    /// Microseconds spent in fdatasync since the log was opened.
    pub sync_us: u64,
    /// Segment files at present.
    pub segments: u64,
    /// Bytes of the segments that are still needed.
    pub live_bytes: u64,
}

/// The write-ahead log; a cheap handle to it. When the last handle goes, what was submitted is written, then the log
/// is closed.
#[derive(Clone, Debug)]
pub struct Wal {}

impl Wal {
    /// Opens the log in `dir`, or makes it. Blocks on the disk.
    ///
    /// # Errors
    /// [`WalError::Damaged`] and [`WalError::NewerVersion`] leave the directory as it was.
    pub fn open(dir: &Path, options: WalOptions) -> Result<(Wal, Recovery), WalError> {
        let _ = (dir, options);
        todo!()
    }

    /// Submits records, all or none of them, behind everything submitted before; waits while the queue is full.
    /// Readers see them when this returns; they are durable when the ticket says so.
    ///
    /// # Errors
    /// The submission was not taken.
    ///
    /// # Cancel safety
    /// Dropped before it returns, nothing was submitted.
    pub async fn submit(&self, records: Vec<Record>) -> Result<Ticket, WalError> {
        let _ = records;
        todo!()
    }

    /// Like [`Wal::submit`], but fails with [`WalError::QueueFull`] instead of waiting.
    ///
    /// # Errors
    /// The submission was not taken.
    pub fn try_submit(&self, records: Vec<Record>) -> Result<Ticket, WalError> {
        let _ = records;
        todo!()
    }

    /// A view of how far the log is durable.
    pub fn progress(&self) -> Progress {
        todo!()
    }

    /// Entries of `log` in `range`, in order: from the first that exists, without gaps, until `bytes_max` of payload
    /// is reached (but at least one, if there is any). May block on the disk for entries that left the memory.
    ///
    /// # Errors
    /// The log ended, or an entry on the disk is damaged.
    pub fn read(
        &self,
        log: LogId,
        range: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Bytes)>, WalError> {
        let _ = (log, range, bytes_max);
        todo!()
    }

    /// The index of the first entry, if there is one.
    pub fn first_index(&self, log: LogId) -> Option<u64> {
        let _ = log;
        todo!()
    }

    /// The index of the last entry; after a purge of all entries, the last that was given up.
    pub fn last_index(&self, log: LogId) -> Option<u64> {
        let _ = log;
        todo!()
    }

    /// The last index that was given up by a purge, if any was.
    pub fn purged_index(&self, log: LogId) -> Option<u64> {
        let _ = log;
        todo!()
    }

    /// The logs that exist, in order.
    pub fn logs(&self) -> Vec<LogId> {
        todo!()
    }

    /// The value of a register.
    pub fn register(&self, slot: u64) -> Option<Bytes> {
        let _ = slot;
        todo!()
    }

    /// All registers in `slots`, in order.
    pub fn registers(&self, slots: Range<u64>) -> Vec<(u64, Bytes)> {
        let _ = slots;
        todo!()
    }

    /// Figures for metrics.
    pub fn stats(&self) -> WalStats {
        todo!()
    }

    /// Makes everything durable that was submitted, then ends the log: later submissions are refused. Blocks.
    ///
    /// # Errors
    /// The error that ended the log before it could be closed.
    pub fn close(&self) -> Result<(), WalError> {
        todo!()
    }
}
