//! What a leader tells of its plans to people who ask, and what they may have it do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, ParseIdError, ShardId};
use crate::plan::{NodeBalance, Planned, Reason};

use super::super::control::ShardControl;

/// Nodes that a plan may suppose to have joined: more is no question of balance any more.
pub const SUPPOSED_NODES_MAX: u32 = 64;

/// Names a plan: a digest of the map that it was made for, and of its moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanId(NodeId);

impl PlanId {
    /// The name of this plan for that map.
    pub fn of(control: &ShardControl, planned: &[Planned]) -> PlanId {
        let mut digest = Digest::of_map(control);
        for Planned { change, .. } in planned {
            digest.add(u64::from(change.shard.0));
            digest.add(change.base.0);
            digest.add(change.owner.0);
            for replica in &change.replicas {
                digest.add(replica.node.0);
                digest.add(replica.disk.0);
            }
        }
        PlanId(NodeId(digest.end()))
    }
}

impl FromStr for PlanId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<PlanId, ParseIdError> {
        text.parse().map(PlanId)
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The state of a map: the epochs of all shards, committed and pending.
pub(super) fn map_digest(control: &ShardControl) -> u64 {
    Digest::of_map(control).end()
}

/// FNV-1a over 64-bit words, mixed at the end. It tells plans apart for people; nothing rests on it.
struct Digest(u64);

impl Digest {
    fn of_map(control: &ShardControl) -> Digest {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        for shard in control.committed().shards() {
            digest.add(control.committed().epoch(shard).0);
        }
        for (shard, pending) in control.pendings() {
            digest.add(u64::from(shard.0));
            digest.add(pending.epoch.0);
        }
        digest
    }

    fn add(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn end(self) -> u64 {
        (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// What is to be planned for: nothing supposed, it is the cluster as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanAsk {
    /// Nodes that are supposed to drain.
    pub without: Vec<NodeId>,
    /// How many empty nodes of the mean capacity are supposed to have joined.
    pub with_nodes: u32,
    /// The weights that shards are supposed to have, one a shard.
    pub weights: Option<Vec<u32>>,
}

impl PlanAsk {
    /// What it supposes, if anything.
    pub(super) fn supposes(&self) -> Option<Supposed> {
        if self.with_nodes > 0 {
            Some(Supposed::MoreNodes)
        } else if !self.without.is_empty() {
            Some(Supposed::FewerNodes)
        } else {
            self.weights.as_ref().map(|_| Supposed::OtherWeights)
        }
    }
}

/// What a plan supposes that is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Supposed {
    /// Nodes have joined.
    #[error("it supposes nodes that are not there: add them, and the leader moves shards to them by itself")]
    MoreNodes,
    /// Nodes are drained.
    #[error("it supposes nodes to drain that do not: `shardloom node drain` drains them")]
    FewerNodes,
    /// Another weigher has weighed.
    #[error("it supposes other weights than there are: `shardloom weigher set` sets the weigher")]
    OtherWeights,
}

/// Whether the leader moves shards for the sake of balance by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Levelling {
    /// It does.
    #[default]
    On,
    /// It does not, until it is told to.
    Paused,
}

/// A plan as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Its name.
    pub id: PlanId,
    /// What it supposes; such a plan cannot be carried out.
    pub supposes: Option<Supposed>,
    /// What would move, in order of shards.
    pub moves: Vec<PlannedMove>,
    /// All nodes, those that are supposed included.
    pub nodes: Vec<NodeOutlook>,
    /// Moves that are under way already, or ordered; the plan is made for the map that they lead to, and does not list them.
    pub under_way: u32,
    /// Shards that were moved so lately that they are not moved for the sake of balance now.
    pub resting: u32,
    /// Whether the leader would do it by itself.
    pub levelling: Levelling,
}

/// What would become of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMove {
    /// The shard.
    pub shard: ShardId,
    /// Who owns it now.
    pub from: Option<NodeId>,
    /// Who is to own it.
    pub to: NodeId,
    /// Who is to hold it beside those who do: data is copied to them.
    pub gains: Vec<NodeId>,
    /// Who is to hold it no longer.
    pub loses: Vec<NodeId>,
    /// Why.
    pub reason: Reason,
}

/// What a node carries, and would carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOutlook {
    /// The node.
    pub node: NodeId,
    /// Its number, from 1, where it is only supposed to be there.
    pub supposed: Option<u32>,
    /// What it carries, once what is under way is done.
    pub before: NodeBalance,
    /// What it would carry after the plan.
    pub after: NodeBalance,
}

/// What a leader is told to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// A plan that it has told.
    Plan(PlanId),
    /// What levels the cluster now, however little it is out of balance and whatever rests.
    Now,
}

/// What a leader has taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// The plan.
    pub id: PlanId,
    /// How many shards it moves.
    pub moves: u32,
}

/// Why a leader has not planned, or does not carry out a plan. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum PlanRefusal {
    /// Another node leads, or none.
    #[error("the node that was asked does not lead")]
    NotLeader,
    /// There is no such member.
    #[error("no node {0} in this cluster: `shardloom nodes` lists them")]
    UnknownNode(NodeId),
    /// So many nodes are not supposed.
    #[error("at most {SUPPOSED_NODES_MAX} nodes can be supposed to have joined")]
    TooManyNodes,
    /// There is not one weight for each shard.
    #[error("there is not one weight for each shard")]
    WrongWeights,
    /// The leader does not know the plan.
    #[error(
        "this leader knows no plan {0}: a leader keeps the last few that it has made, and a new one none. Run `shardloom plan` again"
    )]
    UnknownPlan(PlanId),
    /// The plan supposes what is not so.
    #[error("plan {0} cannot be carried out, since {1}")]
    Supposes(PlanId, Supposed),
    /// The map is another than the plan was made for.
    #[error("the map has changed since plan {0} was made; run `shardloom plan` again")]
    MapChanged(PlanId),
}
