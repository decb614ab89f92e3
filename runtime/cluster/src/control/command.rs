//! What can be written to the control log, and what a writer gets back.
//!
//! Each command is one entry. They are written in a fixed order of variants, encoded by position: new ones are only ever added at
//! the end, and only written once every node can read them: `levels` says of which level of formats each is.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shardloom_protocol::digest::Digest;
use shardloom_protocol::workload::WorkloadSpec;
use shardloom_sharding::ids::{ClusterId, Epoch, NodeId, ShardId, Term};
use shardloom_sharding::protocol::control::NothingLeft;

use super::access::{AccessError, TokenRole};
use super::author::Author;
use super::certificates::CertificateChange;
use super::exclusions::{Labels, LabelsRefused, QuarantineRefused};
use super::history::Absence;
use super::member::{Member, MemberStanding};
use super::settings::Setting;
use super::versions::VersionChange;
use crate::formats::Level;

/// Whether nodes that join with a token are added at once, or wait for `shardloom node add`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinPolicy {
    /// A node with a valid token becomes a member at once.
    Auto,
    /// A node with a valid token waits until an operator adds it.
    Manual,
}

/// What a cluster is from its first entry on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// The cluster's identity.
    pub cluster: ClusterId,
    /// How many shards; fixed for ever.
    pub shard_count: u32,
    /// How many replicas a shard has where there are nodes enough.
    pub replicas: u32,
    /// Whether tokens are enough to join.
    pub join_policy: JoinPolicy,
    /// The certificate of the cluster's authority (PEM).
    pub ca_certificate: String,
    /// The key of the cluster's authority (PEM): every leader signs with it. It is in the control log, hence on every node's disk.
    pub ca_key: String,
    /// Digest of the admin token.
    pub admin_token: Digest,
    /// The first member.
    pub founder: Member,
}

impl std::fmt::Debug for Founding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key must never reach a log.
        write!(f, "Founding {{ cluster: {}, shards: {} }}", self.cluster, self.shard_count)
    }
}

