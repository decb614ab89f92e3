//! The node: where agreement, transport, storage and guests meet, and the command line that talks to it.
//!
//! It must never decide who owns a shard: that is `shardloom-sharding`, run by `shardloom-cluster`.
//!
//! - [`server`]: one running node, its configuration and its HTTP contract.

pub mod server;
