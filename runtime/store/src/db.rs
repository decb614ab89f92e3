//! Checksummed tables over sled, for what can be rebuilt from the write-ahead log or from peers.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// The largest value, in bytes: beyond 64 KiB sled keeps values in files of their own, outside its checkpoint.
/// [`Table::put_large`] splits what is larger.
pub const VALUE_BYTES_MAX: usize = 60 << 10;

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
    /// The directory is another database's, or none of ours.
    #[error("{} is not the database {expected:?}", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// The name it was to have.
        expected: String,
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
    /// A value is too large.
    #[error("a value of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}

/// A database directory: several tables.
#[derive(Clone, Debug)]
pub struct Db {}

/// An ordered table of checksummed values; a cheap handle.
#[derive(Clone, Debug)]
pub struct Table {}

/// Changes to one table that happen together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {}

impl Batch {
    /// Sets a value.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let _: (Bytes, Bytes) = (key.into(), value.into());
        todo!()
    }

    /// Removes a value.
    pub fn remove(&mut self, key: impl Into<Bytes>) {
        let _: Bytes = key.into();
        todo!()
    }
}

impl Db {
    /// Opens the database in `dir`, or makes it, and checks every table as a whole. `name` is what it is for ("raft",
    /// "gossip"), kept in it, so that directories cannot be mixed up. Blocks on the disk.
    ///
    /// # Errors
    /// [`DbError::Damaged`] asks for the directory to be removed and rebuilt.
    pub fn open(dir: &Path, name: &str) -> Result<Db, DbError> {
        let _ = (dir, name);
        todo!()
    }

    /// Opens a table, or makes it.
    ///
    /// # Errors
    /// [`DbError::Damaged`] if its content is not what was written.
    pub fn table(&self, name: &str) -> Result<Table, DbError> {
        let _ = name;
        todo!()
    }

    /// Makes everything durable that was written before, and counts the checkpoint. Blocks on the disk.
    ///
    /// Keep the count in a register of the write-ahead log: a database that opens with a lower one has lost data.
    ///
    /// # Errors
    /// It may or may not be durable.
    pub fn checkpoint(&self) -> Result<u64, DbError> {
        todo!()
    }

    /// The count of the last checkpoint; 0 before the first.
    pub fn checkpoints(&self) -> u64 {
        todo!()
    }
}

impl Table {
    /// The value at `key`.
    ///
    /// # Errors
    /// [`DbError::Damaged`] if its checksum is wrong.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DbError> {
        let _ = key;
        todo!()
    }

    /// Sets a value of at most [`VALUE_BYTES_MAX`]. Durable after the next checkpoint.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), DbError> {
        let _ = (key, value);
        todo!()
    }

    /// Removes a value. Durable after the next checkpoint.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn remove(&self, key: &[u8]) -> Result<(), DbError> {
        let _ = key;
        todo!()
    }

    /// Applies changes, all or none. Durable after the next checkpoint.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn apply(&self, batch: Batch) -> Result<(), DbError> {
        let _ = batch;
        todo!()
    }

    /// Up to `limit` values with keys in `keys`, in order.
    ///
    /// # Errors
    /// [`DbError::Damaged`] if a checksum is wrong.
    pub fn scan(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, DbError> {
        let _ = (keys, limit);
        todo!()
    }

    /// Sets a value of any size, split into chunks in one batch; read it with [`Table::get_large`] only.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn put_large(&self, key: &[u8], value: &[u8]) -> Result<(), DbError> {
        let _ = (key, value);
        todo!()
    }

    /// A value set by [`Table::put_large`].
    ///
    /// # Errors
    /// [`DbError::Damaged`] if a chunk is missing or wrong.
    pub fn get_large(&self, key: &[u8]) -> Result<Option<Bytes>, DbError> {
        let _ = key;
        todo!()
    }

    /// Removes a value set by [`Table::put_large`].
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn remove_large(&self, key: &[u8]) -> Result<(), DbError> {
        let _ = key;
        todo!()
    }
}
