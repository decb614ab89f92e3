//! Checksummed tables over sled, for what can be rebuilt from the write-ahead log or from peers.
//!
//! sled's own checks are not enough: it takes a bad checksum for a torn tail and goes on without what follows. So every
//! value has a checksum of ours, and the database as a whole has one record that counts the entries and sums up their
//! checksums. It is changed in the same batch as they are, and compared with all of them at every start. What sled lost or
//! mixed up is found there; that it went back to an older whole state is found by the count of checkpoints.
//!
//! ```text
//! sled key                                     sled value
//! table name, 0, key                           crc32 of key and value (4), value
//! table name, 1, key bytes (4), key, n (4)     the same, of chunk n of a large value (`large`)
//! 0, "shardloom"                               magic "SLOOMTAB", format version (4), length of name (4), name,
//!                                              checkpoints (8), entries (8), sum of their checksums (8), crc32 (4)
//! ```
//!
//! Numbers in keys are big-endian, so that they sort; all others are little-endian.

mod error;
mod large;
mod summary;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

pub use error::DbError;
pub use large::LARGE_BYTES_MAX;
use summary::{SUMMARY_KEY, Summary};

use crate::data_dir::sync_dir;
use crate::space::DiskSpace;

/// The largest value, in bytes: beyond 64 KiB sled keeps values in files of their own, outside its checkpoint.
/// [`Table::put_large`] splits what is larger.
pub const VALUE_BYTES_MAX: usize = 60 << 10;

/// What sled may keep in memory, in bytes: its default is 1 GiB.
const CACHE_BYTES_MAX: u64 = 32 << 20;
/// The bytes of the checksum before each value.
const CRC_BYTES: usize = 4;
/// Between a table's name and its keys.
const PLAIN: u8 = 0;

/// A database directory: several tables.
#[derive(Clone, Debug)]
pub struct Db {
    open: Arc<Open>,
}

#[derive(Debug)]
struct Open {
    dir: PathBuf,
    sled: sled::Db,
    /// One writer at a time: the summary goes with every change.
    summary: Mutex<Summary>,
}

/// An ordered table of checksummed values; a cheap handle.
#[derive(Clone, Debug)]
pub struct Table {
    open: Arc<Open>,
    name: Vec<u8>,
}

/// Changes to one table that happen together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    changes: BTreeMap<Bytes, Option<Bytes>>,
}

impl Batch {
    /// Sets a value.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.changes.insert(key.into(), Some(value.into()));
    }

    /// Removes a value.
    pub fn remove(&mut self, key: impl Into<Bytes>) {
        self.changes.insert(key.into(), None);
    }
}

impl Db {
    /// Opens the database in `dir`, or makes it, and compares everything in it with its summary, which takes as long as
    /// reading it all. `name` is what it is for ("raft", "gossip"), kept in it, so that directories cannot be mixed up.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`DbError::Damaged`] asks for the directory to be removed and rebuilt.
    pub fn open(dir: &Path, name: &str) -> Result<Db, DbError> {
        if !dir.exists() {
            make(dir, name)?;
        }
        let sled = open_when_free(dir)?;
        let found = guarded(dir, "read", || sled.get(SUMMARY_KEY))?;
        let found = found.ok_or_else(|| DbError::damaged(dir, "its summary is missing"))?;
        let summary = Mutex::new(Summary::decode(dir, name, &found)?);
        let db = Db { open: Arc::new(Open { dir: dir.to_path_buf(), sled, summary }) };
        db.verify()?;
        Ok(db)
    }

    /// Compares every entry with its checksum, and all of them with the summary.
    fn verify(&self) -> Result<(), DbError> {
        let summary = self.open.lock();
        let mut found = Summary { entries: 0, sum: 0, ..summary.clone() };
        let mut entries = self.open.sled.iter();
        while let Some((key, value)) = guarded(&self.open.dir, "read", || entries.next().transpose())? {
            if key != SUMMARY_KEY {
                found.add(checked(&self.open.dir, &key, &value)?);
            }
        }
        if found != *summary {
            let what =
                format!("{} entries were written, {} others are there", summary.entries, found.entries);
            return Err(DbError::damaged(&self.open.dir, what));
        }
        Ok(())
    }

    /// A table; it need not be made.
    ///
    /// # Errors
    /// [`DbError::TableName`] if the name is empty or has a byte below 32 in it.
    pub fn table(&self, name: &str) -> Result<Table, DbError> {
        if name.is_empty() || name.bytes().any(|byte| byte < b' ') {
            return Err(DbError::TableName(name.to_owned()));
        }
        Ok(Table { open: self.open.clone(), name: name.as_bytes().to_vec() })
    }

