//! The control group as the protocol may assume it: one log in one order, a term for each leader, applied late by anybody.
//!
//! It is as unfriendly as Raft may be: a leader that was replaced does not know it for a while, and what it had under way is
//! lost, or written in its own term, or (as if it were forwarded) in the next.

use std::collections::VecDeque;

use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{Epoch, NodeId, ShardId, Term};
use shardloom_sharding::plan::Member;
use shardloom_sharding::protocol::control::ShardControl;
use shardloom_sharding::protocol::leader::Ticket;
use shardloom_sharding::protocol::node::Changed;

use crate::rules::Without;

/// What stands in the control log.
#[derive(Clone, Debug)]
pub(super) enum Decision {
    /// The first entry of a term.
    Blank,
    /// A proposal.
    Propose(Vec<Change>),
    /// A commit, with the term in which it was decided.
    Commit(Term, Epoch, Vec<ShardId>),
    /// The members.
    Members(Vec<Member>),
}

/// A write that is under way.
#[derive(Clone, Debug)]
pub(super) struct Write {
    /// Who writes.
    pub(super) from: NodeId,
    /// The term in which it was begun.
    pub(super) term: Term,
    /// What.
    pub(super) decision: Decision,
    /// Whom to tell.
    pub(super) ticket: Option<Ticket>,
}

/// The log and its leader.
#[derive(Clone, Debug)]
pub(super) struct ControlLog {
    entries: Vec<(Term, Decision)>,
    /// The writes under way, in order.
    pub(super) writes: VecDeque<Write>,
    /// The term of now.
    pub(super) term: Term,
    /// The leader of now.
    pub(super) leader: Option<NodeId>,
    /// The state at the end of the log, for snapshots.
    pub(super) newest: Applied,
}

/// The state at some place of the log.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    /// How many entries are applied.
    pub(super) index: u64,
    /// The shards.
    pub(super) control: ShardControl,
    /// The members.
    pub(super) members: Vec<Member>,
    rules: Without,
}

impl Applied {
    /// The start of the log.
    pub(super) fn new(shard_count: u32, members: Vec<Member>, rules: Without) -> Applied {
        Applied { index: 0, control: ShardControl::new(shard_count), members, rules }
    }

    /// Applies the next entry; says which shards have changed, and whether the members have.
    pub(super) fn apply(&mut self, (written, decision): &(Term, Decision)) -> (Changed, bool) {
        self.index += 1;
        let changed = match decision {
            Decision::Blank => Vec::new(),
            Decision::Propose(changes) => self.control.apply_propose(self.index, changes),
            Decision::Commit(decided, epoch, shards) => {
                self.control.apply_commit_under(self.rules, (*written, *decided), *epoch, shards)
            }
            Decision::Members(members) => {
                self.members.clone_from(members);
                Vec::new()
            }
        };
        (Changed::Shards(changed), matches!(decision, Decision::Members(_)))
    }
}

impl ControlLog {
    /// An empty log.
    pub(super) fn new(shard_count: u32, members: Vec<Member>, rules: Without) -> ControlLog {
        ControlLog {
            entries: Vec::new(),
            writes: VecDeque::new(),
            term: Term(0),
            leader: None,
            newest: Applied::new(shard_count, members, rules),
        }
    }

    /// How many entries are decided.
    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The entry after the first `index`.
    pub(super) fn entry(&self, index: u64) -> Option<&(Term, Decision)> {
        self.entries.get(index as usize)
    }

    /// Decides an entry; returns how many there are now.
    pub(super) fn decide(&mut self, term: Term, decision: Decision) -> u64 {
        let entry = (term, decision);
        self.newest.apply(&entry);
        self.entries.push(entry);
        self.len()
    }
}
