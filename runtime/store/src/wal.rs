//! The node's write-ahead log: many logs and registers in one sequence of segment files.
//!
//! Submissions are queued in order. One writer thread takes all that is queued, writes it as one batch and syncs once;
//! so what is durable is always a prefix of what was submitted, and the records of one submission are durable together.
//! Readers see a submission as soon as it is queued. The bytes are drawn in `format`; telling a torn tail from damage is
//! explained there too.
//!
//! In reading order: `record`, `format`, `segment`, `entries`, `index`, `recover`, `core`, `writer`, `clean`, `ticket`.

mod clean;
mod core;
mod entries;
mod error;
mod format;
mod index;
mod record;
mod recover;
mod segment;
mod slots;
mod ticket;
mod writer;

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use shardloom_sharding::ids::{Boot, DiskId};

use self::core::{Core, Room};
use format::{FRAMES_START, Header};
use index::{Found, Index};
use segment::Segment;
use writer::Writer;

pub use error::WalError;
pub use record::{LogId, Record};
pub use slots::SLOT_RESERVED;
pub use ticket::{Progress, Ticket, WriteSeq};
pub use writer::SKIPS_FDATASYNC;

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

/// The smallest segment: below it the limits of one batch make no sense.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// A batch, what was queued and as much again that is carried over, takes at most half of a segment.
const QUEUE_FRACTION: u64 = 4;

impl WalOptions {
    fn check(&self) -> Result<(), WalError> {
        if self.segment_bytes < SEGMENT_BYTES_MIN || u32::try_from(self.segment_bytes).is_err() {
            return Err(WalError::Options("segment_bytes must be from 64 KiB to under 4 GiB"));
        }
        if self.queue_bytes_max as u64 > self.segment_bytes / QUEUE_FRACTION {
            return Err(WalError::Options("queue_bytes_max must be at most a quarter of segment_bytes"));
        }
        Ok(())
    }
}

/// The write-ahead log; a cheap handle to it. When the last handle goes, what was submitted is written, then the log
/// is closed.
#[derive(Clone, Debug)]
pub struct Wal {
    open: Arc<Open>,
}

#[derive(Debug)]
struct Open {
    core: Arc<Core>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close();
    }
}

impl Open {
    fn close(&self) {
        self.core.lock().closing = true;
        self.core.wake.notify_one();
        let writer = self.writer.lock().expect("no code panics while it holds this lock").take();
        if let Some(writer) = writer {
            // A writer that panicked has told everybody already.
            let _ = writer.join();
        }
    }
}

impl Wal {
    /// Opens the log in `dir`, or makes it. Blocks on the disk. One process at a time: see [`crate::DataDir`].
    ///
    /// # Errors
    /// [`WalError::Damaged`] and [`WalError::NewerVersion`] leave the directory as it was.
    pub fn open(dir: &Path, options: WalOptions) -> Result<(Wal, Recovery), WalError> {
        Wal::open_after(dir, options, Boot(0))
    }

