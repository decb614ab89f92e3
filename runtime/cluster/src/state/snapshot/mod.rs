//! The whole state of a shard, from one disk to another: for a replica that lacks what the log has given up.
//!
//! What is sent is what the database holds, and is named by the last entry that was in it at the beginning; the log goes on after that. Entries
//! are flushed into it meanwhile, so that neither the log nor the memory above it grows: entries are plain puts and deletes, so going over them
//! again from the beginning leads to the same state, once the log is there up to what was flushed at the end. Until then the copy is no
//! state of the shard, and nobody serves it: all that was flushed is committed, so it is in every log that a recovery may take.
//! It arrives in a copy of its own beside what is in use, and takes its place in one step.

mod arrive;
mod part;
mod send;

pub(crate) use arrive::Arrivals;
pub(crate) use send::{Pace, SnapshotRequest, SnapshotSender, SnapshotSource};
