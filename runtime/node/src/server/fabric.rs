//! The seam between the server and the cluster: what the server asks of it, and nothing else.
//!
//! Two kinds of cluster stand behind [`Fabric`]: the real one, and the one of the tests, which joins several servers in one process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use shardloom_cluster::builds::MemberBuild;
use shardloom_cluster::certificates::CertificateReport;
use shardloom_cluster::control::{
    AuditEntry, Author, EpochChange, EventsAfter, Labels, Reason, Setting, TokenRole, VersionChange,
};
use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::{HealingReport, LogEnds};
use shardloom_protocol::workload::WorkloadSpec;
use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{Epoch, NodeId, ShardId};
use shardloom_sharding::protocol::control::{Assignment, NothingLeft};
use shardloom_sharding::protocol::leader::{Order, Ordered, PlanAsk, PlanRefusal, Preview};
use tokio::sync::watch;
use tokio::time::Instant;

use super::state::ShardState;
use super::view::View;

/// What a node's server needs of the cluster.
pub trait Fabric: Send + Sync + 'static {
    /// The applied control state and this node's standing in it. Called on every request: a clone of an `Arc`.
    fn view(&self) -> Arc<View>;

    /// Counts up after each change of [`Fabric::view`] and each change of what [`Fabric::enter`] would say.
    fn changed(&self) -> watch::Receiver<u64>;

    /// Asks leave to run one call of a shard here. The call counts as under way until the permit is dropped.
    ///
    /// # Errors
    /// Why this node may not run it now; nothing has run.
    fn enter(&self, shard: ShardId) -> Result<Permit, NotServing>;

    /// The state of a shard under an epoch; none unless it is served here under just that.
    fn state(&self, shard: ShardId, epoch: Epoch) -> Option<Arc<dyn ShardState>>;

    /// Where this node's logs of these shards end, whether it owns them or not.
    ///
    /// # Errors
    /// The logs cannot be read; for people.
    fn log_ends(&self, shards: Vec<ShardId>) -> BoxFuture<'_, Result<LogEnds, String>>;

    /// Sends one request to a peer's [`handle_peer`](super::NodeServer::handle_peer) and waits for its reply.
    ///
    /// # Errors
    /// Says whether the request can have reached the peer.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the reply; the request may have been sent.
    fn request(
        &self,
        node: NodeId,
        class: Class,
        body: Bytes,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Bytes, FabricError>>;

    /// Writes to the control log, through whichever node leads, and waits until the command is applied here. The audit shows whose doing it is.
    ///
    /// # Errors
    /// Says why it was not written, or that nobody knows.
    fn write(&self, by: Author, command: ControlCommand)
    -> BoxFuture<'_, Result<ControlReply, ControlError>>;

    /// Makes the leader give up its place; answers who leads then.
    ///
    /// # Errors
    /// As [`Fabric::write`].
    fn step_down(&self) -> BoxFuture<'_, Result<NodeId, ControlError>>;

    /// What this node, if it leads, would plan.
    ///
    /// # Errors
    /// It does not lead, or what is to be supposed cannot be.
    fn plan(&self, ask: PlanAsk) -> BoxFuture<'_, Result<Preview, PlanRefusal>>;

    /// Has this node, if it leads, carry out a plan.
    ///
    /// # Errors
    /// It does not lead, does not know the plan, or the plan does not fit; nothing has changed.
    fn order(&self, order: Order) -> BoxFuture<'_, Result<Ordered, PlanRefusal>>;

    /// Which builds these nodes run: each is asked. A fabric without builds tells of none.
    fn builds(&self, _nodes: Vec<NodeId>) -> BoxFuture<'_, BTreeMap<NodeId, MemberBuild>> {
        Box::pin(std::future::ready(BTreeMap::new()))
    }

    /// What this node sees that does not heal by itself.
    fn healing(&self) -> BoxFuture<'_, HealingReport>;

    /// At most so many of the newest entries of the audit after an index, the oldest first, and how many older ones have been dropped.
    fn audit(&self, since: u64, tail: usize) -> (Vec<AuditEntry>, u64);

    /// What the control log knows of why a shard is where it is.
    fn why(&self, shard: ShardId) -> ShardWhy;

    /// The certificates of the nodes, and the rotation that is under way.
    fn certificates(&self) -> CertificateReport;

    /// At most so many events after an index, the oldest first.
    fn events(&self, since: u64, most: usize) -> EventsAfter;
}

/// Why a shard is where it is.
#[derive(Debug, Clone, Default)]
pub struct ShardWhy {
    /// What is proposed for it and not committed.
    pub pending: Option<Assignment>,
    /// Why that is proposed.
    pub pending_reasons: Vec<Reason>,
    /// Its last changes, the oldest first.
    pub history: Vec<EpochChange>,
}

/// Which of a peer's streams a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Short requests that must not wait behind calls: loads, how far the control log is applied.
    Control,
    /// Forwarded calls.
    Requests,
    /// What is large or takes long: components, trying them out, large calls.
    Bulk,
}

