//! A weigher: a shard weighs as much as its guests run.
//!
//! The weight is 1 plus the busy milliseconds per second, so that an idle shard still weighs something and a shard that
//! keeps a core busy weighs 1,001. A busy time that is not a number, or below zero, is refused.

wit_bindgen::generate!({ path: "../../wit", world: "shard-weigher" });

struct ByBusyTime;

export!(ByBusyTime);

impl Guest for ByBusyTime {
    fn weigh(loads: Vec<ShardLoad>) -> Result<Vec<u32>, String> {
        loads.iter().map(weight).collect()
    }
}

fn weight(load: &ShardLoad) -> Result<u32, String> {
    let busy_ms = load.busy_ms_per_second;
    if busy_ms.is_nan() || busy_ms < 0.0 {
        return Err(format!("shard {} is busy {busy_ms} ms per second", load.shard));
    }
    // Several workloads may run on one shard: more than 1,000 ms per second can be.
    Ok(1 + busy_ms.round().min(1_000_000.0) as u32)
}
