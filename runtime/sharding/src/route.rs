//! What a node does with a request, given what it knows of the request's shard.
//!
//! Nothing here is remembered: a request that waits is routed anew whenever one of the facts changes, until its deadline.

use crate::ids::{Epoch, NodeId};

/// How often a request may be forwarded: an owner of before, the one of now, and one more change on the way. Nodes whose maps
/// differ for longer than that would pass it round.
pub const HOPS_MAX: u8 = 3;

/// How far the shard's newest change has come, as this node has applied the control log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No change is proposed: the committed owner serves.
    Settled,
    /// A change is proposed and not yet committed: the shard pauses.
    Resharding,
    /// The leader has said that too few of the shard's replicas answer.
    Unavailable,
}

/// Whether this node may serve now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The leader's leave is running.
    Live,
    /// There is none, or it has run out.
    Out,
}

/// Whether this node knows of a leader now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leader {
    /// It hears from one.
    Known,
    /// It hears from none.
    Unknown,
}

/// What this node knows of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardView {
    /// This node.
    pub this: NodeId,
    /// The committed owner, if the shard has ever had one.
    pub owner: Option<NodeId>,
    /// The committed epoch; 0 if there is none.
    pub epoch: Epoch,
    /// How far the newest change has come.
    pub progress: Progress,
    /// The epoch under which this node serves the shard now.
    pub serving: Option<Epoch>,
    /// Whether this node has a lease.
    pub lease: Lease,
    /// Whether this node knows a leader.
    pub leader: Leader,
}

/// What routing needs of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Travel {
    /// The newest epoch of the shard that a node on its way has gone by; 0 for a request from a client.
    pub epoch: Epoch,
    /// How often it has been forwarded.
    pub hops: u8,
}

/// What to do with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Run it here, under this epoch.
    Dispatch {
        /// The epoch that this node serves the shard under.
        epoch: Epoch,
    },
    /// Send it to the owner.
    Forward {
        /// The owner.
        node: NodeId,
        /// The epoch of its ownership, which the owner is to have reached.
        epoch: Epoch,
    },
    /// Keep it until one of the facts changes or its deadline comes; then [`ShardView::refusal`] is the answer.
    Wait,
    /// Answer now.
    Refuse(Refusal),
}

/// Why a request was not run. All of these are answered with status 503, `executed: no` and `retry-after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// This node hears from no leader, so nobody can tell it who owns the shard.
    #[error("no leader is known")]
    NoLeader,
    /// The shard is being handed over.
    #[error("the shard is being handed over")]
    Resharding,
    /// Too few of the shard's replicas answer.
    #[error("too few of the shard's replicas answer")]
    ShardUnavailable,
    /// The queue is full.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The request has been forwarded [`HOPS_MAX`] times.
    #[error("the request was forwarded {HOPS_MAX} times without meeting the shard's owner")]
    TooManyHops,
}

impl Refusal {
    /// Returns the `code` of the answer.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::NoLeader => "no-leader",
            Refusal::Resharding => "resharding",
            Refusal::ShardUnavailable => "shard-unavailable",
            Refusal::Overloaded => "overloaded",
            Refusal::TooManyHops => "too-many-hops",
        }
    }
}

/// Decides what this node does with the request now.
pub fn route(view: &ShardView, travel: Travel) -> Route {
    let Some(owner) = view.owner else { return Route::Wait };
    if view.progress != Progress::Settled || view.epoch < travel.epoch {
        return Route::Wait;
    }
    if owner != view.this {
        if travel.hops >= HOPS_MAX {
            return Route::Refuse(Refusal::TooManyHops);
        }
        return Route::Forward { node: owner, epoch: view.epoch };
    }
    match (view.serving, view.lease) {
        (Some(epoch), Lease::Live) if epoch == view.epoch => Route::Dispatch { epoch },
        _ => Route::Wait,
    }
}

impl ShardView {
    /// Returns the answer to a request whose wait ended without the shard being served.
    pub fn refusal(&self) -> Refusal {
        match (self.progress, self.leader) {
            (_, Leader::Unknown) => Refusal::NoLeader,
            (Progress::Unavailable, Leader::Known) => Refusal::ShardUnavailable,
            (Progress::Settled | Progress::Resharding, Leader::Known) => Refusal::Resharding,
        }
    }
}
