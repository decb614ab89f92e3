//! The control log's contents: commands, and the state that they add up to.

mod command;
mod settings;
mod state;

pub use command::{
    Addresses, ControlCommand, ControlReply, Founding, JoinPolicy, Member, MemberStanding, Outcome, Refused,
};
pub use settings::{BadSetting, Setting, Settings, Unit};
pub use state::{ChangedShards, ControlState, WeigherState, Workload};
