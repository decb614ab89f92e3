//! A state of a world, and everything that may happen next.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{Epoch, NodeId, Position, Term};
use shardloom_sharding::protocol::control::ShardRow;
use shardloom_sharding::protocol::effect::{Context, ShardEffect};
use shardloom_sharding::protocol::messages::{
    Append, Appended, Fetch, Fetched, Learners, Outcome, ShardEpoch,
};
use shardloom_sharding::protocol::owner::Stage;
use shardloom_sharding::protocol::quorum::{Seal, Source, choose_source};
use shardloom_sharding::protocol::record::SnapshotId;
use shardloom_sharding::protocol::rules::{Rule, Rules};
use shardloom_sharding::protocol::shard::ShardCore;
use shardloom_sharding::protocol::timing::{Time, Timing};

use super::disk::{Cell, Disk, SHARD};
use super::message::{Id, Message, replica};
use super::node::Node;
use super::promises::acknowledge;
use super::seen::Fingerprint;
use super::worlds::{Shape, Sync};
use crate::rules::Without;

/// The most nodes of a world.
pub(super) const NODES: usize = 4;

/// The most writes of a world.
pub(super) const WRITES: usize = 4;

/// An entry of the control log; its index, counted from 1, is the epoch of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    /// What is proposed (0: the first map; otherwise the place in the menu, counted from 1), and the epoch it builds on.
    Propose(u8, u8),
    Commit(u8),
}

/// What clients know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Facts {
    /// Where each write was first acknowledged, and under which epoch; 0: not yet.
    pub(super) at: [(u8, u8); WRITES],
    /// The newest epoch with an acknowledgement.
    pub(super) newest: u8,
    /// Who has acknowledged under each epoch.
    pub(super) by: Vec<(u8, Id)>,
    /// Something was acknowledged under an epoch after something under a newer one, or by two nodes under one.
    pub(super) out_of_order: bool,
}

/// What has happened, to be shown.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "shown by Debug in a counterexample")]
pub(super) enum Step {
    Propose(u8),
    Commit(u8),
    Apply(Id),
    Recover(Id),
    Deliver(Message),
    Sync(Id),
    Crash(Id, usize, bool),
    Write(Id, u8),
    Acknowledge(Id),
    Truncate(Id),
    Learn(Id, u8),
    AcknowledgeSeal(Id),
    Renew(Id),
    Probe(Id, Id, u64),
}

/// A state of a world. Nodes and messages are shared between states that have them in common.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) log: Vec<Entry>,
    pub(super) nodes: [Arc<Node>; NODES],
    pub(super) net: Arc<Vec<Message>>,
    pub(super) facts: Facts,
    pub(super) proposals: u8,
    pub(super) writes: u8,
    pub(super) crashes: u8,
}

impl State {
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = Fingerprint::new();
        self.log.hash(&mut hasher);
        for node in &self.nodes {
            node.hash(&mut hasher);
        }
        // A set: the order in which messages were sent does not matter.
        let one = |message: &Message| {
            let mut hasher = Fingerprint::new();
            message.hash(&mut hasher);
            hasher.finish()
        };
        let sum = self.net.iter().fold(0_u64, |sum, message| sum.wrapping_add(one(message)));
        sum.hash(&mut hasher);
        self.facts.hash(&mut hasher);
        [self.proposals, self.writes, self.crashes].hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[usize::from(id) - 1]
    }

    pub(super) fn node_mut(&mut self, id: Id) -> &mut Node {
        Arc::make_mut(&mut self.nodes[usize::from(id) - 1])
    }

    pub(super) fn send(&mut self, message: Message) {
        if !self.net.contains(&message) {
            Arc::make_mut(&mut self.net).push(message);
        }
    }
}

/// Takes a step and what it does to a state.
type Branch<'a> = dyn FnMut(Step, &mut dyn FnMut(&mut State)) + 'a;

/// A shape under some rules.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) shape: Shape,
    pub(super) rules: Without,
    pub(super) active: Vec<Id>,
}

