//! Shardloom's store.
