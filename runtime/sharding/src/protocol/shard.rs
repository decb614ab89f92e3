//! One shard on one node: its replica, and its ownership where it has that.

use std::sync::Arc;

use crate::ids::{Epoch, NodeId, Position, Replica, ShardId, Tail};

use super::control::ShardRow;
use super::effect::{Context, ShardEffect};
use super::messages::{Append, Appended, Body, Entry, Fetch, Fetched, Learners, ShardEpoch};
use super::owner::{OwnerCore, Stage};
use super::ranges::Transfer;
use super::record::{SnapshotId, StoredShard, WriteSeq};
use super::replica::ReplicaCore;
use super::rules::{Rule, Rules};
use super::timing::Time;

/// The leave to recover under one epoch, once, in the boot that sealed it (rules 4 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Leave {
    epoch: Epoch,
    /// The leader has already named the source (none: there is no log), but the own seal is not durable yet.
    asked: Option<Option<Replica>>,
}

/// One shard on one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShardCore {
    shard: ShardId,
    replica: ReplicaCore,
    owner: Option<Box<OwnerCore>>,
    may_recover: Option<Leave>,
}

impl ShardCore {
    /// The shard as the disk has it.
    pub fn restore(stored: StoredShard) -> ShardCore {
        let shard = stored.shard;
        ShardCore { shard, replica: ReplicaCore::restore(stored), owner: None, may_recover: None }
    }

    /// The replica on this disk.
    pub fn replica(&self) -> &ReplicaCore {
        &self.replica
    }

    /// The ownership, if there is one under way or in force.
    pub fn owner(&self) -> Option<&OwnerCore> {
        self.owner.as_deref()
    }

    /// The epoch under which calls may run, the lease aside.
    pub fn serving<R: Rules>(&self, rules: R) -> Option<Epoch> {
        let owner = self.owner.as_ref().filter(|owner| owner.is_serving())?;
        let unsealed = self.replica.seal() == owner.epoch() || !rules.holds(Rule::ReplyUnsealed);
        unsealed.then_some(owner.epoch())
    }