/// Leave to run one call of one shard, for as long as it is held.
pub struct Permit {
    epoch: Epoch,
    may_answer: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Permit {
    /// Makes a permit. `may_answer` says whether a reply may leave now (lease live, same epoch served, not sealed); what it
    /// owns is dropped with the permit, so that is where the count of calls under way belongs.
    pub fn new(epoch: Epoch, may_answer: impl Fn() -> bool + Send + Sync + 'static) -> Permit {
        Permit { epoch, may_answer: Box::new(may_answer) }
    }

    /// The epoch that the shard is served under.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether a reply may leave now; to be asked after the guest has run, before its result is told to anybody.
    pub fn may_answer(&self) -> bool {
        (self.may_answer)()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// Why a node may not run calls of a shard now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotServing {
    /// The committed map names another owner, or none.
    #[error("the shard has another owner")]
    NotOwner,
    /// The shard is held or sealed for a hand-over.
    #[error("the shard is being handed over")]
    HandingOver,
    /// The node's lease has run out, or it never had one.
    #[error("the node has no lease")]
    NoLease,
}

/// Why a request to a peer has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FabricError {
    /// It never left this node: it was not executed.
    #[error("the request was not sent: {0}")]
    NotSent(String),
    /// Too much is under way to that peer: it was not executed.
    #[error("too many requests are under way to the peer")]
    Overloaded,
    /// It was sent, and the reply did not come: it may have been executed.
    #[error("the reply did not come: {0}")]
    Unknown(String),
}

/// What the server writes to the control log.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlCommand {
    /// Makes a new version of a workload, for all nodes at one log index.
    DeployWorkload {
        /// The workload.
        name: String,
        /// The activation that the deploy started from (`None`: nothing was deployed); if another one is there by now, it conflicts.
        base: Option<u64>,
        /// What the new version consists of.
        spec: Box<WorkloadSpec>,
        /// Labels without which a node is to own no shards.
        labels: Labels,
    },
    /// Takes a workload away.
    RemoveWorkload {
        /// The workload.
        name: String,
    },
    /// Has other versions of a workload run, for all nodes from one log index on.
    ChangeVersion {
        /// The workload.
        name: String,
        /// The activation that this started from; if another one is there by now, it conflicts.
        base: u64,
        /// What changes.
        change: VersionChange,
    },
    /// Makes a join token: the cluster draws the secret, and logs its hash only.
    CreateToken {
        /// For how long it is good, in whole seconds; `None`: the usual time.
        life: Option<Duration>,
    },
    /// Makes a component the weigher, and clears the alarm.
    SetWeigher {
        /// A component of the world `shard-weigher`.
        component: Digest,
    },
    /// Sets the weight of every shard, as the weigher gave them, and clears the alarm.
    SetWeights {
        /// The weigher that gave them; void if it is not the weigher any more.
        component: Digest,
        /// One weight per shard.
        weights: Vec<u32>,
    },
    /// Keeps the old weights and says why the weigher gave none.
    RaiseWeigherAlarm {
        /// The weigher that failed; void if it is not the weigher any more.
        component: Digest,
        /// For people.
        text: String,
    },
    /// Takes the weigher and its weights away.
    UnsetWeigher,
    /// Lets a pending node in.
    AddNode(NodeId),
    /// Moves everything off a node.
    DrainNode(NodeId),
    /// Takes a node out of the cluster.
    RemoveNode {
        /// The node.
        node: NodeId,
        /// Also where it orphans data.
        force: Force,
    },
    /// Keeps a node from owning shards.
    Quarantine {
        /// The node.
        node: NodeId,
        /// Why, for people.
        reason: String,
    },
    /// Lets a node own shards again.
    Release(NodeId),
    /// Sets something for the whole cluster: all of it, or none.
    SetSettings(Vec<(Setting, u64)>),
    /// Gives up the replicas of these shards that the changes leave out, and whatever only they hold.
    RepairShards {
        /// The replicas that are left, or, where none is, those that begin anew.
        changes: Vec<Change>,
        /// What becomes of shards of which nothing is left.
        nothing_left: NothingLeft,
    },
    /// Makes a token of the API.
    CreateAccess {
        /// Its name.
        name: String,
        /// What its holder may do.
        role: TokenRole,
        /// The sha256 of its secret.
        digest: Digest,
    },
    /// Records in the audit what is no entry of its own.
    Note {
        /// What was done, for people.
        what: String,
        /// The backup that it was about.
        digest: Option<Digest>,
        /// Why it was refused, if it was.
        refused: Option<String>,
    },
    /// Revokes a token of the API.
    RevokeAccess {
        /// Its name.
        name: String,
    },
    /// Begins to rotate the certificates of all nodes: the cluster makes the authority that is to sign them.
    RotateCertificates,
}

/// Whether a removal may orphan data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Refuse where data would be orphaned.
    Refuse,
    /// Remove all the same.
    Orphan,
}

/// What the cluster says to a [`ControlCommand`] that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlReply {
    /// Applied at this index of the control log.
    Applied {
        /// The index.
        index: u64,
    },
    /// Other versions of a workload run from this index on.
    Deployed {
        /// The new version, or the one that is current again.
        version: u64,
        /// The index.
        index: u64,
    },
    /// A join token in its text form.
    Token {
        /// The text to hand to the new node.
        token: String,
        /// For how long it is good.
        expires_in: Duration,
    },
}

impl ControlReply {
    /// The index that the command was applied at, where it says one.
    pub fn index(&self) -> Option<u64> {
        match self {
            ControlReply::Applied { index } | ControlReply::Deployed { index, .. } => Some(*index),
            ControlReply::Token { .. } => None,
        }
    }
}

/// Why a [`ControlCommand`] was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Nobody leads, so nothing was written.
    #[error("the cluster has no leader now")]
    NoLeader,
    /// Another deploy of the workload, or what is like it, came first; nothing changed.
    #[error("somebody else has changed what runs of {name} meanwhile: try again")]
    Conflict {
        /// The workload.
        name: String,
    },
    /// There is no such workload; nothing changed.
    #[error("there is no workload {name}")]
    UnknownWorkload {
        /// The workload.
        name: String,
    },
    /// The state of the cluster forbids it (an unknown node, a removal that would orphan data); nothing changed.
    #[error("{0}")]
    Refused(String),
    /// It may or may not have been applied.
    #[error("the command may or may not have been applied: {0}")]
    Unknown(String),
}
