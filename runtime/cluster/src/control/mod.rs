//! The control log's contents: commands, and the state that they add up to.

mod command;
mod state;

pub use command::{
    Addresses, ControlCommand, ControlReply, Digest, Founding, JoinPolicy, LimitsJson, Member,
    MemberStanding, Outcome, Refused, WorkloadSpec,
};
pub use state::{ChangedShards, ControlState, WeigherState, Workload};