    /// Whether `tick` has work here.
    pub fn is_busy(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.is_busy(self.replica.log()))
    }

    /// Since when the owner has been without a write quorum, or without its source.
    pub fn waiting_since(&self) -> Option<Time> {
        self.owner.as_ref().and_then(|owner| owner.waiting_since())
    }

    /// The epoch that this node is to own the shard under, but cannot in this boot.
    pub fn lost(&self, row: &ShardRow, me: NodeId) -> Option<Epoch> {
        let wanted = row.wanted();
        let epoch = wanted.epoch;
        let begun = self.owner.as_ref().is_some_and(|owner| owner.epoch() == epoch)
            || self.may_recover.is_some_and(|leave| leave.epoch == epoch);
        (wanted.is_owned_by(me) && self.replica.seal() == epoch && !begun).then_some(epoch)
    }

    /// Follows the applied control state, on any change of it and at boot.
    pub fn follow<R: Rules>(&mut self, cx: &Context<R>, row: &ShardRow, out: &mut Vec<ShardEffect>) {
        let wanted = row.wanted().epoch;
        if self.replica.seal() < wanted {
            self.stop(cx, out);
            // Whoever counts since a repair holds its barrier: this log was given up then, and may hold what nobody else knows of.
            if self.replica.log().tail().stamp < row.repaired {
                self.replica.give_up(cx, out);
            }
            self.replica.seal_at(cx, wanted, out);
            let mine = row.pending.as_ref().is_some_and(|pending| pending.is_mine(cx.me));
            self.may_recover = mine.then_some(Leave { epoch: wanted, asked: None });
        }
        if !cx.rules.holds(Rule::EpochOfOneBoot)
            && row.pending.is_none()
            && self.lost(row, cx.me.node).is_some()
        {
            let shard = ShardEpoch { shard: self.shard, epoch: wanted };
            let tail = self.replica.log().tail().position;
            let replicas = &row.committed.replicas;
            self.owner =
                Some(Box::new(OwnerCore::recovered(cx, shard, tail, replicas, self.replica.log(), out)));
        }
        if !cx.rules.holds(Rule::RecoverOnce) && self.may_recover.is_none() {
            let mine = row.pending.as_ref().filter(|pending| pending.is_mine(cx.me));
            self.may_recover = mine.map(|pending| Leave { epoch: pending.epoch, asked: None });
        }
        self.serve_if_committed(cx, row, out);
        // After a restart the control state may be older than the disk; then it says nothing about this log yet.
        let newest = self.replica.seal() == row.committed.epoch || !cx.rules.holds(Rule::LogOutlivesRestart);
        let current = row.pending.is_none() && newest;
        if current && !row.committed.has_replica(cx.me) {
            self.replica.give_up(cx, out);
        }
    }

    /// Ends the ownership: the seal comes at once, never waiting for calls under way (rule 8).
    fn stop<R: Rules>(&mut self, cx: &Context<R>, out: &mut Vec<ShardEffect>) {
        let serving = self.serving(cx.rules);
        if serving.is_some() && !cx.rules.holds(Rule::ReplyUnsealed) {
            return;
        }
        self.owner = None;
        if let Some(epoch) = serving {
            out.push(ShardEffect::NotServing(epoch));
        }
    }

    /// Gives up the ownership under an epoch: what calls have written cannot be logged. It cannot be had again in this boot without a new
    /// proposal (rule 4).
    pub fn forgo<R: Rules>(&mut self, cx: &Context<R>, epoch: Epoch, out: &mut Vec<ShardEffect>) {
        if self.owner.as_ref().is_some_and(|owner| owner.epoch() == epoch && owner.is_serving()) {
            self.stop(cx, out);
        }
    }

    fn serve_if_committed<R: Rules>(&mut self, cx: &Context<R>, row: &ShardRow, out: &mut Vec<ShardEffect>) {
        let Some(owner) = &mut self.owner else { return };
        let copied = !matches!(owner.stage(), Stage::Copying { .. });
        let committed = &row.committed;
        if copied && committed.epoch == owner.epoch() && committed.is_owned_by(cx.me.node) && owner.serve() {
            out.push(ShardEffect::Serving(owner.epoch()));
            self.progress(cx, out);
        }
    }

    /// Lets the ownership see what the own disk and the others hold by now.
    fn progress<R: Rules>(&mut self, cx: &Context<R>, out: &mut Vec<ShardEffect>) {
        let Some(owner) = &mut self.owner else { return };
        owner.advance(cx, self.replica.log(), self.replica.durable(), out);
        if owner.is_serving() {
            self.replica.apply_upto(owner.commit(), out);
        }
    }

    /// Takes note that the disk has everything up to a write. Where the leader has asked for a recovery before the seal was
    /// durable, it is due now: `recover` is to be called with this epoch and source.
    pub fn settle<R: Rules>(
        &mut self,
        cx: &Context<R>,
        upto: WriteSeq,
        out: &mut Vec<ShardEffect>,
    ) -> Option<(Epoch, Option<Replica>)> {
        let sealed = self.replica.settle(cx, upto, out);
        self.progress(cx, out);
        let leave = self.may_recover.filter(|_| sealed)?;
        leave.asked.map(|source| (leave.epoch, source))
    }

    /// The leader names the log to recover from; none where there is no log yet.
    pub fn recover<R: Rules>(
        &mut self,
        cx: &Context<R>,
        epoch: Epoch,
        source: Option<Replica>,
        row: &ShardRow,
        out: &mut Vec<ShardEffect>,
    ) {
        let Some(leave) = self.may_recover.as_mut().filter(|leave| leave.epoch == epoch) else { return };
        if !self.replica.is_sealed_at(epoch) {
            leave.asked = Some(source);
            return;
        }
        match source {
            None => self.begin(cx, Tail::default(), row, out),
            Some(source) if source == cx.me => self.begin(cx, self.replica.log().tail(), row, out),
            Some(source) => {
                let same = |owner: &&mut Box<OwnerCore>| {
                    owner.epoch() == epoch && matches!(owner.stage(), Stage::Copying { .. })
                };
                match self.owner.as_mut().filter(same) {
                    Some(owner) if matches!(owner.stage(), Stage::Copying { source: old, .. } if old == source) =>
                    {
                        return;
                    }
                    Some(owner) => owner.copy_from(source, cx.now),
                    None => {
                        self.owner = Some(Box::new(OwnerCore::copying(self.shard, epoch, source, cx.now)))
                    }
                }
                self.fetch(source, epoch, out);
            }
        }
    }

    fn fetch(&self, source: Replica, epoch: Epoch, out: &mut Vec<ShardEffect>) {
        let fetch = Fetch {
            shard: ShardEpoch { shard: self.shard, epoch },
            disk: source.disk,
            log: self.replica.log().clone(),
        };
        out.push(ShardEffect::Fetch(source.node, fetch));
    }

    /// The source's log is here whole and ends at `tail`: fences it with a barrier and sends it on (rule 12).
    fn begin<R: Rules>(&mut self, cx: &Context<R>, tail: Tail, row: &ShardRow, out: &mut Vec<ShardEffect>) {
        let Some(leave) = self.may_recover else { return };
        let Some(pending) = row.pending.as_ref().filter(|pending| pending.epoch == leave.epoch) else {
            return;
        };
        if cx.rules.holds(Rule::RecoverOnce) {
            self.may_recover = None;
        }
        let shard = ShardEpoch { shard: self.shard, epoch: leave.epoch };
        let barrier = match cx.rules.holds(Rule::Barrier) {
            true => {
                let entry = Entry { stamp: leave.epoch, body: Body::Barrier };
                self.replica.write(cx, tail, vec![entry], out)
            }
            false => {
                self.replica.end_at(cx, tail, out);
                tail.position
            }
        };
        let owner = OwnerCore::recovered(cx, shard, barrier, &pending.replicas, self.replica.log(), out);
        self.owner = Some(Box::new(owner));
        self.progress(cx, out);
        self.serve_if_committed(cx, row, out);
    }

    /// Takes a part of the source's log.
    pub fn fetched<R: Rules>(
        &mut self,
        cx: &Context<R>,
        from: NodeId,
        fetched: Fetched,
        row: &ShardRow,
        out: &mut Vec<ShardEffect>,
    ) {
        let epoch = fetched.shard.epoch;
        let Some(owner) = self.owner.as_mut().filter(|owner| owner.epoch() == epoch) else { return };
        let Stage::Copying { source, .. } = owner.stage() else { return };
        if source.node != from || !self.replica.is_sealed_at(epoch) {
            return;
        }
        owner.copied(cx.now);
        let Fetched { previous, entries, tail, .. } = fetched;
        if self.replica.log().holds(previous) {
            self.replica.write(cx, previous, entries, out);
        }
        if self.replica.log().holds(tail) {
            self.begin(cx, tail, row, out);
        } else {
            self.fetch(source, epoch, out);
        }
    }

    /// Serves a part of the log to a new owner.
    pub fn give<R: Rules>(
        &mut self,
        cx: &Context<R>,
        from: NodeId,
        fetch: &Fetch,
        out: &mut Vec<ShardEffect>,
    ) {
        self.replica.give(cx, from, fetch, out);
    }

    /// Takes entries from the owner.
    pub fn append<R: Rules>(
        &mut self,
        cx: &Context<R>,
        from: NodeId,
        append: Append,
        out: &mut Vec<ShardEffect>,
    ) {
        // An epoch has one owner, which writes its own log itself.
        if from != cx.me.node {
            self.replica.append(cx, from, append, out);
        }
    }

    /// Takes a replica's answer.
    pub fn answered<R: Rules>(
        &mut self,
        cx: &Context<R>,
        from: Replica,
        answer: Appended,
        out: &mut Vec<ShardEffect>,
    ) {
        let current = |owner: &&mut Box<OwnerCore>| {
            owner.epoch() == answer.shard.epoch && !matches!(owner.stage(), Stage::Copying { .. })
        };
        if let Some(owner) = self.owner.as_mut().filter(current) {
            owner.answered(cx, from, answer.outcome, self.replica.log(), out);
            self.progress(cx, out);
        }
    }

    /// Calls have written: their batches take the next positions, or are refused.
    pub fn batches<R: Rules>(
        &mut self,
        cx: &Context<R>,
        epoch: Epoch,
        batches: Vec<Arc<[u8]>>,
        out: &mut Vec<ShardEffect>,
    ) {
        if self.serving(cx.rules) != Some(epoch) {
            out.extend(batches.iter().map(|_| ShardEffect::Refused(epoch)));
            return;
        }
        let entry = |batch| Entry { stamp: epoch, body: Body::Batch(batch) };
        let entries: Vec<Entry> = batches.into_iter().map(entry).collect();
        let tail = self.replica.log().tail();
        let positions = (1..=entries.len() as u64).map(|nth| Position(tail.position.0 + nth));
        self.replica.write(cx, tail, entries, out);
        out.extend(positions.map(|position| ShardEffect::Sequenced(epoch, position)));
        if let Some(owner) = &mut self.owner {
            owner.pump(cx, self.replica.log(), out);
        }
        self.progress(cx, out);
    }

    /// The leader wants these to be near the tail.
    pub fn learn<R: Rules>(
        &mut self,
        cx: &Context<R>,
        epoch: Epoch,
        learners: Learners,
        out: &mut Vec<ShardEffect>,
    ) {
        if self.serving(cx.rules) != Some(epoch) {
            return;
        }
        if let Some(owner) = &mut self.owner {
            owner.learn(cx, learners, self.replica.log(), self.replica.durable(), out);
        }
    }

    /// Takes a snapshot that has come whole.
    pub fn install<R: Rules>(
        &mut self,
        cx: &Context<R>,
        (from, epoch): (NodeId, Epoch),
        base: Tail,
        snapshot: SnapshotId,
        out: &mut Vec<ShardEffect>,
    ) {
        let mut copying = None;
        if let Some(owner) = &mut self.owner {
            copying = match owner.stage() {
                Stage::Copying { source, .. } if source.node == from && owner.epoch() == epoch => {
                    Some(source)
                }
                _ => None,
            };
            if copying.is_none() {
                out.push(ShardEffect::Discard(snapshot));
                return;
            }
            owner.copied(cx.now);
        }
        let installed = self.replica.install(cx, from, epoch, (base, snapshot), out);
        if installed && let Some(source) = copying {
            out.retain(|effect| !matches!(effect, ShardEffect::Answer(to, _) if *to == from));
            self.fetch(source, epoch, out);
        }
    }

    /// Takes note of how far a snapshot is on its way.
    pub fn snapshot_sent<R: Rules>(&mut self, cx: &Context<R>, to: NodeId, epoch: Epoch, transfer: Transfer) {
        if let Some(owner) = self.owner.as_mut().filter(|owner| owner.epoch() == epoch) {
            owner.snapshot_sent(cx.now, to, transfer);
        }
    }

    /// Gives up log entries that the durable state holds, but for those that a replica is about to be sent.
    pub fn compact(&mut self, upto: Position, out: &mut Vec<ShardEffect>) {
        let needed = self.owner.as_ref().and_then(|owner| owner.needed(self.replica.log()));
        self.replica.compact(needed.map_or(upto, |needed| upto.min(needed)), out);
    }

    /// Sends again what has not been answered for long.
    pub fn tick<R: Rules>(&mut self, cx: &Context<R>, out: &mut Vec<ShardEffect>) {
        let Some(owner) = &mut self.owner else { return };
        match owner.stage() {
            Stage::Copying { source, asked } if cx.now.since(asked) >= cx.timing.resend => {
                let epoch = owner.epoch();
                owner.copy_from(source, cx.now);
                self.fetch(source, epoch, out);
            }
            Stage::Copying { .. } => {}
            Stage::Recovered | Stage::Confirmed | Stage::Serving => owner.tick(cx, self.replica.log(), out),
        }
    }
}