/// One entry of the control log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlCommand {
    /// The first: makes the cluster. Void when there is one already.
    Found(Box<Founding>),
    /// Takes a node in; uses up the token.
    AddMember {
        /// The new member.
        member: Member,
        /// The token that it came with; it must exist.
        token: Digest,
    },
    /// A known member has started with other addresses, zone, capacity or a new disk.
    UpdateMember {
        /// What it says of itself now; the standing is not taken from it.
        member: Member,
    },
    /// An operator adds or drains a node.
    SetStanding {
        /// Which.
        node: NodeId,
        /// Wanted from now on.
        standing: MemberStanding,
    },
    /// An operator removes a node.
    RemoveMember {
        /// Which.
        node: NodeId,
        /// Also when shards would lose their last live replica.
        force: bool,
    },
    /// A join token is handed out.
    CreateToken {
        /// Digest of its secret.
        token: Digest,
        /// For how many seconds it is good.
        life_s: u32,
    },
    /// A join token has expired.
    DropToken {
        /// Digest of its secret.
        token: Digest,
    },
    /// `protocol.md` Propose: this entry's index is the epoch. The changes are in the compact encoding of `sharding`.
    Propose {
        /// `sharding::map_codec::encode_changes`.
        changes: Bytes,
        /// On whom the leader did not count when it planned: for `why`, it decides nothing.
        absent: BTreeMap<NodeId, Absence>,
    },
    /// `protocol.md` Commit.
    Commit {
        /// The proposal.
        epoch: Epoch,
        /// The term in which it was decided; void in another.
        term: Term,
        /// The shards that become effective.
        shards: Vec<ShardId>,
    },
    /// A workload is deployed or replaced.
    DeployWorkload {
        /// Its name.
        name: String,
        /// What runs from this entry on.
        spec: WorkloadSpec,
        /// The activation that the deploy goes by; 0 where nothing of the name is deployed. Another one: conflict.
        replaces: u64,
    },
    /// A workload is taken away.
    RemoveWorkload {
        /// Its name.
        name: String,
    },
    /// A weigher is plugged in.
    SetWeigher {
        /// Digest of its component.
        component: Digest,
    },
    /// The weigher is taken away; every shard weighs 1 again.
    UnsetWeigher,
    /// The weigher's answer, one weight a shard.
    SetWeights {
        /// The weigher that gave it; void when it is another by now.
        component: Digest,
        /// One a shard.
        weights: Vec<u32>,
    },
    /// The weigher failed; the old weights stay.
    WeigherFailed {
        /// The weigher that failed.
        component: Digest,
        /// Why, in plain text.
        reason: String,
    },
    /// An operator sets something for the whole cluster.
    SetSettings {
        /// The settings and their values: all are taken, or none.
        values: Vec<(Setting, u64)>,
    },
    /// An operator accepts the loss of data: a proposal for which the committed replicas that it names suffice, however few they are.
    RepairShards {
        /// `sharding::map_codec::encode_changes`.
        changes: Bytes,
        /// What becomes of shards of which it names no committed replica.
        nothing_left: NothingLeft,
    },
    /// A token of the API is made.
    CreateAccessToken {
        /// Its name.
        name: String,
        /// What its holder may do.
        role: TokenRole,
        /// Digest of its secret.
        digest: Digest,
    },
    /// A token of the API is good no longer.
    RevokeAccessToken {
        /// Its name.
        name: String,
    },
    /// Other versions of a workload run from this entry on.
    ChangeVersion {
        /// Its name.
        name: String,
        /// The activation that this goes by; another one: conflict.
        base: u64,
        /// What changes.
        change: VersionChange,
    },
    /// A command that is recorded in the audit with who had it written.
    Audited(Box<Audited>),
    /// Something was done, or refused, that is no entry of its own: it is only recorded.
    Note {
        /// What, for people.
        what: String,
        /// The component or backup that it was about.
        digest: Option<Digest>,
        /// Why it was refused, if it was.
        refused: Option<String>,
    },
    /// From this entry on, what the nodes write may be of this level of formats.
    RaiseLevel {
        /// The level.
        level: Level,
        /// Nodes that have proven that their builds read it; void unless all members are among them.
        proven: Vec<NodeId>,
    },
    /// A step of a rotation of the nodes' certificates.
    Certificates(Box<CertificateChange>),
    /// A node is to own no shards until it is released.
    Quarantine {
        /// Which.
        node: NodeId,
        /// Why, for people.
        reason: String,
    },
    /// A node may own shards again.
    Release {
        /// Which.
        node: NodeId,
    },
    /// A workload is deployed or replaced, and shards are owned from this entry on only by nodes with these labels, while there are any.
    DeployOnLabels {
        /// Its name.
        name: String,
        /// What runs from this entry on.
        spec: Box<WorkloadSpec>,
        /// As for `DeployWorkload`.
        replaces: u64,
        /// The labels.
        labels: Labels,
    },
}

/// A command, and whose doing it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// Who.
    pub by: Author,
    /// The wall clock of the leader that writes it, in milliseconds since 1970: to be shown, it decides nothing.
    pub at_unix_ms: u64,
    /// What.
    pub command: ControlCommand,
}

impl ControlCommand {
    /// The command with whose doing it is; the leader that writes it adds the time.
    #[must_use]
    pub fn by(self, by: Author) -> ControlCommand {
        ControlCommand::Audited(Box::new(Audited { by, at_unix_ms: 0, command: self }))
    }
}

