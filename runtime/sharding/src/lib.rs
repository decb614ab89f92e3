//! The pure core of Shardloom: who owns which shard, and how that changes.

pub mod ids;
