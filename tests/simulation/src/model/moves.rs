//! Everything that may happen next in a state of a world.

use shardloom_sharding::ids::{Epoch, NodeId, Position};
use shardloom_sharding::protocol::messages::Learners;
use shardloom_sharding::protocol::quorum::{Seal, Source, choose_source};
use shardloom_sharding::protocol::rules::{Rule, Rules};
use shardloom_sharding::protocol::shard::ShardCore;

use super::message::{Id, Message, replica};
use super::promises::acknowledge;
use super::state::{Entry, State, Step};
use super::world::World;
use crate::rules::Without;

/// Takes a step, and what it does to a state.
type Branch<'a> = &'a mut dyn FnMut(Step, &mut dyn FnMut(&mut State));

impl World {
    /// Whether a message can have any effect now; a quick look that spares most of the work.
    pub(super) fn matters(&self, state: &State, message: &Message) -> bool {
        if self.rules != Without(None) {
            return !matches!(message, Message::SealAck { .. } | Message::Confirm { .. });
        }
        match message {
            Message::Append { to, epoch, .. } | Message::Snapshot { to, epoch, .. } => {
                let replica = state.node(*to).core.replica();
                replica.seal() < *epoch || replica.seal() == *epoch
            }
            Message::Fetch { to, epoch, .. } => state.node(*to).core.replica().is_sealed_at(*epoch),
            Message::Matched { to, epoch, .. }
            | Message::Mismatch { to, epoch, .. }
            | Message::Fetched { to, epoch, .. } => {
                state.node(*to).core.owner().is_some_and(|owner| owner.epoch() == *epoch)
            }
            Message::SealAck { .. } | Message::Confirm { .. } => false,
        }
    }

    /// Everything that may happen next.
    pub(super) fn next(&self, state: &State, out: &mut Vec<(Step, State)>) {
        self.lead(state, out);
        for id in self.active.iter().copied() {
            self.live(state, id, out);
        }
        for message in state.net.iter().filter(|message| self.matters(state, message)) {
            let many = match message {
                Message::Append { cells, .. } | Message::Fetched { cells, .. } => cells.len() > 1,
                _ => false,
            };
            for part in [usize::MAX, 1].into_iter().take(1 + usize::from(many)) {
                let mut next = state.clone();
                self.deliver(&mut next, message, part);
                out.push((Step::Deliver(message.clone()), next));
            }
        }
    }

    pub(super) fn lead(&self, state: &State, out: &mut Vec<(Step, State)>) {
        let row = self.row(&state.log, state.log.len() as u8);
        if state.proposals > 0 {
            let done = self.shape.proposals - state.proposals;
            let all = 1..=self.shape.menu.len() as u8;
            for place in all.filter(|place| !self.shape.in_order || *place == done + 1) {
                let mut next = state.clone();
                next.log.push(Entry::Propose(place, row.committed.epoch.0 as u8));
                next.proposals -= 1;
                out.push((Step::Propose(place), next));
            }
        }
        let late = !self.rules.holds(Rule::CommitPendingOnly);
        for message in state.net.iter() {
            let Message::Confirm { epoch } = message else { continue };
            let pending = row.pending.as_ref().is_some_and(|pending| pending.epoch == *epoch);
            let done = state.log.contains(&Entry::Commit(epoch.0 as u8));
            if done || !(pending || late) {
                continue;
            }
            let mut next = state.clone();
            next.log.push(Entry::Commit(epoch.0 as u8));
            if let Some(old) = row.committed.owner {
                let old = next.node_mut(old.0 as Id);
                let sealed = old.disk.durable.seal >= *epoch;
                old.out |= !sealed && self.rules.holds(Rule::WaitForLease);
            }
            out.push((Step::Commit(epoch.0 as u8), next));
        }
    }

