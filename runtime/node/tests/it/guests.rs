//! The project's own guests, as `cargo xtask guests` builds them.

use std::path::PathBuf;

/// The bytes of one of them.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let directory = std::env::var_os("SHARDLOOM_GUESTS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests")),
        PathBuf::from,
    );
    let path = directory.join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", path.display()))
}
