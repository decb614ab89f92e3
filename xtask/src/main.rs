//! Shardloom.

fn main() {}
