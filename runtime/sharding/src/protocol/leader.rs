//! The leader's side of the protocol: what happens to the leader, and what its shell is to do.
//!
//! A [`LeaderCore`] runs on every node. It decides from the applied control state and from what nodes say again to each new
//! leader, so it begins with nothing.

mod core;
mod flaps;
mod move_status;
mod moves;
mod nodes;
mod one_move;
mod outbox;
mod preview;
mod reign;
mod rests;
mod rounds;
mod setbacks;
mod survey;
mod takeovers;
mod tally;

use std::time::Duration;

use crate::change::Change;
use crate::ids::{Epoch, NodeId, ShardId, Term};
use crate::plan::{Member, PlanSettings};

use super::messages::{FromLeader, ToLeader};
use super::node::Changed;
use super::timing::{Time, Timing};

pub use self::core::LeaderCore;
pub use self::flaps::{FLAPS_MAX, FlapRule, may_be_quarantined};
pub use self::move_status::{MoveStatus, MoveStep, MovesEnded};
pub use self::preview::{
    Levelling, NodeOutlook, Order, Ordered, PlanAsk, PlanId, PlanRefusal, PlannedMove, Preview,
    SUPPOSED_NODES_MAX, Supposed,
};
pub use self::setbacks::MoveSetback;
pub use self::tally::{End, Tally};

/// Names a proposal or commit that the shell was asked to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What happens to the leader core; it runs on every node, and does nothing but listen where it does not lead.
#[derive(Clone, Debug)]
pub enum LeaderEvent {
    /// This node leads, and has applied an entry of its own term.
    Elected {
        /// The term.
        term: Term,
        /// When the election was won, or later.
        at: Time,
    },
    /// This node no longer leads.
    Deposed,
    /// The members and their standing by the control state: `Live`, `Quarantined`, `Unfit`, `Draining` or `Gone`; who is silent, the core sees itself.
    Members(Vec<Member>),
    /// The weights of all shards.
    Weights(Vec<u32>),
    /// What operators have set.
    Settings(ClusterSettings),
    /// A quorum of voters has acknowledged a heartbeat or append that this leader *sent* at that moment.
    QuorumHeard {
        /// When it was sent.
        sent: Time,
    },
    /// A message has come.
    Message {
        /// The node that the transport has authenticated.
        from: NodeId,
        /// The message.
        message: ToLeader,
    },
    /// The control state that is passed beside has changed.
    Applied {
        /// The shards that have changed.
        changed: Changed,
    },
    /// What was to be written is applied here, or has failed for good.
    Written {
        /// The ticket of the command.
        ticket: Ticket,
    },
    /// Time has passed; due every [`Timing::tick`].
    Tick,
}

/// What the leader's shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderCommand {
    /// Write a proposal to the control log; report `Written`.
    Propose {
        /// Names the write.
        ticket: Ticket,
        /// What is proposed.
        changes: Vec<Change>,
    },
    /// Write a commit to the control log; report `Written`.
    Commit {
        /// Names the write.
        ticket: Ticket,
        /// The proposal.
        epoch: Epoch,
        /// The term in which this was decided; goes into the entry, which is void in any other.
        term: Term,
        /// The shards that are recovered.
        shards: Vec<ShardId>,
    },
    /// Write to the control log that a member is in quarantine; report `Written`.
    Quarantine {
        /// Names the write.
        ticket: Ticket,
        /// Which.
        node: NodeId,
        /// How many outages it has had.
        outages: u32,
        /// Within so long.
        window: Duration,
    },
    /// Send a message; one to this node itself is looped back.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: FromLeader,
    },
    /// Something that a person should know.
    Alarm(Alarm),
}

/// What a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// These shards have too few live replicas for a quorum; listed when the set changes, empty when it is over.
    Unavailable {
        /// The shards.
        shards: Vec<ShardId>,
    },
}

/// What operators may set while the leader leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// How many replicas each shard is to have.
    pub replicas: u8,
    /// How many shards may learn at once per node.
    pub moves_in_flight: usize,
    /// How long a silent node stays a replica; none leaves it at what the node was started with.
    pub replica_grace: Option<Duration>,
    /// How far a node's load may be from its share before shards move, in percent of the share.
    pub threshold_percent: u32,
    /// How long a shard that was moved for the sake of balance is not moved again for it.
    pub cool_down: Duration,
    /// Whether the leader moves shards for the sake of balance by itself.
    pub levelling: Levelling,
    /// How many outages bring a member into quarantine.
    pub flaps: FlapRule,
}

/// What the leader is set to.
#[derive(Clone, Debug)]
pub struct LeaderSettings {
    /// The spans of time.
    pub timing: Timing,
    /// How the planner is set.
    pub plan: PlanSettings,
    /// How many shards may learn at once per node, so that moving does not starve serving.
    pub moves_in_flight: usize,
}
