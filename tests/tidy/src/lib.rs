//! Shardloom's tests: tidy.
