//! Owns what a node keeps on disk: the write-ahead log that every promise rests on, and the sled databases
//! that can be rebuilt from it or from peers.
//!
//! It must never know what the bytes mean: no Raft, no shard map, no workload. It knows logs by number, registers
//! by slot, tables by name.
//!
//! In reading order:
//! - [`exit`]: the codes that a process ends with over its disk;
//! - [`data_dir`]: the data directory, its lock, and small files written durably;
//! - [`wal`]: the write-ahead log;
//! - [`space`]: how much room the disk has;
//! - [`db`]: checksummed tables over sled, the only place that names it.

#![forbid(unsafe_code)]

pub mod data_dir;
pub mod db;
pub mod exit;
pub mod space;
pub mod wal;

pub use data_dir::{DataDir, DataDirError};
pub use db::{Batch, Db, DbError, Table};
pub use exit::{EXIT_DAMAGED, EXIT_DISK_FAILED, EXIT_DISK_FULL, EXIT_NEWER_BUILD};
pub use space::{DiskSpace, LogRoom, SpaceMarks, SpaceReport};
pub use wal::{LogId, Progress, Record, Recovery, Ticket, Wal, WalError, WalOptions, WalStats, WriteSeq};