impl World {
    pub(super) fn new(shape: Shape, rules: Without) -> World {
        let mut active: Vec<Id> = shape.first.1.to_vec();
        shape.menu.iter().for_each(|(_, replicas)| active.extend(*replicas));
        active.sort_unstable();
        active.dedup();
        World { shape, rules, active }
    }

    /// The first map is committed, and everything that was sent for it may still come again.
    pub(super) fn first(&self) -> State {
        let node = || Arc::new(Node::new(Disk::default()));
        let mut state = State {
            log: vec![Entry::Propose(0, 0)],
            nodes: [node(), node(), node(), node()],
            net: Arc::default(),
            facts: Facts::default(),
            proposals: self.shape.proposals,
            writes: 0,
            crashes: self.shape.crashes,
        };
        let owner = self.shape.first.0;
        for id in self.active.clone() {
            self.apply(&mut state, id);
            self.sync(&mut state, id);
        }
        self.step(&mut state, owner, |core, cx, row, out| core.recover(cx, Epoch(1), None, row, out));
        self.sync(&mut state, owner);
        for message in state.net.clone().iter() {
            self.deliver(&mut state, message, usize::MAX);
        }
        self.active.clone().into_iter().for_each(|id| self.sync(&mut state, id));
        for message in state.net.clone().iter() {
            self.deliver(&mut state, message, usize::MAX);
        }
        state.log.push(Entry::Commit(1));
        self.active.clone().into_iter().for_each(|id| self.apply(&mut state, id));
        self.active.clone().into_iter().for_each(|id| self.sync(&mut state, id));
        state
    }

    fn change(&self, entry: Entry) -> Option<Change> {
        let Entry::Propose(place, base) = entry else { return None };
        let (owner, replicas) = match place {
            0 => &self.shape.first,
            place => &self.shape.menu[usize::from(place) - 1],
        };
        Some(Change {
            shard: SHARD,
            base: Epoch(u64::from(base)),
            owner: NodeId(u64::from(*owner)),
            replicas: replicas.iter().map(|id| replica(*id)).collect(),
        })
    }

    /// What the control log says after some entries.
    pub(super) fn row(&self, log: &[Entry], upto: u8) -> ShardRow {
        let mut row = ShardRow::default();
        for place in 0..upto {
            self.take(log, place, &mut row);
        }
        row
    }

    pub(super) fn take(&self, log: &[Entry], place: u8, row: &mut ShardRow) {
        let entry = log[usize::from(place)];
        match (entry, self.change(entry)) {
            (Entry::Commit(epoch), _) => {
                row.commit(self.rules, Epoch(u64::from(epoch)), Term(1), Term(1));
            }
            (_, Some(change)) => {
                row.propose(self.rules, Epoch(u64::from(place) + 1), &change);
            }
            (Entry::Propose(..), None) => {}
        }
    }

    /// The index of the newest proposal.
    fn newest_proposal(log: &[Entry]) -> u8 {
        log.iter().rposition(|entry| matches!(entry, Entry::Propose(..))).map_or(0, |place| place as u8 + 1)
    }

    fn context(&self, node: &Node, id: Id) -> Context<Without> {
        Context {
            me: replica(id),
            rules: self.rules,
            now: Time(0),
            seq: node.disk.next(),
            timing: Timing::DEFAULT,
        }
    }

    /// Lets a node's core take a step, and does what it asks for.
    pub(super) fn step(
        &self,
        state: &mut State,
        id: Id,
        step: impl FnOnce(&mut ShardCore, &Context<Without>, &ShardRow, &mut Vec<ShardEffect>),
    ) {
        self.step_with(state, id, Vec::new(), step);
    }

    fn step_with(
        &self,
        state: &mut State,
        id: Id,
        snapshot: Vec<Cell>,
        step: impl FnOnce(&mut ShardCore, &Context<Without>, &ShardRow, &mut Vec<ShardEffect>),
    ) {
        let mut effects = Vec::new();
        let node = state.node_mut(id);
        let cx = self.context(node, id);
        step(&mut node.core, &cx, &node.row, &mut effects);
        let writes = |effect: &ShardEffect| matches!(effect, ShardEffect::Seal(_) | ShardEffect::Write(_));
        if effects.iter().any(writes) {
            node.disk.seq += 1;
        }
        for effect in effects {
            self.obey(state, id, effect, &snapshot);
        }
        self.sync_if_due(state, id);
    }

