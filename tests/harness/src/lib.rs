//! Shardloom's tests: harness.
