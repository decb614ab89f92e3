//! A world: what its nodes do with what happens to them.

use std::sync::Arc;

use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{Epoch, NodeId, Position, Term};
use shardloom_sharding::protocol::control::ShardRow;
use shardloom_sharding::protocol::effect::{Context, ShardEffect};
use shardloom_sharding::protocol::messages::{Append, Appended, Fetch, Fetched, Outcome, ShardEpoch};
use shardloom_sharding::protocol::owner::Stage;
use shardloom_sharding::protocol::record::SnapshotId;
use shardloom_sharding::protocol::rules::{Rule, Rules};
use shardloom_sharding::protocol::shard::ShardCore;
use shardloom_sharding::protocol::timing::{Time, Timing};

use super::disk::{Cell, Disk, SHARD};
use super::message::{Id, Message, replica};
use super::node::Node;
use super::state::{Entry, Facts, State};
use super::worlds::{Shape, Sync};
use crate::rules::Without;

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
        for message in state.net.iter().cloned().collect::<Vec<_>>() {
            self.deliver(&mut state, &message, usize::MAX);
        }
        self.active.clone().into_iter().for_each(|id| self.sync(&mut state, id));
        for message in state.net.iter().cloned().collect::<Vec<_>>() {
            self.deliver(&mut state, &message, usize::MAX);
        }
        state.log.push(Entry::Commit(1));
        self.active.clone().into_iter().for_each(|id| self.apply(&mut state, id));
        self.active.clone().into_iter().for_each(|id| self.sync(&mut state, id));
        state
    }

    pub(super) fn change(&self, entry: Entry) -> Option<Change> {
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
    pub(super) fn newest_proposal(log: &[Entry]) -> u8 {
        log.iter().rposition(|entry| matches!(entry, Entry::Propose(..))).map_or(0, |place| place as u8 + 1)
    }

    pub(super) fn context(&self, node: &Node, id: Id) -> Context<Without> {
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

    pub(super) fn step_with(
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

    pub(super) fn obey(&self, state: &mut State, id: Id, effect: ShardEffect, snapshot: &[Cell]) {
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
            | ShardEffect::Learnt(_)
            | ShardEffect::Learning(..) => {}
        }
    }

    pub(super) fn acknowledge_seal(&self, state: &mut State, id: Id) {
        let node = state.node(id);
        let Some(pending) = &node.row.pending else { return };
        let counts = node.row.committed.has_replica(replica(id)) || !self.rules.holds(Rule::TailsOfCommitted);
        if counts && node.core.replica().is_sealed_at(pending.epoch) {
            let (epoch, tail) = (pending.epoch, node.core.replica().sealed_tail(self.rules));
            state.send(Message::SealAck { from: id, epoch, tail });
        }
    }

    pub(super) fn sync_if_due(&self, state: &mut State, id: Id) {
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
}
