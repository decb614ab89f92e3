//! The host with real guests, real child processes and a real disk.
//!
//! Each guest has a file of its own here, and `every_guest_has_a_test` holds the list against `guests/`.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod admit;
mod bank;
mod by_busy_time;
mod by_geohash;
mod by_range;
mod by_state_size;
mod by_tenant;
mod compile;
mod counter;
mod eager;
mod echo;
mod faulty;
mod faulty_shard_function;
mod faulty_state;
mod faulty_table;
mod faulty_weigher;
mod favour_tenants;
mod fixture;
mod impure_shard_function;
mod inventory;
mod isolation;
mod kv;
mod kv_wasi;
mod log;
mod needs_clock;
mod rate_limiter;
mod scripted;
mod state;
mod url_shortener;
mod web;
mod web_faulty;
mod web_kv;
mod web_new;
mod web_stream;
mod word_count;

#[test]
fn every_guest_has_a_test() {
    const TESTED: [&str; 25] = [
        "bank",
        "by-busy-time",
        "by-geohash",
        "by-range",
        "by-state-size",
        "by-tenant",
        "counter",
        "eager",
        "echo",
        "faulty",
        "faulty-shard-function",
        "faulty-table",
        "faulty-weigher",
        "favour-tenants",
        "impure-shard-function",
        "kv",
        "kv-wasi",
        "log",
        "needs-clock",
        "scripted",
        "web-faulty",
        "web-kv",
        "web-new",
        "web-stream",
        "word-count",
    ];
    assert_eq!(directories("guests"), TESTED, "a guest needs a module here with its tests");
    // Those in Python and JavaScript have their tests beside them: to compile Python takes longer than all of these, and not every
    // machine that builds has Node.js.
    let examples = ["inventory", "leaderboard", "rate-limiter", "session-store", "url-shortener"];
    assert_eq!(directories("examples"), examples, "an example needs one too");
}

/// The names of the directories in a directory of the repository, sorted.
fn directories(name: &str) -> Vec<String> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut names: Vec<String> = std::fs::read_dir(format!("{directory}/{name}"))
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.path().is_dir() && entry.file_name() != "target")
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