    fn obey(&self, state: &mut State, id: Id, effect: ShardEffect, snapshot: &[Cell]) {
        let cells = |node: &Node, previous: Position, last: Position| -> Vec<Cell> {
            let cells = &node.disk.newest.cells;
            cells.get(previous.0 as usize..last.0 as usize).map(<[Cell]>::to_vec).unwrap_or_default()
        };
        match effect {
            ShardEffect::Seal(epoch) => {
                let record =
                    shardloom_sharding::protocol::record::Record::Seal { epoch, shards: vec![SHARD] };
                state.node_mut(id).disk.write(&record, |_| Vec::new());
            }
            ShardEffect::Write(record) => {
                let node = state.node_mut(id);
                node.disk.write(&record, |_| snapshot.to_vec());
                use shardloom_sharding::protocol::record::Record;
                match record {
                    Record::Snapshot { .. } => node.state = snapshot.to_vec(),
                    Record::Drop { .. } => node.state.clear(),
                    Record::Seal { .. } | Record::Append { .. } | Record::Truncate { .. } => {}
                }
            }
            ShardEffect::Sealed(_) => self.acknowledge_seal(state, id),
            ShardEffect::Append(to, range) => {
                let cells = cells(state.node(id), range.previous.position, range.last);
                let (previous, commit, epoch) = (range.previous, range.commit, range.shard.epoch);
                state.send(Message::Append { to: to.0 as Id, from: id, epoch, previous, cells, commit });
            }
            ShardEffect::Answer(to, answer) => {
                let (to, epoch) = (to.0 as Id, answer.shard.epoch);
                state.send(match answer.outcome {
                    Outcome::Matched(position) => Message::Matched { to, from: id, epoch, position },
                    Outcome::Mismatch(log) => Message::Mismatch { to, from: id, epoch, log },
                });
            }
            ShardEffect::Fetch(to, Fetch { shard, disk, log }) => {
                state.send(Message::Fetch { to: to.0 as Id, from: id, epoch: shard.epoch, disk, log });
            }
            ShardEffect::Give(to, range) => {
                let cells = cells(state.node(id), range.previous.position, range.last);
                let (to, epoch) = (to.0 as Id, range.shard.epoch);
                state.send(Message::Fetched {
                    to,
                    from: id,
                    epoch,
                    previous: range.previous,
                    cells,
                    tail: range.tail,
                });
            }
            ShardEffect::SendSnapshot(to, epoch) => {
                let cells = state.node(id).state.clone();
                let stamp = cells.last().map_or(0, |cell| cell.stamp);
                let base = shardloom_sharding::ids::Tail {
                    stamp: Epoch(u64::from(stamp)),
                    position: Position(cells.len() as u64),
                };
                state.send(Message::Snapshot { to: to.0 as Id, from: id, epoch, base, cells });
            }
            ShardEffect::Confirm(epoch) => state.send(Message::Confirm { epoch }),
            ShardEffect::Apply(upto) => {
                let node = state.node_mut(id);
                let have = node.state.len();
                let more = node.disk.newest.cells.get(have..upto.0 as usize).map(<[Cell]>::to_vec);
                node.state.extend(more.unwrap_or_default());
            }
            ShardEffect::Discard(_)
            | ShardEffect::Serving(_)
            | ShardEffect::NotServing(_)
            | ShardEffect::Sequenced(..)
            | ShardEffect::Refused(_)
            | ShardEffect::Committed(..)
            | ShardEffect::Learnt(_) => {}
        }
    }

    fn acknowledge_seal(&self, state: &mut State, id: Id) {
        let node = state.node(id);
        let Some(pending) = &node.row.pending else { return };
        let counts = node.row.committed.has_replica(replica(id)) || !self.rules.holds(Rule::TailsOfCommitted);
        if counts && node.core.replica().is_sealed_at(pending.epoch) {
            let (epoch, tail) = (pending.epoch, node.core.replica().sealed_tail(self.rules));
            state.send(Message::SealAck { from: id, epoch, tail });
        }
    }

