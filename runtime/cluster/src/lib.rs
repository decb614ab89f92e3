//! Shardloom's cluster.
