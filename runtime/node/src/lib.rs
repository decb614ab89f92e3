//! The node: where agreement, transport, storage and guests meet, and the command line that talks to it.
//!
//! It must never decide who owns a shard: that is `shardloom-sharding`, run by `shardloom-cluster`.
//!
//! - [`cli`]: the command line, a plain HTTP client of nodes.
//! - [`server`]: one running node, its configuration and its HTTP contract.
//! - [`calendar`]: moments, for people.
//! - [`credentials`]: the user's own admin tokens, written by the one and read by the other.

pub mod calendar;
pub mod cli;
pub mod credentials;
pub mod server;
