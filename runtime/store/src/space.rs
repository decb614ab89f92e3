//! Room on the disk: how much is left, and whether that is enough to take on more.
//!
//! Between the two marks the answer stays what it was, so that a node does not go to and fro between full and not full. What was accepted before
//! is written on the rest below the low mark; [`DiskSpace::has_reserve`] says how much of that is left for work that can wait.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes that are left to the write-ahead log, which must go on whatever else waits: some segments of its default size.
pub const LOG_RESERVE_BYTES: u64 = 64 << 20;

/// How much room a disk must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceMarks {
    /// With less than this, in bytes, the disk counts as full.
    pub low_bytes: u64,
    /// Once full, it counts as full until it has this much, in bytes.
    pub high_bytes: u64,
}

impl Default for SpaceMarks {
    fn default() -> SpaceMarks {
        // Four times what is left to the log: what is under way when the low mark is crossed, a round of flushes, and the node's other databases.
        SpaceMarks { low_bytes: 256 << 20, high_bytes: 512 << 20 }
    }
}

/// How the disk stood when it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceReport {
    /// Bytes that this process could still write.
    pub free_bytes: u64,
    /// Whether the disk counts as full.
    pub full: bool,
}

/// A view of the room on the disk of a data directory; cheap to clone.
#[derive(Clone, Debug)]
pub struct DiskSpace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    marks: SpaceMarks,
    free: AtomicU64,
    full: AtomicBool,
    /// Since when, in milliseconds after `opened`.
    full_since_ms: AtomicU64,
    opened: Instant,
    /// Something that writes has found no room, whatever the file system says of itself.
    refused: AtomicBool,
}

impl DiskSpace {
    /// Looks at the disk of a directory, which must be there.
    ///
    /// # Errors
    /// The file system does not say how full it is.
    pub fn open(dir: &Path, marks: SpaceMarks) -> io::Result<DiskSpace> {
        let inner = Inner {
            dir: dir.to_path_buf(),
            marks,
            free: AtomicU64::new(0),
            full: AtomicBool::new(false),
            full_since_ms: AtomicU64::new(0),
            opened: Instant::now(),
            refused: AtomicBool::new(false),
        };
        let space = DiskSpace { inner: Arc::new(inner) };
        space.look()?;
        Ok(space)
    }

    /// Looks at the disk again. Blocks on it.
    ///
    /// # Errors
    /// The file system does not say how full it is; the answers stay what they were.
    pub fn look(&self) -> io::Result<SpaceReport> {
        let inner = &self.inner;
        let stat = rustix::fs::statvfs(&inner.dir)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        inner.free.store(free, Ordering::Release);
        let mark =
            if inner.full.load(Ordering::Acquire) { inner.marks.high_bytes } else { inner.marks.low_bytes };
        let full = free < mark || inner.refused.load(Ordering::Acquire);
        inner.set_full(full);
        Ok(SpaceReport { free_bytes: free, full })
    }

    /// Notes whether the write-ahead log finds room for its next segment.
    pub fn note_log(&self, refuses: LogRoom) {
        self.inner.refused.store(refuses == LogRoom::Refused, Ordering::Release);
        if refuses == LogRoom::Refused {
            self.inner.set_full(true);
        }
    }

    /// How the disk stood when it was last looked at.
    pub fn report(&self) -> SpaceReport {
        SpaceReport { free_bytes: self.inner.free.load(Ordering::Acquire), full: self.is_full() }
    }

    /// Whether the disk counted as full when it was last looked at: nothing new is to be taken on.
    pub fn is_full(&self) -> bool {
        self.inner.full.load(Ordering::Acquire)
    }

    /// For how long it has counted as full; nothing, if it does not.
    pub fn full_for(&self) -> Option<Duration> {
        let since = Duration::from_millis(self.inner.full_since_ms.load(Ordering::Acquire));
        self.is_full().then(|| self.inner.opened.elapsed().saturating_sub(since))
    }

    /// Whether so many bytes can be written now and the log still has what is left to it. Blocks on the disk.
    pub fn has_reserve(&self, bytes: u64) -> bool {
        let kept = LOG_RESERVE_BYTES.min(self.inner.marks.low_bytes / 2);
        self.look().is_ok_and(|report| report.free_bytes >= kept.saturating_add(bytes))
    }

    /// Whether so many bytes can be taken on and the disk is not full afterwards. Blocks on the disk.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        let low = self.inner.marks.low_bytes;
        self.look().is_ok_and(|report| !report.full && report.free_bytes >= low.saturating_add(bytes))
    }

    /// The marks.
    pub fn marks(&self) -> SpaceMarks {
        self.inner.marks
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }
}

impl Inner {
    fn set_full(&self, full: bool) {
        if full && !self.full.load(Ordering::Acquire) {
            self.full_since_ms.store(self.opened.elapsed().as_millis() as u64, Ordering::Release);
        }
        self.full.store(full, Ordering::Release);
    }
}

/// Whether the log has room for its next segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRoom {
    /// It has, or needs none yet.
    Enough,
    /// It could not make the next segment.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_the_marks_the_answer_stays_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let free = DiskSpace::open(dir.path(), SpaceMarks::default()).unwrap().report().free_bytes;
        let open = |low_bytes, high_bytes| {
            DiskSpace::open(dir.path(), SpaceMarks { low_bytes, high_bytes }).unwrap()
        };
        assert!(!open(free / 2, free.saturating_mul(2)).is_full(), "above the low mark");
        let full = open(free.saturating_mul(2), free.saturating_mul(2));
        assert!(full.is_full() && full.full_for().is_some());
        assert!(!full.has_room_for(0));
    }

    #[test]
    fn a_log_without_room_makes_the_disk_full_until_it_has_some() {
        let dir = tempfile::tempdir().unwrap();
        let space = DiskSpace::open(dir.path(), SpaceMarks { low_bytes: 1, high_bytes: 1 }).unwrap();
        space.note_log(LogRoom::Refused);
        assert!(space.is_full());
        assert!(space.look().unwrap().full, "the file system's word does not end it");
        space.note_log(LogRoom::Enough);
        assert!(space.is_full(), "not before it was looked at");
        assert!(!space.look().unwrap().full);
    }
}
