//! Shardloom's protocol.
