//! What a node knows of its cluster: the applied control state, and its own standing in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use shardloom_cluster::control::{self, AccessTokens, Labels, Settings, WorkloadVersion};
use shardloom_cluster::formats::Level;
use shardloom_cluster::leading::MovesNews;
use shardloom_protocol::digest::Digest;
use shardloom_protocol::workload::{Bodies, Reuse, WorkloadSpec};
use shardloom_sharding::canary::Share;
use shardloom_sharding::ids::{ClusterId, Epoch, NodeId, ShardId, Term};
use shardloom_sharding::map::ShardMap;
use shardloom_sharding::protocol::leader::Tally;
use shardloom_sharding::protocol::timing::Time;
use shardloom_sharding::route::{Leader, Lease, Progress, ShardView};

/// One consistent picture; replaced as a whole whenever something in it changes.
#[derive(Debug, Clone)]
pub struct View {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The node whose view this is.
    pub this_node: NodeId,
    /// Who leads, as far as this node knows.
    pub leader: Option<NodeId>,
    /// The leader's term.
    pub term: Term,
    /// The newest control-log index that this view contains.
    pub applied: u64,
    /// How many replicas a shard should have.
    pub replicas: u32,
    /// How many replicas the nodes that there are allow.
    pub replicas_possible: u32,
    /// The level of formats that the cluster is at.
    pub formats: Level,
    /// What operators have set.
    pub settings: Settings,
    /// How data moves, as the leader tells.
    pub moves: Arc<MovesNews>,
    /// The committed map. Its shard count is the cluster's.
    pub map: Arc<ShardMap>,
    /// Shards with a valid proposal that is not committed yet, and whether the leader has given up on it for now. A shard
    /// that is not here is settled.
    pub unsettled: Arc<BTreeMap<ShardId, Progress>>,
    /// Shards of others that are proposed to be this node's.
    pub to_come: Arc<BTreeSet<ShardId>>,
    /// Everybody who belongs to the cluster or asks to.
    pub members: BTreeMap<NodeId, Member>,
    /// What is deployed, by name.
    pub workloads: BTreeMap<String, Arc<Workload>>,
    /// What workloads ask of the owners of shards.
    pub required_labels: BTreeMap<String, Labels>,
    /// By which shard function the state lies of names that are not deployed now.
    pub left_by: BTreeMap<String, Option<Digest>>,
    /// The weigher, once one is set.
    pub weigher: Option<Weigher>,
    /// One weight per shard, or none while all weigh 1.
    pub weights: Option<Arc<Vec<u32>>>,
    /// Who may do what through the API.
    pub access: Arc<AccessTokens>,
    /// Nodes without room on their disks.
    pub full: BTreeSet<NodeId>,
    /// Whether this node holds a live lease. A hint: [`Permit`](super::fabric::Permit) is what counts.
    pub lease_live: bool,
    /// What a person should know (a single node keeps nothing safe, ...), in sentences.
    pub warnings: Vec<String>,
    /// What became of the changes that this node has made in the term in which it led last.
    pub tally: (Term, Arc<Tally>),
    /// When this node last saw somebody begin to lead.
    pub elected: Option<Time>,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its standing.
    pub state: MemberState,
    /// Its part in the control group.
    pub role: Role,
    /// Where it answers clients, host:port.
    pub http: String,
    /// Where it answers peers, host:port.
    pub peer: String,
    /// Where it gossips, host:port.
    pub gossip: String,
    /// Where it stands; replicas of a shard keep to distinct zones.
    pub zone: String,
    /// How much it carries, in proportion to the others.
    pub capacity: u32,
    /// What it says of itself besides.
    pub labels: BTreeMap<String, String>,
    /// Why it is in quarantine, if it is.
    pub quarantine: Option<String>,
    /// The labels that workloads ask of owners and it does not have, for people.
    pub lacks: Vec<String>,
    /// Whether the leader, or this node, hears from it: who must confirm a deploy, and who is asked for components.
    pub live: bool,
}

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// It renews its lease.
    Live,
    /// It does not.
    Silent,
    /// It hands everything over.
    Draining,
    /// It renews its lease, and is to own no shard until it is released.
    Quarantined,
    /// It waits to be let in.
    Pending,
}

/// What a node is to the control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It leads.
    Leader,
    /// It votes.
    Voter,
    /// It only follows the log.
    Learner,
}

