//! The registers that the log keeps for itself.

use bytes::Bytes;
use shardloom_sharding::ids::Boot;

use super::format::u64_at;
use super::index::Index;
use super::record::{Kind, Line};

/// Register slots from here on belong to the log itself.
pub const SLOT_RESERVED: u64 = 1 << 63;

/// How often the log has been opened.
const SLOT_BOOT: u64 = SLOT_RESERVED;
/// The oldest segment that is still needed.
const SLOT_FLOOR: u64 = SLOT_RESERVED + 1;

/// The number of the first segment of a log.
pub(crate) const FIRST_SEGMENT: u32 = 1;

pub(crate) fn boot(index: &Index) -> Boot {
    Boot(number(index, SLOT_BOOT).unwrap_or(0))
}

pub(crate) fn set_boot(boot: Boot) -> Line {
    set(SLOT_BOOT, boot.0)
}

pub(crate) fn floor(index: &Index) -> u32 {
    let floor = number(index, SLOT_FLOOR).and_then(|floor| u32::try_from(floor).ok());
    floor.unwrap_or(FIRST_SEGMENT)
}

pub(crate) fn set_floor(floor: u32) -> Line {
    set(SLOT_FLOOR, u64::from(floor))
}

fn number(index: &Index, slot: u64) -> Option<u64> {
    index.register(slot).filter(|value| value.len() == 8).map(|value| u64_at(&value, 0))
}

fn set(slot: u64, number: u64) -> Line {
    Line { kind: Kind::Set, key: slot, index: 0, payload: Bytes::copy_from_slice(&number.to_le_bytes()) }
}
