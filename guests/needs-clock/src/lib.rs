//! A handler that imports a clock of its own, which no handler is granted: a host must refuse it, and name the clock.

use exports::shardloom::shard::handler::{Failure, Guest, Reply, Request};
use shardloom::needs_clock::clock::now;

wit_bindgen::generate!({
    inline: "
        package shardloom:needs-clock;
        interface clock { now: func() -> u64; }
        world needs-clock {
            import clock;
            export shardloom:shard/handler@0.1.0;
        }
    ",
    path: "../../wit",
    world: "shardloom:needs-clock/needs-clock",
});

struct NeedsClock;

export!(NeedsClock);

impl Guest for NeedsClock {
    fn handle(_: Request) -> Result<Reply, Failure> {
        Ok(Reply { headers: Vec::new(), body: now().to_string().into_bytes() })
    }
}