/// A deployed workload at one of its versions: in [`View::workloads`] the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Its name, which is also its key in [`View::workloads`].
    pub name: String,
    /// The version. Counts up with each deploy of the name, also across a removal; a rollback goes back.
    pub version: u64,
    /// The control-log index of the last change of what runs of the name, on any shard: never goes back.
    pub activation: u64,
    /// What it consists of.
    pub spec: WorkloadSpec,
    /// What runs in its place on some shards.
    pub canary: Option<Canary>,
    /// The control-log index from which on it is current.
    pub since: u64,
    /// All versions of the name that are kept, ascending.
    pub kept: Vec<Arc<WorkloadVersion>>,
}

/// A version that runs on some shards only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// The workload as it is there.
    pub workload: Arc<Workload>,
    /// The part of all shards that was asked for.
    pub share: Share,
    /// The shards, ascending.
    pub shards: Vec<ShardId>,
}

/// What weighs shards, and how it fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weigher {
    /// The component, or what a built-in weigher stands under.
    pub component: Digest,
    /// The control-log index of the last weights that it gave.
    pub last_run: Option<u64>,
    /// Why its last run gave none.
    pub alarm: Option<String>,
}

impl Workload {
    /// The workload as the control state has it.
    pub fn of(name: &str, found: &control::Workload) -> Workload {
        let at = |version: &WorkloadVersion, since| Workload {
            name: name.to_owned(),
            version: version.version,
            activation: found.activation,
            spec: version.spec.clone(),
            canary: None,
            since,
            kept: Vec::new(),
        };
        let canary = found.canary.as_ref().map(|canary| Canary {
            workload: Arc::new(at(&canary.tried, canary.tried.deployed)),
            share: canary.share,
            shards: canary.shards.clone(),
        });
        Workload { canary, kept: found.kept(), ..at(&found.current, found.since) }
    }

    /// The workload as it is on this shard.
    pub fn on(self: &Arc<Workload>, shard: ShardId) -> Arc<Workload> {
        match &self.canary {
            Some(canary) if canary.shards.binary_search(&shard).is_ok() => Arc::clone(&canary.workload),
            _ => Arc::clone(self),
        }
    }

    /// Whether an instance that fares well answers the next call too.
    pub fn keeps_instances(&self) -> bool {
        self.spec.http.as_ref().is_none_or(|http| http.reuse == Reuse::Always)
    }

    /// Whether the bodies of requests and responses are passed on as they come.
    pub fn streams(&self) -> bool {
        self.spec.http.as_ref().is_some_and(|http| http.bodies == Bodies::Streamed)
    }
}

impl View {
    /// How many shards the cluster has.
    pub fn shard_count(&self) -> u32 {
        self.map.shard_count()
    }

    /// The newest epoch that any shard is committed under; 0 before the first map.
    pub fn epoch(&self) -> Epoch {
        self.map.shards().map(|shard| self.map.epoch(shard)).max().unwrap_or_default()
    }

    /// What routing needs to know of a shard. `serving` is what [`Fabric::enter`](super::fabric::Fabric::enter) said.
    pub fn shard(&self, shard: ShardId, serving: Option<Epoch>) -> ShardView {
        ShardView {
            this: self.this_node,
            owner: self.map.owner(shard),
            epoch: self.map.epoch(shard),
            progress: self.progress(shard),
            serving,
            lease: if self.lease_live || serving.is_some() { Lease::Live } else { Lease::Out },
            leader: if self.leader.is_some() { Leader::Known } else { Leader::Unknown },
        }
    }

    /// How far the shard's newest change has come. An owner that the leader has not heard from is about to lose the shard: a call
    /// sent there would hang, and nobody could say whether it ran.
    fn progress(&self, shard: ShardId) -> Progress {
        if let Some(progress) = self.unsettled.get(&shard) {
            return *progress;
        }
        let silent = |owner: NodeId| self.members.get(&owner).is_some_and(|member| !member.live);
        match self.map.owner(shard) {
            Some(owner) if owner != self.this_node && silent(owner) => Progress::Resharding,
            _ => Progress::Settled,
        }
    }

    /// Whether some other node is up and has room on its disk.
    pub fn has_room_elsewhere(&self) -> bool {
        self.live_nodes().any(|node| node != self.this_node && !self.full.contains(&node))
    }

    /// Whether this node's disk is full.
    pub fn is_full_here(&self) -> bool {
        self.full.contains(&self.this_node)
    }

    /// Whether the node is up.
    pub fn is_live(&self, node: NodeId) -> bool {
        self.members.get(&node).is_some_and(|member| member.live)
    }

    /// The nodes that are up, this one included, in the order of their ids.
    pub fn live_nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().filter(|(_, member)| member.live).map(|(node, _)| *node)
    }
}
