//! Which copy of a shard's state is in use, in a register of the write-ahead log: set in the same submission that drops the log.
//!
//! ```text
//!  0     1         2                 6            14
//! +-----+---------+-----------------+------------+---------------+
//! | 'G' | version | generation: u32 | stamp: u64 | position: u64 |      of the base: the copy holds at least this
//! +-----+---------+-----------------+------------+---------------+
//! ```
//!
//! Integers are little-endian. A shard without a register uses generation 0, which may be empty.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use shardloom_sharding::ids::{Epoch, Position, ShardId, Tail};
use shardloom_store::Record;

use crate::slots;

const MAGIC: u8 = b'G';
const VERSION: u8 = 1;

/// The copy in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Generation {
    pub(crate) number: u32,
    /// It holds at least the log up to here.
    pub(crate) base: Tail,
}

impl Generation {
    /// The record that puts it into use.
    pub(crate) fn record(self, shard: ShardId) -> Record {
        let mut value = BytesMut::with_capacity(22);
        value.put_slice(&[MAGIC, VERSION]);
        value.put_u32_le(self.number);
        value.put_u64_le(self.base.stamp.0);
        value.put_u64_le(self.base.position.0);
        Record::Set { slot: slots::STATES + u64::from(shard.0), value: value.freeze() }
    }

    /// Reads a register; nothing, if it is not in this format.
    pub(crate) fn decode(value: &Bytes) -> Option<Generation> {
        let mut from = value.strip_prefix(&[MAGIC, VERSION])?;
        let number = from.try_get_u32_le().ok()?;
        let stamp = Epoch(from.try_get_u64_le().ok()?);
        let position = Position(from.try_get_u64_le().ok()?);
        from.is_empty().then_some(Generation { number, base: Tail { stamp, position } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_register_is_pinned_byte_by_byte_and_reads_back() {
        let generation = Generation { number: 3, base: Tail { stamp: Epoch(5), position: Position(6) } };
        let Record::Set { slot, value } = generation.record(ShardId(7)) else { panic!("a register") };
        assert_eq!(slot, slots::STATES + 7);
        assert_eq!(&value[..], b"G\x01\x03\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0");
        assert_eq!(Generation::decode(&value), Some(generation));
        assert_eq!(Generation::decode(&value.slice(..21)), None);
    }
}
