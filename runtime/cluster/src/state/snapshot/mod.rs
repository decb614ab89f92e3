//! The whole state of a shard, from one disk to another: for a replica that lacks what the log has given up.
//!
//! What is sent is what the database holds, and is named by the last entry in it; the log goes on after that. Nothing is flushed into it
//! meanwhile, so no entry is in it by half. It arrives in a copy of its own beside what is in use, and takes its place in one step.

mod arrive;
mod part;
mod send;

pub(crate) use arrive::Arrivals;
pub(crate) use send::{Pace, SnapshotRequest, SnapshotSender, SnapshotSource};
