//! A weigher: a shard weighs as much as its state.
//!
//! The weight is 1 plus the size in steps of 64 KiB, rounded to the nearest: disks fill evenly, and a shard does not change
//! its weight with each write. What the shards do does not count.

wit_bindgen::generate!({ path: "../../wit", world: "shard-weigher" });

/// Bytes of state that weigh 1.
const STEP_BYTES: u64 = 64 << 10;

/// The largest weight that is taken.
const WEIGHT_MAX: u64 = 1_000_000_000;

struct ByStateSize;

export!(ByStateSize);

impl Guest for ByStateSize {
    fn weigh(loads: Vec<ShardLoad>) -> Result<Vec<u32>, String> {
        Ok(loads.iter().map(|load| weight(load.state_bytes)).collect())
    }
}

fn weight(state_bytes: u64) -> u32 {
    let steps = state_bytes.saturating_add(STEP_BYTES / 2) / STEP_BYTES;
    (1 + steps).min(WEIGHT_MAX) as u32
}