    /// Like [`Wal::open`], but the boot is counted on from another one, too: where the log before this one is gone, its count must not come again.
    ///
    /// # Errors
    /// As [`Wal::open`].
    pub fn open_after(dir: &Path, options: WalOptions, earlier: Boot) -> Result<(Wal, Recovery), WalError> {
        options.check()?;
        let make = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        make.map_err(WalError::io("make", dir))?;
        let found = match recover::recover(dir)? {
            Some(found) => found,
            None => create(dir, &options)?,
        };
        let boot = Boot(slots::boot(&found.index).max(earlier).0 + 1);
        let recovery =
            Recovery { disk: found.disk, boot, torn_bytes: found.torn_bytes, segments: found.segments.len() };
        let last = found.segments.last_key_value().map(|(_, last)| last.clone());
        let last = last.expect("a log that was found or made has a segment");
        let core = Arc::new(Core::new(dir, options, found.index, found.segments));
        let mut writer = Writer::new(core.clone(), last, found.end, found.next_sequence);
        core.lock().queue(slots::set_boot(boot));
        writer.flush()?;
        let thread = std::thread::Builder::new().name("wal-writer".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(WalError::io("start the writer of", dir))?;
        Ok((Wal { open: Arc::new(Open { core, writer: Mutex::new(Some(thread)) }) }, recovery))
    }

    /// Submits records, all or none of them, behind everything submitted before; waits while the queue is full.
    /// Readers see them when this returns; they are durable when the ticket says so. Without records, the ticket is
    /// that of the last submission.
    ///
    /// # Errors
    /// The submission was not taken.
    ///
    /// # Cancel safety
    /// Dropped before it returns, nothing was submitted.
    pub async fn submit(&self, records: Vec<Record>) -> Result<Ticket, WalError> {
        self.submit_with(records, Room::Ample).await
    }

    /// Like [`Wal::submit`], but entries are taken on the log's reserve, too, when the disk is full: for what is small, bounded, and must not wait.
    ///
    /// # Errors
    /// The submission was not taken.
    ///
    /// # Cancel safety
    /// As [`Wal::submit`].
    pub async fn submit_on_reserve(&self, records: Vec<Record>) -> Result<Ticket, WalError> {
        self.submit_with(records, Room::Reserve).await
    }

    async fn submit_with(&self, records: Vec<Record>, room: Room) -> Result<Ticket, WalError> {
        let core = &self.open.core;
        let cost = core.cost(&records)?;
        let permit = core.room.acquire_many(cost).await.map_err(|_| core.why_ended())?;
        let ticket = core.enqueue(records, cost, room)?;
        // The writer gives the room back.
        permit.forget();
        Ok(ticket)
    }

    /// Why the log has failed, if it has: nothing more is accepted, and the process is to end.
    pub fn failure(&self) -> Option<WalError> {
        self.open.core.lock().ended.clone().filter(WalError::is_fatal)
    }

    /// Whether there is no room for the log's next segment: [`Wal::submit`] refuses entries until there is.
    pub fn is_disk_full(&self) -> bool {
        self.open.core.lock().disk_full
    }

    /// Like [`Wal::submit`], but fails with [`WalError::QueueFull`] instead of waiting.
    ///
    /// # Errors
    /// The submission was not taken.
    pub fn try_submit(&self, records: Vec<Record>) -> Result<Ticket, WalError> {
        let core = &self.open.core;
        let cost = core.cost(&records)?;
        let permit = core.room.try_acquire_many(cost).map_err(|error| match error {
            tokio::sync::TryAcquireError::NoPermits => WalError::QueueFull,
            tokio::sync::TryAcquireError::Closed => core.why_ended(),
        })?;
        let ticket = core.enqueue(records, cost, Room::Ample)?;
        permit.forget();
        Ok(ticket)
    }

    /// A view of how far the log is durable.
    pub fn progress(&self) -> Progress {
        self.open.core.progress()
    }

    /// Entries of `log` in `range`, in order: from the first that exists, without gaps, until `bytes_max` of payload
    /// is reached (but at least one, if there is any). May block on the disk for entries that left the memory.
    ///
    /// # Errors
    /// The log failed, or an entry on the disk is damaged.
    pub fn read(
        &self,
        log: LogId,
        range: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Bytes)>, WalError> {
        let state = self.open.core.lock();
        if let Some(why) = state.ended.as_ref().filter(|why| why.is_fatal()) {
            return Err(why.clone());
        }
        // An open file can be read even if the segment is deleted meanwhile.
        let found: Vec<_> = state
            .index
            .find(log, range, bytes_max)
            .into_iter()
            .map(|(index, found)| {
                let segment = match &found {
                    Found::Disk(place) => state.segments.get(&place.segment).cloned(),
                    Found::Memory(_) => None,
                };
                (index, found, segment)
            })
            .collect();
        drop(state);
        let mut entries = Vec::with_capacity(found.len());
        for (index, found, segment) in found {
            let payload = match (found, segment) {
                (Found::Memory(payload), _) => payload,
                (Found::Disk(place), Some(segment)) => segment.read(place, log, index)?,
                (Found::Disk(_), None) => unreachable!("a segment that holds an entry is not deleted"),
            };
            entries.push((index, payload));
        }
        Ok(entries)
    }

    /// The index of the first entry, if there is one.
    pub fn first_index(&self, log: LogId) -> Option<u64> {
        self.open.core.lock().index.first(log)
    }

    /// The index of the last entry; after a purge of all entries, the last that was given up.
    pub fn last_index(&self, log: LogId) -> Option<u64> {
        self.open.core.lock().index.last(log)
    }

    /// The last index that was given up by a purge, if any was; for a log that began above 1, the one before its first.
    pub fn purged_index(&self, log: LogId) -> Option<u64> {
        self.open.core.lock().index.purged(log)
    }

    /// The logs that exist, in order.
    pub fn logs(&self) -> Vec<LogId> {
        self.open.core.lock().index.logs()
    }

    /// The value of a register.
    pub fn register(&self, slot: u64) -> Option<Bytes> {
        self.open.core.lock().index.register(slot)
    }

    /// All registers in `slots`, in order.
    pub fn registers(&self, slots: Range<u64>) -> Vec<(u64, Bytes)> {
        let slots = slots.start..slots.end.min(SLOT_RESERVED);
        self.open.core.lock().index.registers(slots)
    }

    /// Figures for metrics.
    pub fn stats(&self) -> WalStats {
        let state = self.open.core.lock();
        let (segments, live_bytes) = (state.segments.len() as u64, state.index.live_bytes());
        WalStats { segments, live_bytes, ..state.stats }
    }

    /// Makes everything durable that was submitted, then ends the log: later submissions are refused. Blocks.
    ///
    /// # Errors
    /// The error that ended the log before it could be closed.
    pub fn close(&self) -> Result<(), WalError> {
        self.open.close();
        match self.open.core.why_ended() {
            WalError::Closed => Ok(()),
            why => Err(why),
        }
    }
}

/// Makes a log that has nothing in it.
fn create(dir: &Path, options: &WalOptions) -> Result<recover::Found, WalError> {
    let disk = getrandom::u64().map_err(|error| std::io::Error::other(error.to_string()));
    let disk = DiskId(disk.map_err(WalError::io("draw an identity for", dir))?);
    let header =
        Header { number: slots::FIRST_SEGMENT, disk, file_bytes: options.segment_bytes, first_sequence: 1 };
    let file = segment::prepare(dir, options.segment_bytes);
    let file = file.map_err(WalError::failed("preparing", &segment::segment_path(dir, header.number)))?;
    let segment = Segment::activate(dir, file, header)?;
    Ok(recover::Found {
        index: Index::default(),
        segments: BTreeMap::from([(header.number, Arc::new(segment))]),
        disk,
        end: FRAMES_START,
        next_sequence: 1,
        torn_bytes: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{EXIT_DISK_FAILED, EXIT_DISK_FULL};

    /// A log whose open segment is a device that takes writes and cannot keep them.
    fn broken(dir: &Path, device: &str) -> Wal {
        let options = WalOptions::default();
        let mut found = create(dir, &options).unwrap();
        let device = std::fs::OpenOptions::new().read(true).write(true).open(device).unwrap();
        let good = found.segments.remove(&slots::FIRST_SEGMENT).unwrap();
        let segment = Arc::new(Segment { header: good.header, path: good.path.clone(), file: device });
        found.segments.insert(slots::FIRST_SEGMENT, segment.clone());
        let core = Arc::new(Core::new(dir, options, found.index, found.segments));
        let writer = Writer::new(core.clone(), segment, found.end, found.next_sequence);
        let thread = std::thread::spawn(move || writer.run());
        Wal { open: Arc::new(Open { core, writer: Mutex::new(Some(thread)) }) }
    }

    async fn ends(wal: &Wal) -> WalError {
        let set = |slot| vec![Record::Set { slot, value: Bytes::from_static(b"x") }];
        let (one, two) = (wal.submit(set(1)).await.unwrap(), wal.submit(set(2)).await);
        let why = one.durable().await.unwrap_err();
        if let Ok(two) = two {
            assert!(two.durable().await.is_err());
        }
        assert!(wal.submit(set(3)).await.unwrap_err().is_fatal());
        assert!(wal.try_submit(set(3)).unwrap_err().is_fatal());
        assert!(wal.read(LogId::CONTROL, 0..1, 1).unwrap_err().is_fatal());
        assert!(wal.progress().changed().await.unwrap_err().is_fatal());
        assert!(wal.close().unwrap_err().is_fatal());
        assert_eq!(wal.progress().durable(), WriteSeq(0));
        why
    }

    #[tokio::test]
    async fn failed_fdatasync_ends_the_log_for_all() {
        let dir = tempfile::tempdir().unwrap();
        // The null device takes every write and has no fdatasync.
        let why = ends(&broken(dir.path(), "/dev/null")).await;
        assert!(matches!(why, WalError::Failed { step: "fdatasync of", .. }), "{why}");
        assert!(why.is_fatal() && !why.is_retryable());
        assert_eq!(why.exit_code(), EXIT_DISK_FAILED);
    }

    #[tokio::test]
    async fn full_disk_under_an_open_segment_ends_the_log_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let why = ends(&broken(dir.path(), "/dev/full")).await;
        assert!(matches!(why, WalError::DiskFull { fatal: true, .. }), "{why}");
        assert_eq!(why.exit_code(), EXIT_DISK_FULL);
    }
}