    fn sync_if_due(&self, state: &mut State, id: Id) {
        let node = state.node(id);
        let owns = node.core.owner().is_some_and(|owner| !matches!(owner.stage(), Stage::Copying { .. }));
        if self.shape.sync == Sync::AllButOwners && !owns && !node.disk.queue.is_empty() {
            self.sync(state, id);
        }
    }

    pub(super) fn sync(&self, state: &mut State, id: Id) {
        if state.node(id).disk.queue.is_empty() {
            return;
        }
        let upto = state.node_mut(id).disk.sync();
        let mut due = None;
        self.step(state, id, |core, cx, _, out| due = core.settle(cx, upto, out));
        if let Some((epoch, source)) = due {
            self.step(state, id, |core, cx, row, out| core.recover(cx, epoch, source, row, out));
        }
    }

    pub(super) fn apply(&self, state: &mut State, id: Id) {
        let log = state.log.clone();
        let node = state.node_mut(id);
        self.take(&log, node.applied, &mut node.row);
        node.applied += 1;
        node.out &= node.applied < World::newest_proposal(&log);
        self.step(state, id, |core, cx, row, out| core.follow(cx, row, out));
    }

    /// Delivers a message, or the first `part` of its entries.
    pub(super) fn deliver(&self, state: &mut State, message: &Message, part: usize) {
        let at = |epoch: &Epoch| ShardEpoch { shard: SHARD, epoch: *epoch };
        let node = |id: &Id| NodeId(u64::from(*id));
        let entries = |cells: &[Cell]| cells.iter().take(part).map(|cell| cell.entry()).collect();
        match message {
            Message::Append { to, from, epoch, previous, cells, commit } => {
                let append = Append {
                    shard: at(epoch),
                    previous: *previous,
                    entries: entries(cells),
                    commit: *commit,
                };
                self.step(state, *to, |core, cx, _, out| core.append(cx, node(from), append, out));
            }
            Message::Matched { to, from, epoch, position } => {
                let answer = Appended { shard: at(epoch), outcome: Outcome::Matched(*position) };
                self.step(state, *to, |core, cx, _, out| core.answered(cx, replica(*from), answer, out));
            }
            Message::Mismatch { to, from, epoch, log } => {
                let answer = Appended { shard: at(epoch), outcome: Outcome::Mismatch(log.clone()) };
                self.step(state, *to, |core, cx, _, out| core.answered(cx, replica(*from), answer, out));
            }
            Message::Fetch { to, from, epoch, disk, log } => {
                let fetch = Fetch { shard: at(epoch), disk: *disk, log: log.clone() };
                self.step(state, *to, |core, cx, _, out| core.give(cx, node(from), &fetch, out));
            }
            Message::Fetched { to, from, epoch, previous, cells, tail } => {
                let fetched =
                    Fetched { shard: at(epoch), previous: *previous, entries: entries(cells), tail: *tail };
                self.step(state, *to, |core, cx, row, out| core.fetched(cx, node(from), fetched, row, out));
            }
            Message::Snapshot { to, from, epoch, base, cells } => {
                self.step_with(state, *to, cells.clone(), |core, cx, _, out| {
                    core.install(cx, (node(from), *epoch), *base, SnapshotId(0), out);
                });
            }
            Message::SealAck { .. } | Message::Confirm { .. } => {}
        }
    }

    /// Whether a message can have any effect now; a quick look that spares most of the work.
    fn matters(&self, state: &State, message: &Message) -> bool {
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

    fn lead(&self, state: &State, out: &mut Vec<(Step, State)>) {
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

    fn live(&self, state: &State, id: Id, out: &mut Vec<(Step, State)>) {
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
                self.step(next, id, |core, cx, _, out| core.batch(cx, epoch, [write].as_slice().into(), out));
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
    fn probe(&self, state: &State, id: Id, epoch: Epoch, out: &mut Vec<(Step, State)>) {
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
    fn recover(&self, state: &State, id: Id, branch: &mut Branch<'_>) {
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

    fn crash(&self, state: &mut State, id: Id, kept: usize, old: bool) {
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
