//! The node core: leads each event to the shards that it concerns, and what they ask for out again.

mod laggards;
mod room;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::ids::{Boot, Epoch, NodeId, Position, Replica, ShardId, Term};

use super::super::control::ShardControl;
use super::super::effect::{Context, ShardEffect};
use super::super::lease::NodeLease;
use super::super::log::LogIndex;
use super::super::messages::{FromLeader, PeerMessage, ShardEpoch, Space, ToLeader};
use super::super::owner::Stage;
use super::super::record::{StoredShard, WriteSeq};
use super::super::rules::{AllRules, Rule, Rules};
use super::super::shard::ShardCore;
use super::super::timing::{Time, Timing};
use super::holds::Holds;
use super::outbox::{Outbox, send, send_confirms, split};
use super::seals::SealReports;
use super::troubles::Troubles;
use super::{Changed, NodeCommand, NodeEvent};

/// Which writes are under way.
#[derive(Clone, Debug, Default)]
struct Writes {
    last: WriteSeq,
    durable: WriteSeq,
    /// The shards to look at when a write is durable, in the order of the writes.
    queue: VecDeque<(WriteSeq, ShardId)>,
}

/// One node's side of the protocol.
#[derive(Clone, Debug)]
pub struct NodeCore<R: Rules = AllRules> {
    me: Replica,
    boot: Boot,
    timing: Timing,
    rules: R,
    shards: Vec<ShardCore>,
    lease: NodeLease,
    renewed: Option<Time>,
    leader: Option<(NodeId, Term)>,
    /// The newest proposal whose changes the shards have followed.
    followed: Epoch,
    writes: Writes,
    outbox: Outbox,
    reports: Reports,
}

/// What the node core keeps between steps to tell others, or to come back to.
#[derive(Clone, Debug, Default)]
struct Reports {
    seals: SealReports,
    holds: Holds,
    troubles: Troubles,
    /// Shards whose barrier has its quorum and whose commit is not applied, and when the leader was told.
    confirms: BTreeMap<ShardId, Option<Time>>,
    /// Owned shards that wait for somebody.
    busy: BTreeSet<ShardId>,
    /// The process is about to end.
    leaving: bool,
    /// How much room the disk has, once it has been full in this boot: until then nobody thinks otherwise.
    space: Option<Space>,
}

impl NodeCore {
    /// A node that has just started, with what its disk holds. Its first event is to be `Applied { changed: All, .. }`.
    pub fn new(
        me: Replica,
        boot: Boot,
        timing: Timing,
        shard_count: u32,
        stored: Vec<StoredShard>,
    ) -> NodeCore {
        NodeCore::with_rules(AllRules, me, boot, timing, shard_count, stored)
    }
}

impl<R: Rules> NodeCore<R> {
    /// A node that keeps to these rules only.
    pub fn with_rules(
        rules: R,
        me: Replica,
        boot: Boot,
        timing: Timing,
        shard_count: u32,
        stored: Vec<StoredShard>,
    ) -> NodeCore<R> {
        let empty = |shard| StoredShard {
            shard: ShardId(shard),
            seal: Epoch(0),
            log: LogIndex::default(),
            applied: Position(0),
        };
        let mut shards: Vec<ShardCore> =
            (0..shard_count).map(|shard| ShardCore::restore(empty(shard))).collect();
        for stored in stored {
            if let Some(shard) = shards.get_mut(stored.shard.index()) {
                *shard = ShardCore::restore(stored);
            }
        }
        NodeCore {
            me,
            boot,
            timing,
            rules,
            shards,
            lease: NodeLease::new(boot, &timing),
            renewed: None,
            leader: None,
            followed: Epoch(0),
            writes: Writes::default(),
            outbox: Outbox::default(),
            reports: Reports::default(),
        }
    }

