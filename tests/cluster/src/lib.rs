//! Shardloom's tests: cluster.
