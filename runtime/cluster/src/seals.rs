//! The newest seal of every shard, in registers of the write-ahead log.
//!
//! ```text
//! block of seals, register SEALS + shard / 64:
//!  0     1         2
//! +-----+---------+-------------------------------+
//! | 'B' | version | 64 x epoch: u64, 0: no seal   |
//! +-----+---------+-------------------------------+
//! ```
//!
//! Integers are little-endian. Seals are kept in blocks because one proposal may seal every shard of the cluster at once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, BytesMut};
use shardloom_sharding::ids::{Epoch, ShardId};
use shardloom_store::{Record, Wal};

use crate::log_entries::{ShardLogError, VERSION};
use crate::slots;

const MAGIC: u8 = b'B';
const HEADER_BYTES: usize = 2;
const BLOCK_SHARDS: usize = 64;

/// The newest seal of every shard, durable or on its way to the disk.
#[derive(Debug)]
pub(crate) struct Seals {
    rows: Box<[AtomicU64]>,
}

impl Seals {
    /// Reads the registers.
    ///
    /// # Errors
    ///
    /// One is not in this format.
    pub(crate) fn read(wal: &Wal, shard_count: u32) -> Result<Seals, ShardLogError> {
        let rows: Box<[AtomicU64]> = (0..shard_count).map(|_| AtomicU64::new(0)).collect();
        for (block, rows) in rows.chunks(BLOCK_SHARDS).enumerate() {
            let Some(bytes) = wal.register(slots::SEALS + block as u64) else { continue };
            let shard = ShardId((block * BLOCK_SHARDS) as u32);
            let unreadable = || ShardLogError::Unreadable { what: "the block of seals", shard };
            let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(unreadable)?;
            if header != [MAGIC, VERSION] || body.len() != rows.len() * 8 {
                return Err(unreadable());
            }
            for (row, bytes) in rows.iter().zip(body.as_chunks::<8>().0) {
                row.store(u64::from_le_bytes(*bytes), Ordering::SeqCst);
            }
        }
        Ok(Seals { rows })
    }

    /// Every shard, in order.
    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.rows.len() as u32).map(ShardId)
    }

    /// The newest seal of a shard; 0 where there is none.
    pub(crate) fn of(&self, shard: ShardId) -> Epoch {
        self.rows.get(shard.index()).map_or(Epoch(0), |row| Epoch(row.load(Ordering::SeqCst)))
    }

    /// Seals shards, and says what is to be written of that.
    pub(crate) fn seal(&self, epoch: Epoch, shards: &[ShardId], out: &mut Vec<Record>) {
        let mut blocks = BTreeSet::new();
        for shard in shards {
            self.rows[shard.index()].store(epoch.0, Ordering::SeqCst);
            blocks.insert(shard.index() / BLOCK_SHARDS);
        }
        for block in blocks {
            let start = block * BLOCK_SHARDS;
            let rows = &self.rows[start..self.rows.len().min(start + BLOCK_SHARDS)];
            let mut value = BytesMut::with_capacity(HEADER_BYTES + 8 * BLOCK_SHARDS);
            value.put_slice(&[MAGIC, VERSION]);
            rows.iter().for_each(|row| value.put_u64_le(row.load(Ordering::SeqCst)));
            out.push(Record::Set { slot: slots::SEALS + block as u64, value: value.freeze() });
        }
    }
}
