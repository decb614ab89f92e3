//! The control log's contents: commands, and the state that they add up to.

mod access;
mod audit;
mod author;
mod certificates;
mod command;
mod deploying;
mod events;
mod exclusions;
mod history;
mod later;
mod levels;
mod member;
mod rotation;
mod settings;
mod state;
mod tell;
mod versions;

pub use access::{
    ACCESS_NAME_BYTES_MAX, ACCESS_TOKENS_MAX, AccessError, AccessToken, AccessTokens, FOUNDER,
    ParseRoleError, TokenRole,
};
pub use audit::{AUDIT_ENTRIES_MAX, AuditEntry, AuditLog};
pub use author::Author;
pub use certificates::{Authority, CertificateChange, Certificates, Rotation, RotationPhase};
pub use command::{Audited, ControlCommand, ControlReply, Founding, JoinPolicy, Outcome, Refused};
pub use events::{EVENTS_MAX, Event, EventRing, EventsAfter, Moved, ShardRange};
pub use exclusions::{
    Exclusions, Labels, LabelsRefused, QUARANTINE_REASON_BYTES_MAX, Quarantine, QuarantineRefused,
    REQUIRED_LABEL_BYTES_MAX, REQUIRED_LABELS_MAX, RequiredLabel,
};
pub use history::{Absence, CHANGES_PER_SHARD_MAX, EpochChange, History, Reason};
pub use later::Later;
pub use member::{Addresses, Member, MemberStanding};
pub use settings::{BadSetting, Setting, Settings, Unit};
pub use state::{ChangedShards, ControlState, WeigherState};
pub use versions::{
    Canary, VERSIONS_KEPT, VersionChange, VersionRefused, Workload, WorkloadVersion, can_be_canary,
};
