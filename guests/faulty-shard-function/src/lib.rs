//! A shard function that misbehaves by key: `loop`, `trap` and `out-of-range` do as they say, `alloc` takes memory
//! without end; every other key is on shard 0.

use std::hint::black_box;

wit_bindgen::generate!({ path: "../../wit", world: "shard-function" });

struct FaultyShardFunction;

export!(FaultyShardFunction);

impl Guest for FaultyShardFunction {
    fn shard_of(key: String, shard_count: u32) -> u32 {
        match key.as_str() {
            "loop" => loop {
                black_box(());
            },
            "trap" => core::arch::wasm32::unreachable(),
            "out-of-range" => shard_count,
            "alloc" => {
                let mut all = Vec::new();
                loop {
                    all.push(black_box(Vec::<u8>::with_capacity(1 << 20)));
                }
            }
            _ => 0,
        }
    }
}
