//! Values of any size, in chunks that are written together.
//!
//! Chunk 0 begins with the length of the whole (8 bytes) and its crc32 (4 bytes).

use bytes::{Bytes, BytesMut};

use super::error::DbError;
use super::{Table, VALUE_BYTES_MAX};

/// The largest large value, in bytes: it is held in memory whole while it is read or written.
pub const LARGE_BYTES_MAX: usize = 64 << 20;

/// Between a table's name and the chunks' keys.
const CHUNKED: u8 = 1;
/// The length and the checksum of the whole.
const HEAD_BYTES: usize = 12;

impl Table {
    fn chunk(&self, key: &[u8], number: usize) -> Vec<u8> {
        let length = u32::try_from(key.len()).expect("a key is shorter than 4 GiB").to_be_bytes();
        let number = u32::try_from(number).expect("a large value is bounded").to_be_bytes();
        [&self.name, &[CHUNKED][..], &length, key, &number].concat()
    }

    /// Sets a value of at most [`LARGE_BYTES_MAX`], split into chunks in one batch; [`Table::get_large`] reads it, and
    /// [`Table::get`] does not. Durable after the next checkpoint.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn put_large(&self, key: &[u8], value: &[u8]) -> Result<(), DbError> {
        if value.len() > LARGE_BYTES_MAX {
            return Err(DbError::TooLarge { bytes: value.len(), bytes_max: LARGE_BYTES_MAX });
        }
        let mut whole = BytesMut::with_capacity(HEAD_BYTES + value.len());
        whole.extend_from_slice(&(value.len() as u64).to_le_bytes());
        whole.extend_from_slice(&crc32fast::hash(value).to_le_bytes());
        whole.extend_from_slice(value);
        let mut whole = whole.freeze();
        let (mut changes, old) = (Vec::new(), self.chunks(key)?);
        while !whole.is_empty() {
            let chunk = whole.split_to(whole.len().min(VALUE_BYTES_MAX));
            changes.push((self.chunk(key, changes.len()), Some(chunk)));
        }
        changes.extend((changes.len()..old).map(|number| (self.chunk(key, number), None)));
        self.open.apply(changes)
    }

    /// A value set by [`Table::put_large`].
    ///
    /// # Errors
    /// [`DbError::Damaged`] if a chunk is missing or wrong.
    pub fn get_large(&self, key: &[u8]) -> Result<Option<Bytes>, DbError> {
        let mut value = BytesMut::new();
        for number in 0..self.chunks(key)? {
            let chunk = self.open.get(&self.chunk(key, number))?;
            value.extend_from_slice(&chunk.ok_or_else(|| self.damaged(key))?);
        }
        if value.is_empty() {
            return Ok(None);
        }
        let head = value.split_to(HEAD_BYTES);
        let expected = (value.len() as u64).to_le_bytes();
        if head[..8] != expected || head[8..] != crc32fast::hash(&value).to_le_bytes() {
            return Err(self.damaged(key));
        }
        Ok(Some(value.freeze()))
    }

    /// Removes a value set by [`Table::put_large`]. Durable after the next checkpoint.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn remove_large(&self, key: &[u8]) -> Result<(), DbError> {
        let old = self.chunks(key)?;
        self.open.apply((0..old).map(|number| (self.chunk(key, number), None)))
    }

    /// How many chunks the value has at present.
    fn chunks(&self, key: &[u8]) -> Result<usize, DbError> {
        let Some(first) = self.open.get(&self.chunk(key, 0))? else { return Ok(0) };
        let bytes = first.first_chunk::<8>().ok_or_else(|| self.damaged(key))?;
        let bytes = usize::try_from(u64::from_le_bytes(*bytes)).map_err(|_| self.damaged(key))?;
        Ok(bytes.saturating_add(HEAD_BYTES).div_ceil(VALUE_BYTES_MAX))
    }

    fn damaged(&self, key: &[u8]) -> DbError {
        DbError::damaged(
            &self.open.dir,
            format!("the large value at {:?} is not whole", String::from_utf8_lossy(key)),
        )
    }
}