    /// Takes one event and says what is to be done. `control` is the applied control state, at the event or later.
    pub fn step(
        &mut self,
        now: Time,
        control: &ShardControl,
        event: NodeEvent,
        commands: &mut Vec<NodeCommand>,
    ) {
        match event {
            NodeEvent::Applied { changed, newest_proposal } => {
                self.follow(now, control, changed, newest_proposal)
            }
            NodeEvent::Leader(leader) => self.meet(now, control, leader, commands),
            NodeEvent::Message { from, message } => self.hear(now, control, from, message),
            NodeEvent::Durable { upto } => self.settle(now, control, upto),
            NodeEvent::Batches { batches } => {
                let mut by_shard: BTreeMap<ShardEpoch, Vec<Arc<[u8]>>> = BTreeMap::new();
                for (shard, batch) in batches {
                    by_shard.entry(shard).or_default().push(batch);
                }
                for (ShardEpoch { shard, epoch }, batches) in by_shard {
                    self.shard(now, shard, |core, cx, out| core.batches(cx, epoch, batches, out));
                }
            }
            NodeEvent::Drained { shards } => {
                let held = self.reports.holds.drained(&shards);
                self.say_held(held, commands);
            }
            NodeEvent::SnapshotArrived { from, shard, base, snapshot } => {
                let from = (from, shard.epoch);
                self.shard(now, shard.shard, |core, cx, out| core.install(cx, from, base, snapshot, out));
            }
            NodeEvent::SnapshotSent { to, shard, transfer } => {
                self.shard(now, shard.shard, |core, cx, _| core.snapshot_sent(cx, to, shard.epoch, transfer));
            }
            NodeEvent::Compact { shard, upto } => {
                self.shard(now, shard, |core, _, out| core.compact(upto, out))
            }
            NodeEvent::Leave => {
                self.reports.leaving = true;
                self.renew(now, commands);
            }
            NodeEvent::Space(space) => self.note_space(now, space, commands),
            NodeEvent::Forgo { shards } => self.forgo(now, control, &shards),
            NodeEvent::Tick => self.tick(now, commands),
        }
        self.flush(now, control, commands);
    }

    /// Whether a reply may leave that was made under this epoch (rule 18): the lease is live, the epoch is served, nothing is
    /// sealed.
    pub fn may_reply(&self, now: Time, shard: ShardEpoch) -> bool {
        let live = self.lease.is_live(now) || !self.rules.holds(Rule::ReplyWithLease);
        live && self.serving(shard.shard) == Some(shard.epoch)
    }

    /// The epoch under which the shard is served here, the lease aside.
    pub fn serving(&self, shard: ShardId) -> Option<Epoch> {
        self.shards.get(shard.index()).and_then(|core| core.serving(self.rules))
    }

    /// One shard, to look at.
    pub fn shard_core(&self, shard: ShardId) -> Option<&ShardCore> {
        self.shards.get(shard.index())
    }

    /// Until when the node may serve.
    pub fn lease_until(&self) -> Time {
        self.lease.until()
    }

    fn context(&self, now: Time) -> Context<R> {
        let seq = WriteSeq(self.writes.last.0 + 1);
        Context { me: self.me, rules: self.rules, now, seq, timing: self.timing }
    }

    /// Lets one shard take a step, and gathers what it asks for.
    fn shard<T: Default>(
        &mut self,
        now: Time,
        shard: ShardId,
        step: impl FnOnce(&mut ShardCore, &Context<R>, &mut Vec<ShardEffect>) -> T,
    ) -> T {
        let cx = self.context(now);
        let Some(core) = self.shards.get_mut(shard.index()) else { return T::default() };
        let mut effects = Vec::new();
        let result = step(core, &cx, &mut effects);
        if core.is_busy() {
            self.reports.busy.insert(shard);
        } else {
            self.reports.busy.remove(&shard);
        }
        for effect in effects {
            match effect {
                ShardEffect::Seal(_) | ShardEffect::Write(_)
                    if self.writes.queue.back() != Some(&(cx.seq, shard)) =>
                {
                    self.writes.queue.push_back((cx.seq, shard));
                }
                ShardEffect::Sealed(_) => self.reports.seals.tell(shard),
                ShardEffect::NotServing(_) => self.reports.holds.end(shard),
                _ => {}
            }
            self.outbox.take(shard, effect);
        }
        result
    }

    fn follow(&mut self, now: Time, control: &ShardControl, changed: Changed, newest: Epoch) {
        let all = 0..self.shards.len() as u32;
        let changed: Vec<ShardId> = match changed {
            Changed::All => all.map(ShardId).collect(),
            Changed::Shards(shards) => shards,
        };
        let me = self.me.node;
        for id in changed {
            let row = control.row(id);
            let lost = self.shard(now, id, |core, cx, out| {
                core.follow(cx, &row, out);
                core.lost(&row, me).is_some()
            });
            self.reports.troubles.note(id, lost);
        }
        self.followed = self.followed.max(newest);
        // What this step writes, if anything, has the next number; the seals of earlier steps may be under way, too.
        let behind = self.writes.queue.back().map_or(self.writes.durable, |(seq, _)| *seq);
        self.reports.seals.queued(behind, self.followed);
        self.reports.seals.settle(self.writes.durable);
        if self.lease.applied(self.followed) {
            self.outbox.push(NodeCommand::LeaseUntil(self.lease.until()));
        }
    }

