//! The host with real guests, real child processes and a real disk.
//!
//! Each guest has a file of its own here, and `every_guest_has_a_test` holds the list against `guests/`.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod admit;
mod by_busy_time;
mod by_tenant;
mod compile;
mod echo;
mod faulty;
mod faulty_shard_function;
mod faulty_table;
mod faulty_weigher;
mod fixture;
mod isolation;
mod needs_clock;
mod word_count;

#[test]
fn every_guest_has_a_test() {
    const TESTED: [&str; 9] = [
        "by-busy-time",
        "by-tenant",
        "echo",
        "faulty",
        "faulty-shard-function",
        "faulty-table",
        "faulty-weigher",
        "needs-clock",
        "word-count",
    ];
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guests");
    let mut guests: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.path().is_dir() && entry.file_name() != "target")
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    guests.sort();
    assert_eq!(guests, TESTED, "a guest needs a module here with its tests");
}
