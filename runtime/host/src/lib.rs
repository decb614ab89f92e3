//! Shardloom's host.