    fn meet(
        &mut self,
        now: Time,
        control: &ShardControl,
        leader: Option<(NodeId, Term)>,
        commands: &mut Vec<NodeCommand>,
    ) {
        if self.leader == leader {
            return;
        }
        self.leader = leader;
        if leader.is_none() {
            return;
        }
        let sealed = control.pendings().filter(|(shard, pending)| {
            self.shards.get(shard.index()).is_some_and(|core| core.replica().is_sealed_at(pending.epoch))
        });
        self.reports.seals.tell_all(sealed.map(|(shard, _)| shard));
        self.reports.troubles.tell_all();
        self.reports.confirms.values_mut().for_each(|told| *told = None);
        self.renew(now, commands);
    }

    fn renew(&mut self, now: Time, commands: &mut Vec<NodeCommand>) {
        let Some((leader, _)) = self.leader else { return };
        self.renewed = Some(now);
        let number = self.lease.renew(now);
        let renew = ToLeader::Renew { boot: self.boot, disk: self.me.disk, number };
        send(commands, leader, PeerMessage::ToLeader(renew));
        if self.reports.leaving {
            send(commands, leader, PeerMessage::ToLeader(ToLeader::Leaving { boot: self.boot }));
        }
        self.say_space(leader, number, commands);
    }

    fn hear(&mut self, now: Time, control: &ShardControl, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::ToLeader(_) => {}
            PeerMessage::FromLeader(message) => self.hear_leader(now, control, message),
            PeerMessage::Append(appends) => {
                for append in appends {
                    let shard = append.shard.shard;
                    self.shard(now, shard, |core, cx, out| core.append(cx, from, append, out));
                }
            }
            PeerMessage::Appended { disk, answers } => {
                let from = Replica { node: from, disk };
                for answer in answers {
                    let shard = answer.shard.shard;
                    self.shard(now, shard, |core, cx, out| core.answered(cx, from, answer, out));
                }
            }
            PeerMessage::Fetch(fetches) => {
                for fetch in fetches {
                    self.shard(now, fetch.shard.shard, |core, cx, out| core.give(cx, from, &fetch, out));
                }
            }
            PeerMessage::Fetched(parts) => {
                for part in parts {
                    let row = control.row(part.shard.shard);
                    self.shard(now, part.shard.shard, |core, cx, out| {
                        core.fetched(cx, from, part, &row, out)
                    });
                }
            }
        }
    }

    fn hear_leader(&mut self, now: Time, control: &ShardControl, message: FromLeader) {
        match message {
            FromLeader::Grant { boot, number, proposal } => {
                if self.lease.granted(self.rules, boot, number, proposal, self.followed) {
                    self.outbox.push(NodeCommand::LeaseUntil(self.lease.until()));
                }
            }
            FromLeader::SealAnswer { term, boot, number, verdict: _ } => {
                if boot == self.boot && self.leader.is_some_and(|(_, current)| current == term) {
                    self.reports.seals.answered(number);
                }
            }
            FromLeader::Recover { shards } => {
                for (ShardEpoch { shard, epoch }, source) in shards {
                    let row = control.row(shard);
                    self.shard(now, shard, |core, cx, out| core.recover(cx, epoch, source, &row, out));
                }
            }
            FromLeader::Learn { shards } => {
                for (ShardEpoch { shard, epoch }, learners) in shards {
                    self.shard(now, shard, |core, cx, out| core.learn(cx, epoch, learners, out));
                }
            }
            FromLeader::Hold { shards } => {
                let served = shards.into_iter().filter(|at| self.serving(at.shard) == Some(at.epoch));
                let served: Vec<ShardEpoch> = served.collect();
                let shards: Vec<ShardId> = served
                    .into_iter()
                    .filter(|at| self.reports.holds.hold(*at, now))
                    .map(|at| at.shard)
                    .collect();
                if !shards.is_empty() {
                    self.outbox.push(NodeCommand::Drain { shards });
                }
            }
        }
    }

    fn settle(&mut self, now: Time, control: &ShardControl, upto: WriteSeq) {
        self.writes.durable = self.writes.durable.max(upto);
        while let Some((_, shard)) = self.writes.queue.pop_front_if(|(seq, _)| *seq <= upto) {
            let due = self.shard(now, shard, |core, cx, out| core.settle(cx, upto, out));
            if let Some((epoch, source)) = due {
                let row = control.row(shard);
                self.shard(now, shard, |core, cx, out| core.recover(cx, epoch, source, &row, out));
            }
        }
        self.reports.seals.settle(self.writes.durable);
    }

    fn tick(&mut self, now: Time, commands: &mut Vec<NodeCommand>) {
        if self.renewed.is_none_or(|renewed| now.since(renewed) >= self.timing.renew_every) {
            self.renew(now, commands);
        }
        let busy: Vec<ShardId> = self.reports.busy.iter().copied().collect();
        for shard in busy {
            self.shard(now, shard, |core, cx, out| core.tick(cx, out));
        }
        self.reports.seals.tick(now, &self.timing);
        for told in self.reports.confirms.values_mut() {
            *told = told.filter(|told| now.since(*told) < self.timing.resend);
        }
        let (held, over) = self.reports.holds.tick(now, &self.timing);
        self.say_held(held, commands);
        if !over.is_empty() {
            self.outbox.push(NodeCommand::Resume { shards: over });
        }
    }

    fn say_held(&mut self, held: Vec<ShardEpoch>, commands: &mut Vec<NodeCommand>) {
        let Some((leader, _)) = self.leader else { return };
        split(held, |shards| send(commands, leader, PeerMessage::ToLeader(ToLeader::Held { shards })));
    }

    fn flush(&mut self, now: Time, control: &ShardControl, commands: &mut Vec<NodeCommand>) {
        for at in self.outbox.take_confirms() {
            self.reports.confirms.insert(at.shard, None);
        }
        let seq = self.context(now).seq;
        let leader = self.leader.map(|(leader, _)| leader);
        if self.outbox.flush(seq, self.me.disk, leader, commands) {
            self.writes.last = seq;
        }
        if let Some(leader) = leader {
            self.say_seals(now, control, leader, commands);
            self.say_confirms(now, leader, commands);
            self.say_troubles(now, control, leader, commands);
        }
    }

    fn say_seals(
        &mut self,
        now: Time,
        control: &ShardControl,
        leader: NodeId,
        commands: &mut Vec<NodeCommand>,
    ) {
        while let Some((number, through, shards)) = self.reports.seals.next(now) {
            let tails = shards.into_iter().filter_map(|shard| {
                let epoch = control.pending(shard)?.epoch;
                let replica = self.shards.get(shard.index())?.replica();
                let mut of = control.committed().replicas(shard);
                let counts = match self.rules.holds(Rule::TailsOfSameDisk) {
                    true => of.any(|of| of == self.me),
                    false => of.any(|of| of.node == self.me.node),
                };
                let counts = counts || !self.rules.holds(Rule::TailsOfCommitted);
                let counts = counts && replica.is_sealed_at(epoch);
                counts.then(|| (ShardEpoch { shard, epoch }, replica.sealed_tail(self.rules)))
            });
            let (boot, disk) = (self.boot, self.me.disk);
            let ack = ToLeader::SealAck { boot, disk, number, through, tails: tails.collect() };
            send(commands, leader, PeerMessage::ToLeader(ack));
        }
    }

    fn say_confirms(&mut self, now: Time, leader: NodeId, commands: &mut Vec<NodeCommand>) {
        let shards = &self.shards;
        let mut due = Vec::new();
        self.reports.confirms.retain(|shard, told| {
            let owner = shards.get(shard.index()).and_then(|core| core.owner());
            let Some(owner) = owner.filter(|owner| owner.stage() == Stage::Confirmed) else { return false };
            if told.is_none() {
                *told = Some(now);
                due.push(ShardEpoch { shard: *shard, epoch: owner.epoch() });
            }
            true
        });
        send_confirms(leader, self.boot, due, commands);
    }

    fn say_troubles(
        &mut self,
        now: Time,
        control: &ShardControl,
        leader: NodeId,
        commands: &mut Vec<NodeCommand>,
    ) {
        if !self.reports.troubles.is_due(now, &self.timing) {
            return;
        }
        let lost = self.reports.troubles.lost().filter_map(|shard| {
            let epoch = self.shards.get(shard.index())?.lost(&control.row(shard), self.me.node)?;
            Some(ShardEpoch { shard, epoch })
        });
        let lost: Vec<ShardEpoch> = lost.collect();
        let stuck = self.reports.busy.iter().filter_map(|shard| {
            let core = self.shards.get(shard.index())?;
            let since = core.waiting_since().filter(|since| now.since(*since) >= self.timing.stuck)?;
            let epoch = core.owner()?.epoch();
            (since <= now).then_some(ShardEpoch { shard: *shard, epoch })
        });
        let stuck: Vec<ShardEpoch> = stuck.collect();
        let boot = self.boot;
        split(lost, |lost| {
            let trouble = ToLeader::Trouble { boot, lost, stuck: Vec::new() };
            send(commands, leader, PeerMessage::ToLeader(trouble));
        });
        split(stuck, |stuck| {
            let trouble = ToLeader::Trouble { boot, lost: Vec::new(), stuck };
            send(commands, leader, PeerMessage::ToLeader(trouble));
        });
    }
}
