//! Every schedule of one shard in small worlds, by breadth-first search over the product's own per-shard cores.
//!
//! A world is a control log (linearizable; each node applies it in order, as late as it likes), a leader without memory (it
//! decides from messages that exist, so changes of the leader are included), a network that is a set (a message is never taken
//! out: loss is to be never delivered; doubling and reordering is to be delivered at any time, again), and nodes with a disk
//! that keeps, after a crash, any prefix of what was queued and not synced. A lease is an oracle: a takeover is committed once the
//! old owner has sealed or is out, and who is out gets leave again when it has applied the newest proposal.
//!
//! Checked in each state:
//! - (a) who serves under an epoch has, in its place, every write that was acknowledged under that epoch or before; no place is
//!   acknowledged, or applied, with two contents;
//! - (b) one node acknowledges under one epoch, and nothing under an epoch after something under a newer one;
//! - (c) who may answer a read has every acknowledged write.
//!
//! Not covered here, but by [`crate::cluster`]: real leases, loss of disks, many shards, liveness.

mod canon;
mod disk;
mod message;
mod moves;
mod node;
mod promises;
mod search;
mod seen;
mod state;
mod world;
mod worlds;

pub use search::{Finding, search, search_after, walk};
pub use worlds::{Shape, Sync, shapes};
