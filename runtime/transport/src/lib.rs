//! Shardloom's transport.
