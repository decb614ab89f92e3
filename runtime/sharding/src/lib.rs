//! Shardloom's sharding.
