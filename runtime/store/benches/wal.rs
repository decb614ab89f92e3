//! How many appends a second the log makes durable, alone on this disk; `compare/` sets another log beside it.

mod load;

use std::time::Duration;

fn main() {
    // Under `cargo test --benches` it only has to run.
    let measuring = std::env::args().any(|arg| arg == "--bench");
    let duration = if measuring { Duration::from_secs(3) } else { Duration::from_millis(50) };
    println!("appends of {} B over {} logs, fdatasync", load::PAYLOAD_BYTES, load::LOGS);
    for writers in [1, 64] {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let ran = load::ours(dir.path(), writers, duration);
        println!("{writers:>3} writers  {:>8.0}/s  p50 {:?}  p99 {:?}", ran.appends_per_s, ran.p50, ran.p99);
    }
}
