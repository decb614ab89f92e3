//! Owns agreement: who is a member, what the control log says, and this node's part in the protocol that hands shards over. The only crate that
//! names openraft and chitchat; it never knows HTTP or a guest.
//!
//! In reading order: [`formats`] says what a build reads and a cluster may write; [`control`] is what is agreed on, [`raft`] how; [`shell`] drives the pure cores of the shard protocol, with
//! [`shard_logs`] (over [`log_entries`] and `seals`) as their disk, [`state`] as what the logs say, [`outbox`] as their mouth and [`serving`] as what comes of
//! it; [`leading`], [`group`], [`admission`] and [`raising`] (by what [`builds`] tells) are
//! the leader's; [`candidacy`] keeps a node that has lost its log out of elections until it has a say again ([`franchise`]); [`renewal`] is a node's part in a rotation of certificates, and [`certificates`] what operators see of it; [`join`], [`identity`],
//! [`gossip`] and [`addresses`] are how nodes find and know each other; [`mod@start`] puts it together and
//! [`handle`] is what the server above uses; [`log_ends`] is for repairs.

pub mod addresses;
pub mod admission;
pub mod boots;
pub mod builds;
pub mod candidacy;
pub mod certificates;
pub mod clock;
pub mod control;
mod error;
pub mod formats;
pub mod franchise;
#[cfg(test)]
mod golden;
pub mod gossip;
pub mod group;
pub mod handle;
pub mod identity;
pub mod join;
pub mod leading;
pub mod log_ends;
pub mod log_entries;
pub mod outbox;
pub mod peers;
pub mod raft;
pub mod raising;
pub mod renewal;
mod seals;
pub mod service;
pub mod serving;
pub mod shard_logs;
pub mod shell;
mod slots;
mod space_watch;
pub mod standing;
pub mod start;
pub mod state;
pub mod step_down;
pub mod writer;

pub use error::ClusterError;
pub use handle::{Cluster, ClusterHandle, Figures, TokenRefused};
pub use start::{Beginning, ClusterOptions, start, start_with};
