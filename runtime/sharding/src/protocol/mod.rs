//! The hand-over and replication protocol of shards, as step functions.
//!
//! In reading order:
//! - [`messages`], [`record`], [`ranges`], [`timing`]: what is said, what is written, what is read, and the spans of time.
//! - [`rules`]: what can be broken on purpose, in tests.
//! - [`control`]: what the control log has decided.
//! - [`log`], [`quorum`]: what a log is, how many are enough, which one wins.
//! - [`replica`], `follower`, [`owner`], [`shard`], [`effect`]: one shard on one node.
//! - [`lease`]: how long a node may serve, on its own side and on the leader's.
//! - [`node`]: one node's side, over all its shards.
//! - [`leader`]: the leader's side.

pub mod control;
pub mod effect;
mod follower;
pub mod leader;
pub mod lease;
pub mod log;
pub mod messages;
pub mod node;
pub mod owner;
pub mod quorum;
pub mod ranges;
pub mod record;
pub mod replica;
pub mod rules;
pub mod shard;
pub mod timing;
