//! The control group: openraft over the write-ahead log and the peer streams.

#![allow(clippy::result_large_err, reason = "openraft's own error types, in its own traits")]

mod applied;
mod config;
mod heartbeats;
mod log_store;
mod network;
mod snapshots;
mod sole_voter;
mod state_machine;

pub use applied::{Applied, AppliedEvent, AppliedState};
pub use config::{Entry, LogId, Raft, RaftMetrics, RaftTiming, TypeConfig};
pub use heartbeats::HeartbeatLedger;
pub use log_store::LogStore;
#[cfg(test)]
pub(crate) use log_store::{encode_entry, encode_register};
pub use network::{Network, RaftRpc, answer};
pub use snapshots::{SnapshotError, SnapshotStore};
pub use sole_voter::{ControlSurvey, StoppedNode};
pub use state_machine::StateMachine;
