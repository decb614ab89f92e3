//! A weigher that misbehaves by the number of loads: 1 traps, 2 never ends, 3 gives one weight too few, 4 refuses, 5 gives
//! weights that are too large; any other number gets a weight of 7 each.

use std::hint::black_box;

wit_bindgen::generate!({ path: "../../wit", world: "shard-weigher" });

struct FaultyWeigher;

export!(FaultyWeigher);

impl Guest for FaultyWeigher {
    fn weigh(loads: Vec<ShardLoad>) -> Result<Vec<u32>, String> {
        match loads.len() {
            1 => core::arch::wasm32::unreachable(),
            2 => loop {
                black_box(());
            },
            3 => Ok(vec![7; 2]),
            4 => Err("four is too many".to_owned()),
            5 => Ok(vec![u32::MAX; 5]),
            shards => Ok(vec![7; shards]),
        }
    }
}
