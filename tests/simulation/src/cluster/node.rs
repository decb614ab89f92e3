//! One node of a simulated cluster: its disk and clock stay, its process comes and goes.

use std::collections::{BTreeMap, BTreeSet};

use shardloom_sharding::ids::{Boot, DiskId, Epoch, NodeId, Position, Replica, ShardId, Term};
use shardloom_sharding::protocol::leader::{LeaderCore, Ticket};
use shardloom_sharding::protocol::node::NodeCore;
use shardloom_sharding::protocol::timing::Time;

use super::control_log::Applied;
use super::disk::{Disk, Value};
use super::oracle::Invoked;
use super::queue::Event;
use crate::rules::Without;

/// A write on its way to its quorum.
#[derive(Clone, Debug)]
pub(super) struct PendingWrite {
    /// The write.
    pub(super) id: u64,
    /// What its client knew.
    pub(super) invoked: Invoked,
}

/// A read that waits for what it saw to be committed.
#[derive(Clone, Debug)]
pub(super) struct PendingRead {
    /// The last position that it saw.
    pub(super) last: Position,
    /// What it saw.
    pub(super) seen: Vec<Value>,
    /// What its client knew.
    pub(super) invoked: Invoked,
}

/// What the shell knows of a shard that it serves.
#[derive(Clone, Debug, Default)]
pub(super) struct Served {
    /// The epoch.
    pub(super) epoch: Epoch,
    /// Up to where a write quorum holds the log.
    pub(super) committed: Position,
    /// Writes by position.
    pub(super) writes: BTreeMap<Position, PendingWrite>,
    /// Reads.
    pub(super) reads: Vec<PendingRead>,
}

/// A running process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    /// The node's side.
    pub(super) core: NodeCore<Without>,
    /// The leader's side.
    pub(super) leader: LeaderCore<Without>,
    /// The applied control state.
    pub(super) applied: Applied,
    /// An application of the next entries is under way.
    pub(super) applying: bool,
    /// A sync is under way.
    pub(super) syncing: bool,
    /// The shards that it serves.
    pub(super) served: BTreeMap<ShardId, Served>,
    /// The shards that are held.
    pub(super) held: BTreeSet<ShardId>,
    /// The lease.
    pub(super) lease_until: Time,
    /// An election that was won, to be told once the log is applied up to there.
    pub(super) won: Option<(Term, u64, Time)>,
    /// The term that this process leads in, as far as it knows.
    pub(super) leads: Option<Term>,
    /// Tickets to be answered once the log is applied up to there.
    pub(super) written: Vec<(u64, Ticket)>,
    /// Acknowledgements of heartbeats, by when they were sent.
    pub(super) heartbeats: BTreeMap<Time, BTreeSet<NodeId>>,
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Its name.
    pub(super) id: NodeId,
    /// The name of its disk.
    pub(super) disk_id: DiskId,
    /// How often it has started.
    pub(super) boot: Boot,
    /// Its disk.
    pub(super) disk: Disk,
    /// Its process, if it runs.
    pub(super) process: Option<Process>,
    /// While it is paused: what waits for it.
    pub(super) paused: Option<Vec<Event>>,
    /// The newest term that it has voted in or heard of.
    pub(super) term: Term,
    /// The control state that it starts from.
    pub(super) saved: Applied,
    /// Its clock: an offset in ns, and its rate in parts of 10,000.
    pub(super) clock: (u64, u64),
    /// How much longer than others it takes to apply an entry, in ns.
    pub(super) lag: u64,
    /// How much longer than others its disk takes to sync, in ns.
    pub(super) disk_lag: u64,
}

impl Node {
    /// The node and disk.
    pub(super) fn replica(&self) -> Replica {
        Replica { node: self.id, disk: self.disk_id }
    }

    /// The node's own clock.
    pub(super) fn clock(&self, now: u64) -> Time {
        let (offset, rate) = self.clock;
        Time(offset + (u128::from(now) * u128::from(rate) / 10_000) as u64)
    }
}