    pub(super) fn live(&self, state: &State, id: Id, out: &mut Vec<(Step, State)>) {
        let node = state.node(id);
        let mut branch = |step: Step, act: &mut dyn FnMut(&mut State)| {
            let mut next = state.clone();
            act(&mut next);
            out.push((step, next));
        };
        if usize::from(node.applied) < state.log.len() {
            branch(Step::Apply(id), &mut |next| self.apply(next, id));
        }
        if node.out && !self.rules.holds(Rule::GrantAfterApply) {
            branch(Step::Renew(id), &mut |next| next.node_mut(id).out = false);
        }
        if !node.disk.queue.is_empty() {
            branch(Step::Sync(id), &mut |next| self.sync(next, id));
        }
        if state.crashes > 0 {
            for kept in 0..=node.disk.queue.len() {
                for old in [false, true].into_iter().take(1 + usize::from(self.shape.regress)) {
                    branch(Step::Crash(id, kept, old), &mut |next| self.crash(next, id, kept, old));
                }
            }
        }
        if self.shape.acknowledge_again {
            branch(Step::AcknowledgeSeal(id), &mut |next| self.acknowledge_seal(next, id));
        }
        self.recover(state, id, &mut branch);
        let Some(epoch) = node.core.serving(self.rules) else { return };
        if state.writes < self.shape.writes {
            let write = state.writes + 1;
            branch(Step::Write(id, write), &mut |next| {
                next.writes = write;
                self.step(next, id, |core, cx, _, out| {
                    core.batches(cx, epoch, vec![[write].as_slice().into()], out)
                });
            });
        }
        if !node.out || !self.rules.holds(Rule::ReplyWithLease) {
            branch(Step::Acknowledge(id), &mut |next| acknowledge(next, id, epoch));
        }
        if self.shape.probe {
            self.probe(state, id, epoch, out);
        }
        let node = state.node(id);
        let mut branch = |step: Step, act: &mut dyn FnMut(&mut State)| {
            let mut next = state.clone();
            act(&mut next);
            out.push((step, next));
        };
        if self.shape.truncate && node.core.replica().applied() > node.core.replica().log().base().position {
            let upto = node.core.replica().applied();
            branch(Step::Truncate(id), &mut |next| {
                self.step(next, id, |core, _, _, out| core.compact(upto, out));
            });
        }
        for (place, (owner, replicas)) in self.shape.menu.iter().enumerate().filter(|_| self.shape.learn) {
            let replicas = replicas.iter().map(|id| replica(*id)).collect();
            let learners = Learners { owner: NodeId(u64::from(*owner)), replicas };
            branch(Step::Learn(id, place as u8), &mut |next| {
                let learners = learners.clone();
                self.step(next, id, |core, cx, _, out| core.learn(cx, epoch, learners, out));
            });
        }
    }

    /// An owner may send no entry, to ask whether one matches.
    pub(super) fn probe(&self, state: &State, id: Id, epoch: Epoch, out: &mut Vec<(Step, State)>) {
        let log = state.node(id).core.replica().log();
        for to in self.active.iter().copied().filter(|to| *to != id) {
            for position in 1..=log.tail().position.0 {
                let Some(previous) = log.tail_at(Position(position)) else { continue };
                let mut next = state.clone();
                let commit = Position(0);
                next.send(Message::Append { to, from: id, epoch, previous, cells: Vec::new(), commit });
                out.push((Step::Probe(id, to, position), next));
            }
        }
    }

    /// The leader, whoever it is, has heard of some seals: each log that wins in some quorum of them may be named.
    pub(super) fn recover(&self, state: &State, id: Id, branch: Branch<'_>) {
        let node = state.node(id);
        let Some(pending) = node.row.pending.as_ref().filter(|pending| pending.is_mine(replica(id))) else {
            return;
        };
        let epoch = pending.epoch;
        let seals: Vec<Seal> = state
            .net
            .iter()
            .filter_map(|message| match message {
                Message::SealAck { from, epoch: of, tail } if *of == epoch => {
                    Some(Seal { replica: replica(*from), tail: *tail })
                }
                _ => None,
            })
            .collect();
        let mut named = Vec::new();
        for subset in 1..1_u32 << seals.len() {
            let heard: Vec<Seal> = seals
                .iter()
                .enumerate()
                .filter(|(place, _)| subset >> place & 1 == 1)
                .map(|(_, seal)| *seal)
                .collect();
            let source =
                match choose_source(self.rules, &node.row.committed.replicas, &heard, replica(id).node) {
                    Source::NotYet => continue,
                    Source::Nothing => None,
                    Source::Copy(source) => Some(source),
                };
            if !named.contains(&source) {
                named.push(source);
                branch(Step::Recover(id), &mut |next| {
                    self.step(next, id, |core, cx, row, out| core.recover(cx, epoch, source, row, out));
                });
            }
        }
    }

    pub(super) fn crash(&self, state: &mut State, id: Id, kept: usize, old: bool) {
        state.crashes -= 1;
        let log = state.log.clone();
        let node = state.node_mut(id);
        node.disk.crash(kept);
        let applied = if old { 0 } else { node.applied };
        let row = self.row(&log, applied);
        let base = node.disk.durable.base.position.0 as usize;
        node.state = node.disk.durable.cells.iter().take(base).copied().collect();
        node.core = ShardCore::restore(node.disk.stored());
        node.applied = applied;
        node.row = row;
        self.step(state, id, |core, cx, row, out| core.follow(cx, row, out));
    }
}