/// Why an entry had no effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// There is a cluster already.
    #[error("this cluster exists already")]
    AlreadyFounded,
    /// There is no cluster yet.
    #[error("no cluster has been founded here yet")]
    NotFounded,
    /// The token is unknown: never made, used up, or expired.
    #[error("the join token is unknown, used up or expired: make a new one with `shardloom token create`")]
    UnknownToken,
    /// The node is a member already.
    #[error("a node with id {node} is a member already: give the new node a data directory of its own")]
    DuplicateNode {
        /// Its identity.
        node: NodeId,
    },
    /// There is no such member.
    #[error("no node {node} in this cluster: `shardloom nodes` lists them")]
    UnknownNode {
        /// The identity asked for.
        node: NodeId,
    },
    /// Removing the node would orphan data.
    #[error(
        "node {node} still holds {shards} shards: drain it first (`shardloom node drain {node}`), or use --force"
    )]
    HoldsData {
        /// Its identity.
        node: NodeId,
        /// How many shards count it among their replicas.
        shards: u32,
    },
    /// There is no such workload.
    #[error("no workload {name:?}: `shardloom workloads` lists them")]
    UnknownWorkload {
        /// The name asked for.
        name: String,
    },
    /// Somebody else has changed what runs of the same workload in between.
    #[error(
        "somebody else has changed what runs of workload {name:?} meanwhile (it is at version {version}): try again"
    )]
    DeployConflict {
        /// Its name.
        name: String,
        /// Its version now.
        version: u64,
    },
    /// The weigher has been replaced meanwhile.
    #[error("the weigher has been replaced meanwhile")]
    WeigherReplaced,
    /// The entry cannot be read.
    #[error("a control entry does not decode: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// A setting cannot have that value.
    #[error("{reason}")]
    BadSetting {
        /// Which, and what it can have.
        reason: String,
    },
    /// A token of the API cannot be made or revoked.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The versions of a workload cannot change so.
    #[error("{reason}")]
    Version {
        /// Why, and what to do.
        reason: String,
    },
    /// What a note says was refused.
    #[error("{reason}")]
    Noted {
        /// Why.
        reason: String,
    },
    /// The cluster is not at the level of formats yet that this needs.
    #[error("this needs formats {needs}, and the cluster is at {active}: upgrade all nodes first")]
    LevelAhead {
        /// What it needs.
        needs: Level,
        /// Where the cluster is.
        active: Level,
    },
    /// The cluster is at that level of formats, or above it.
    #[error("the cluster is at formats {active} already")]
    AlreadyAt {
        /// Where the cluster is.
        active: Level,
    },
    /// A member has not proven that its build reads the level.
    #[error("node {node} has not proven that its build reads formats {level}")]
    NotProven {
        /// The member.
        node: NodeId,
        /// The level.
        level: Level,
    },
    /// The build of a node is too old to be a member.
    #[error(
        "the build of node {node} reads formats up to {reads}, and this cluster is at {active}: start a newer binary there"
    )]
    OldBuild {
        /// The node.
        node: NodeId,
        /// What its build reads.
        reads: Level,
        /// Where the cluster is.
        active: Level,
    },
    /// A rotation of the nodes' certificates, or one that is under way, forbids it.
    #[error("{reason}")]
    Rotation {
        /// Why, and what to do.
        reason: String,
    },
    /// A node cannot be brought into quarantine, or out of it.
    #[error(transparent)]
    Quarantine(#[from] QuarantineRefused),
    /// A workload may not ask for these labels.
    #[error(transparent)]
    Labels(#[from] LabelsRefused),
}

/// What the writer of an entry gets back once it is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlReply {
    /// The entry's index in the control log.
    pub index: u64,
    /// What became of it; for a deploy and what is like it the version that it is about.
    pub outcome: Result<Outcome, Refused>,
}

/// The effect of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It took effect.
    Done,
    /// The workload has this version now, or, as a canary, on some shards.
    Deployed {
        /// Counts from 1 for each name.
        version: u64,
    },
}

#[cfg(test)]
impl Founding {
    /// That of a cluster of one node and four shards.
    pub(crate) fn example() -> Founding {
        use shardloom_sharding::ids::DiskId;

        use super::member::Addresses;

        let address = |port| format!("127.0.0.1:{port}");
        Founding {
            cluster: ClusterId(7),
            shard_count: 4,
            replicas: 3,
            join_policy: JoinPolicy::Auto,
            ca_certificate: String::new(),
            ca_key: String::new(),
            admin_token: Digest([0; 32]),
            founder: Member {
                node: NodeId(1),
                disk: DiskId(101),
                addresses: Addresses { http: address(1), peer: address(2), gossip: address(3) },
                zone: String::new(),
                capacity: 100,
                labels: BTreeMap::new(),
                standing: MemberStanding::Active,
            },
        }
    }
}
