//! The pure core of Shardloom: who owns which shard, and how that changes.
//!
//! It must never know a clock, a socket, a disk, a task or a random number: all of these are arguments.
//!
//! In reading order:
//! - [`ids`]: names of things.
//! - [`key`]: from a key to its shard.
//! - [`map`]: from a shard to its owner and replicas, each under an epoch.
//! - [`change`]: what a proposal sets anew.
//! - [`map_codec`]: both of them as bytes.
//! - [`canary`]: which shards try a new version first.
//! - [`plan`]: which changes are wanted, given the members and the weights.
//! - [`route`]: what a node does with a request, given what it knows.
//! - [`protocol`]: how the map changes and logs are kept, as step functions.

pub mod canary;
pub mod change;
pub mod ids;
pub mod key;
pub mod map;
pub mod map_codec;
pub mod plan;
pub mod protocol;
pub mod route;