    /// Makes everything durable that was written before, and counts the checkpoint. Blocks on the disk.
    ///
    /// Keep the count in a register of the write-ahead log: a database that opens with a lower one has lost data.
    ///
    /// # Errors
    /// It may or may not be durable.
    pub fn checkpoint(&self) -> Result<u64, DbError> {
        let Open { dir, sled, summary } = &*self.open;
        let mut summary = summary.lock().expect("no code panics while it holds the summary");
        let next = Summary { checkpoints: summary.checkpoints + 1, ..summary.clone() };
        guarded(dir, "write", || sled.insert(SUMMARY_KEY, next.encode()))?;
        *summary = next;
        guarded(dir, "flush", || sled.flush())?;
        // sled asks for sync_file_range, which does not reach through the disk's cache.
        File::open(dir.join(SLED_FILE))
            .and_then(|file| file.sync_data())
            .map_err(DbError::io("fdatasync", dir))?;
        sync_dir(dir).map_err(DbError::io("sync", dir))?;
        Ok(summary.checkpoints)
    }

    /// Makes sure of room for so many bytes of changes, beside what is left to the write-ahead log: sled does not recover from a full disk under
    /// its writes. The room is the database's own from then on, however full the disk gets meanwhile; where there is enough, twice as much is
    /// reserved, so that most calls only look. Blocks on the disk.
    ///
    /// # Errors
    /// [`DbError::NoRoom`] if there is none now.
    pub fn make_room(&self, space: &DiskSpace, bytes: u64) -> Result<(), DbError> {
        let dir = &self.open.dir;
        let no_room = || DbError::NoRoom { dir: dir.clone() };
        let file = dir.join(SLED_FILE);
        let found = file.metadata().map_err(DbError::io("look at", dir))?;
        let end = found.len();
        if found.blocks() * BLOCK_BYTES >= end + bytes + MAP_BYTES_MAX {
            return Ok(());
        }
        let wanted = [2 * bytes + MAP_BYTES_MAX, bytes].into_iter().find(|wanted| space.has_reserve(*wanted));
        let wanted = wanted.ok_or_else(no_room)?;
        let file = File::options().write(true).open(file).map_err(DbError::io("open", dir))?;
        match rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, end, wanted) {
            // Where the file system cannot reserve, that there was room has to do.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(Errno::NOSPC | Errno::DQUOT) => Err(no_room()),
            Err(error) => Err(DbError::io("reserve room for", dir)(error.into())),
        }
    }

    /// The count of the last checkpoint, from 1: making the database is one.
    pub fn checkpoints(&self) -> u64 {
        self.open.lock().checkpoints
    }
}

/// The unit in which a file says how much of the disk it has.
const BLOCK_BYTES: u64 = 512;
/// Bytes that the file system's own map of a file may have among them.
const MAP_BYTES_MAX: u64 = 1 << 20;

/// The file in which sled keeps everything.
const SLED_FILE: &str = "db";

fn config(dir: &Path) -> sled::Config {
    sled::Config::new().path(dir).flush_every_ms(None).cache_capacity(CACHE_BYTES_MAX)
}

/// How long an earlier handle of this process may take to let go of the directory.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
/// Between two tries.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// Opens what is there. sled gives up its lock in the background, a moment after its last handle is gone; no other process can hold it,
/// since the data directory has a lock of its own.
fn open_when_free(dir: &Path) -> Result<sled::Db, DbError> {
    let deadline = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match guarded(dir, "open", || config(dir).open()) {
            Err(DbError::Io { source, .. })
                if source.to_string().contains("could not acquire lock") && Instant::now() < deadline =>
            {
                std::thread::sleep(LOCK_POLL);
            }
            opened => return opened,
        }
    }
}

/// Makes an empty database beside its place, then puts it there: one that is there and has no summary is damaged.
fn make(dir: &Path, name: &str) -> Result<(), DbError> {
    let mut draft = dir.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(DbError::io("clear the draft of", dir))?;
    }
    let sled = guarded(dir, "make", || config(&draft).open())?;
    let summary = Mutex::new(Summary::new(name));
    Db { open: Arc::new(Open { dir: draft.clone(), sled, summary }) }.checkpoint()?;
    fs::rename(&draft, dir).map_err(DbError::io("make", dir))?;
    sync_dir(dir.parent().unwrap_or(Path::new("."))).map_err(DbError::io("sync the parent of", dir))
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().expect("no code panics while it holds the summary")
    }

    fn get(&self, full: &[u8]) -> Result<Option<Bytes>, DbError> {
        let found = guarded(&self.dir, "read", || self.sled.get(full))?;
        let Some(stored) = found else { return Ok(None) };
        checked(&self.dir, full, &stored)?;
        Ok(Some(Bytes::copy_from_slice(&stored[CRC_BYTES..])))
    }

    /// Applies changes by full key, and the summary with them.
    fn apply(&self, changes: impl IntoIterator<Item = (Vec<u8>, Option<Bytes>)>) -> Result<(), DbError> {
        let mut summary = self.lock();
        let (mut next, mut batch) = (summary.clone(), sled::Batch::default());
        for (full, value) in changes {
            if let Some(old) = guarded(&self.dir, "read", || self.sled.get(&full))? {
                next.take(checked(&self.dir, &full, &old)?);
            }
            match value {
                Some(value) if value.len() > VALUE_BYTES_MAX => {
                    return Err(DbError::TooLarge { bytes: value.len(), bytes_max: VALUE_BYTES_MAX });
                }
                Some(value) => {
                    let crc = crc(&full, &value);
                    next.add(crc);
                    batch.insert(full, [&crc.to_le_bytes()[..], &value].concat());
                }
                None => batch.remove(full),
            }
        }
        batch.insert(SUMMARY_KEY, next.encode());
        guarded(&self.dir, "write", || self.sled.apply_batch(batch))?;
        *summary = next;
        Ok(())
    }
}

