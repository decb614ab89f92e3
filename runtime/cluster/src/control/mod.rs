//! The control log's contents: commands, and the state that they add up to.

mod access;
mod command;
mod settings;
mod state;
mod versions;

pub use access::{
    ACCESS_NAME_BYTES_MAX, ACCESS_TOKENS_MAX, AccessError, AccessToken, AccessTokens, FOUNDER,
    ParseRoleError, TokenRole,
};
pub use command::{
    Addresses, ControlCommand, ControlReply, Founding, JoinPolicy, Member, MemberStanding, Outcome, Refused,
};
pub use settings::{BadSetting, Setting, Settings, Unit};
pub use state::{ChangedShards, ControlState, WeigherState};
pub use versions::{
    Canary, VERSIONS_KEPT, VersionChange, VersionRefused, Workload, WorkloadVersion, can_be_canary,
};