impl Table {
    fn full(&self, key: &[u8]) -> Vec<u8> {
        [&self.name, &[PLAIN][..], key].concat()
    }

    /// The value at `key`.
    ///
    /// # Errors
    /// [`DbError::Damaged`] if its checksum is wrong.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DbError> {
        self.open.get(&self.full(key))
    }

    /// The length of the value at `key`, in bytes, without reading it whole.
    ///
    /// # Errors
    /// [`DbError::Damaged`] if it is too short to be one.
    pub fn value_bytes(&self, key: &[u8]) -> Result<Option<usize>, DbError> {
        let dir = &self.open.dir;
        let found = guarded(dir, "read", || self.open.sled.get(self.full(key)))?;
        let Some(stored) = found else { return Ok(None) };
        let bytes = stored.len().checked_sub(CRC_BYTES);
        bytes.map(Some).ok_or_else(|| DbError::damaged(dir, "a value has no checksum"))
    }

    /// Sets a value of at most [`VALUE_BYTES_MAX`]. Durable after the next checkpoint.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), DbError> {
        self.open.apply([(self.full(key), Some(Bytes::copy_from_slice(value)))])
    }

    /// Removes a value. Durable after the next checkpoint.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn remove(&self, key: &[u8]) -> Result<(), DbError> {
        self.open.apply([(self.full(key), None)])
    }

    /// Applies changes, all or none. Durable after the next checkpoint.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn apply(&self, batch: Batch) -> Result<(), DbError> {
        self.open.apply(batch.changes.into_iter().map(|(key, value)| (self.full(&key), value)))
    }

    /// Up to `limit` values with keys in `keys`, in order.
    ///
    /// # Errors
    /// [`DbError::Damaged`] if a checksum is wrong.
    pub fn scan(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, DbError> {
        self.scan_full(self.full(keys.start)..self.full(keys.end), limit)
    }

    /// Up to `limit` values from key `start` on, in order.
    ///
    /// # Errors
    /// [`DbError::Damaged`] if a checksum is wrong.
    pub fn scan_from(&self, start: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, DbError> {
        let end = [&self.name, &[PLAIN + 1][..]].concat();
        self.scan_full(self.full(start)..end, limit)
    }

    fn scan_full(&self, keys: Range<Vec<u8>>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, DbError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let dir = &self.open.dir;
        let (mut entries, mut found) = (self.open.sled.range(keys), Vec::new());
        while found.len() < limit
            && let Some((full, stored)) = guarded(dir, "read", || entries.next().transpose())?
        {
            checked(dir, &full, &stored)?;
            let key = Bytes::copy_from_slice(&full[self.name.len() + 1..]);
            found.push((key, Bytes::copy_from_slice(&stored[CRC_BYTES..])));
        }
        Ok(found)
    }
}

/// Runs one of sled's operations; on damage it may panic.
fn guarded<T>(dir: &Path, step: &'static str, run: impl FnOnce() -> sled::Result<T>) -> Result<T, DbError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(source))) => Err(DbError::io(step, dir)(source)),
        Ok(Err(error)) => Err(DbError::damaged(dir, error.to_string())),
        Err(_) => Err(DbError::damaged(dir, format!("sled cannot {step} it"))),
    }
}

/// The checksum of an entry; its key is part of it, so that values cannot change places.
fn crc(full: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(full.len() as u64).to_le_bytes());
    hasher.update(full);
    hasher.update(value);
    hasher.finalize()
}

/// The checksum that an entry was stored with, if it is right.
fn checked(dir: &Path, full: &[u8], stored: &[u8]) -> Result<u32, DbError> {
    let wrong =
        || DbError::damaged(dir, format!("the value at {:?} does not check", String::from_utf8_lossy(full)));
    let (found, value) = stored.split_first_chunk::<CRC_BYTES>().ok_or_else(wrong)?;
    let found = u32::from_le_bytes(*found);
    if found == crc(full, value) { Ok(found) } else { Err(wrong()) }
}
