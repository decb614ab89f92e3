//! One copy of a shard log: its seal, its entries' stamps, and what of them is on the disk.
//!
//! Every durable change is a record in the node's one write-ahead log, which reaches the disk in order. So what is queued
//! counts at once for what follows, and a seal, once durable, has nothing of an older epoch behind it.

use smallvec::SmallVec;

use crate::ids::{Epoch, NodeId, Position, ShardId, Tail};

use super::effect::{Context, ShardEffect};
use super::log::LogIndex;
use super::messages::{Append, Appended, Entry, Fetch, Outcome, RANGE_ENTRIES_MAX, ShardEpoch};
use super::ranges::FetchedRange;
use super::record::{Record, SnapshotId, StoredShard, WriteSeq};
use super::rules::{Rule, Rules};

/// What a queued write makes true once it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Promise {
    Seal(Epoch),
    Log(Position),
}

/// The owner that appends under an epoch, and how far the log is known to equal its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Caller {
    epoch: Epoch,
    node: NodeId,
    matched: Position,
    /// Up to where the owner has been told so.
    told: Position,
    /// An append has not been answered yet: it waits for the disk, or for the seal.
    waits: bool,
}

/// One copy of a shard log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplicaCore {
    shard: ShardId,
    /// The newest seal, perhaps still on its way to the disk.
    seal: Epoch,
    /// The newest durable seal.
    sealed: Epoch,
    /// The log, with what is still on its way to the disk.
    log: LogIndex,
    /// Up to where the log, as it is now, is durable.
    durable: Position,
    queued: SmallVec<[(WriteSeq, Promise); 1]>,
    caller: Option<Caller>,
    /// Up to where the owner has said that a write quorum holds the log.
    commit: Position,
    /// Up to where the state was told to apply.
    applied: Position,
}

impl ReplicaCore {
    /// The copy as the disk has it.
    pub fn restore(stored: StoredShard) -> ReplicaCore {
        let StoredShard { shard, seal, log, applied } = stored;
        let applied = applied.max(log.base().position);
        let durable = log.tail().position;
        ReplicaCore {
            shard,
            seal,
            sealed: seal,
            log,
            durable,
            queued: SmallVec::new(),
            caller: None,
            commit: Position(0),
            applied,
        }
    }

    /// The newest seal, durable or not: nothing of an older epoch is accepted or served any more.
    pub fn seal(&self) -> Epoch {
        self.seal
    }

    /// Whether this epoch is sealed, durably, and none above it is.
    pub fn is_sealed_at(&self, epoch: Epoch) -> bool {
        self.seal == epoch && self.sealed == epoch
    }

    /// The log.
    pub fn log(&self) -> &LogIndex {
        &self.log
    }

    /// Up to where the log is durable.
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// Up to where the state was told to apply.
    pub fn applied(&self) -> Position {
        self.applied
    }

    /// The tail to acknowledge a seal with.
    pub fn sealed_tail<R: Rules>(&self, rules: R) -> Tail {
        if rules.holds(Rule::SealInQueue) {
            return self.log.tail();
        }
        self.log.tail_at(self.durable).unwrap_or(self.log.base())
    }

    /// Seals the shard (rule 7): the record goes behind everything that is queued.
    pub fn seal_at<R: Rules>(&mut self, cx: &Context<R>, epoch: Epoch, out: &mut Vec<ShardEffect>) {
        self.seal = epoch;
        self.commit = Position(0);
        if !cx.rules.holds(Rule::SealInQueue) {
            self.sealed = epoch;
            out.extend([ShardEffect::Seal(epoch), ShardEffect::Sealed(epoch)]);
            return;
        }
        self.caller = self.caller.filter(|caller| caller.epoch >= epoch);
        if !cx.rules.holds(Rule::SealDurable) {
            self.sealed = epoch;
            out.push(ShardEffect::Sealed(epoch));
            return;
        }
        self.queued.push((cx.seq, Promise::Seal(epoch)));
        out.push(ShardEffect::Seal(epoch));
    }

    /// Takes note that the disk has everything up to a write; says whether the newest seal has become durable by that.
    pub fn settle<R: Rules>(&mut self, cx: &Context<R>, upto: WriteSeq, out: &mut Vec<ShardEffect>) -> bool {
        let settled = self.queued.iter().take_while(|(seq, _)| *seq <= upto).count();
        let before = self.sealed;
        for (_, promise) in self.queued.drain(..settled) {
            match promise {
                Promise::Seal(epoch) => self.sealed = self.sealed.max(epoch),
                Promise::Log(position) => self.durable = self.durable.max(position),
            }
        }
        if settled == 0 {
            return false;
        }
        let sealed = self.sealed > before && self.sealed == self.seal;
        if sealed {
            out.push(ShardEffect::Sealed(self.seal));
            self.welcome(out);
        }
        self.answer(cx, out);
        self.advance(out);
        sealed
    }

    /// Tells an owner whose append came before the seal that it may come again.
    fn welcome(&mut self, out: &mut Vec<ShardEffect>) {
        let early = |caller: &Caller| caller.waits && caller.matched == Position(0);
        if let Some(caller) = self.caller.as_mut().filter(|caller| caller.epoch == self.seal && early(caller))
        {
            caller.waits = false;
            let shard = ShardEpoch { shard: self.shard, epoch: self.seal };
            out.push(ShardEffect::Answer(
                caller.node,
                Appended { shard, outcome: Outcome::Mismatch(self.log.clone()) },
            ));
        }
    }

    /// Whether a message of this epoch is taken (rule 6).
    fn accepts<R: Rules>(&self, rules: R, epoch: Epoch) -> bool {
        self.is_sealed_at(epoch)
            || (!rules.holds(Rule::AcceptNothingAbove) && epoch > self.seal)
            || (!rules.holds(Rule::AcceptNothingBelow) && epoch < self.seal)
            || (!rules.holds(Rule::SealOutlivesLog) && self.seal == Epoch(0))
    }

    /// Admits an owner's message, or remembers the owner until its epoch is sealed here.
    fn admit<R: Rules>(&mut self, cx: &Context<R>, from: NodeId, epoch: Epoch) -> bool {
        let accepted = self.accepts(cx.rules, epoch);
        if accepted || epoch >= self.seal {
            let known = self.caller.filter(|caller| caller.epoch == epoch && caller.node == from);
            if known.is_none() && self.caller.is_none_or(|caller| accepted || caller.epoch <= epoch) {
                self.caller =
                    Some(Caller { epoch, node: from, matched: Position(0), told: Position(0), waits: false });
            }
            if let Some(caller) = self.caller.as_mut().filter(|caller| caller.epoch == epoch) {
                caller.waits = true;
            }
        }
        accepted
    }

    /// Takes entries from the owner of an epoch.
    pub fn append<R: Rules>(
        &mut self,
        cx: &Context<R>,
        from: NodeId,
        append: Append,
        out: &mut Vec<ShardEffect>,
    ) {
        let Append { shard, previous, entries, commit } = append;
        if !self.admit(cx, from, shard.epoch) {
            return;
        }
        if !self.log.holds(previous) {
            out.push(ShardEffect::Answer(
                from,
                Appended { shard, outcome: Outcome::Mismatch(self.log.clone()) },
            ));
            return;
        }
        let verified = self.write(cx, previous, entries, out);
        self.matched_upto(verified);
        self.commit = self.commit.max(commit);
        self.answer(cx, out);
        self.advance(out);
    }

    fn matched_upto(&mut self, position: Position) {
        if let Some(caller) = &mut self.caller {
            caller.matched = caller.matched.max(position);
        }
    }

    /// Puts entries after `previous`, which the log holds: skips those it has, and cuts at the first that differs (rule 9).
    /// Says where the last of them stands.
    pub fn write<R: Rules>(
        &mut self,
        cx: &Context<R>,
        previous: Tail,
        mut entries: Vec<Entry>,
        out: &mut Vec<ShardEffect>,
    ) -> Position {
        let mut at = previous.position;
        let held = entries.iter().take_while(|entry| {
            let same = self.log.stamp(at.next()) == Some(entry.stamp);
            at = if same { at.next() } else { at };
            same
        });
        let held = held.count();
        let last = Position(previous.position.0 + entries.len() as u64);
        let cuts_short =
            !cx.rules.holds(Rule::CutAtConflict) && last < self.log.tail().position && !entries.is_empty();
        if held == entries.len() && !cuts_short {
            return last;
        }
        self.cut(at);
        entries.drain(..held);
        let previous = self.log.tail();
        for entry in &entries {
            self.log.push(entry.stamp);
        }
        self.queued.push((cx.seq, Promise::Log(last)));
        out.push(ShardEffect::Write(Record::Append { shard: self.shard, previous, entries }));
        last
    }

    /// Ends the log at an entry that it holds.
    pub fn end_at<R: Rules>(&mut self, cx: &Context<R>, tail: Tail, out: &mut Vec<ShardEffect>) {
        if self.log.tail() != tail {
            self.cut(tail.position);
            self.queued.push((cx.seq, Promise::Log(tail.position)));
            out.push(ShardEffect::Write(Record::Append {
                shard: self.shard,
                previous: tail,
                entries: Vec::new(),
            }));
        }
    }

    fn cut(&mut self, position: Position) {
        self.log.cut(position);
        self.durable = self.durable.min(position);
        for (_, promise) in &mut self.queued {
            if let Promise::Log(upto) = promise {
                *upto = position.min(*upto);
            }
        }
    }

    /// Acknowledges what is matched and durable (rule 9).
    fn answer<R: Rules>(&mut self, cx: &Context<R>, out: &mut Vec<ShardEffect>) {
        let Some(caller) = self.caller.as_mut().filter(|caller| caller.waits && caller.matched > Position(0))
        else {
            return;
        };
        let (reached, matched) = match cx.rules.holds(Rule::AckMatched) {
            true => (caller.matched.min(self.durable), caller.matched),
            false => (self.durable, self.log.tail().position),
        };
        let reached = if cx.rules.holds(Rule::AckDurable) { reached } else { matched };
        if reached < matched && reached <= caller.told {
            return;
        }
        caller.waits = reached < matched;
        caller.told = caller.told.max(reached);
        let shard = ShardEpoch { shard: self.shard, epoch: caller.epoch };
        out.push(ShardEffect::Answer(caller.node, Appended { shard, outcome: Outcome::Matched(reached) }));
    }

    /// Lets the state follow what is committed, matched and durable (rule 14).
    fn advance(&mut self, out: &mut Vec<ShardEffect>) {
        let matched = self.caller.map_or(Position(0), |caller| caller.matched);
        self.apply_upto(self.commit.min(matched), out);
    }

    /// Lets the state follow up to here, as far as the log is durable.
    pub fn apply_upto(&mut self, position: Position, out: &mut Vec<ShardEffect>) {
        let upto = position.min(self.durable);
        if upto > self.applied {
            self.applied = upto;
            out.push(ShardEffect::Apply(upto));
        }
    }

    /// Takes a whole snapshot (rule 10); says whether the log now reaches its base.
    pub fn install<R: Rules>(
        &mut self,
        cx: &Context<R>,
        from: NodeId,
        epoch: Epoch,
        (base, snapshot): (Tail, SnapshotId),
        out: &mut Vec<ShardEffect>,
    ) -> bool {
        let admitted = self.admit(cx, from, epoch);
        let held = self.log.holds(base) && cx.rules.holds(Rule::SnapshotKeepsSuffix);
        let old = base.position <= self.applied && cx.rules.holds(Rule::SnapshotKeepsSuffix);
        if !admitted || held || old {
            out.push(ShardEffect::Discard(snapshot));
            if admitted {
                // What is applied is committed, and so in the owner's log.
                self.matched_upto(if held { base.position } else { self.applied });
                self.answer(cx, out);
            }
            return admitted;
        }
        if !cx.rules.holds(Rule::SnapshotAtomic) {
            out.push(ShardEffect::Write(Record::Truncate { shard: self.shard, base }));
        }
        out.push(ShardEffect::Write(Record::Snapshot { shard: self.shard, base, snapshot }));
        self.forget_log();
        self.log = LogIndex::starting_after(base);
        self.applied = base.position;
        self.queued.push((cx.seq, Promise::Log(base.position)));
        self.matched_upto(base.position);
        self.answer(cx, out);
        true
    }

    fn forget_log(&mut self) {
        self.log = LogIndex::default();
        self.durable = Position(0);
        self.applied = Position(0);
        self.queued.retain(|(_, promise)| matches!(promise, Promise::Seal(_)));
    }

    /// Gives the log up, because this disk is no replica any more (rule 7: on a commit only); the seal stays.
    pub fn give_up<R: Rules>(&mut self, cx: &Context<R>, out: &mut Vec<ShardEffect>) {
        if self.log == LogIndex::default() {
            return;
        }
        self.forget_log();
        self.caller = None;
        out.push(ShardEffect::Write(Record::Drop { shard: self.shard }));
        if !cx.rules.holds(Rule::SealOutlivesLog) {
            self.seal = Epoch(0);
            self.sealed = Epoch(0);
            self.queued.clear();
            out.push(ShardEffect::Write(Record::Seal { epoch: Epoch(0), shards: vec![self.shard] }));
        }
    }

    /// Serves a part of the log to a new owner that recovers under this very seal, and wants this very disk's log.
    pub fn give<R: Rules>(
        &mut self,
        cx: &Context<R>,
        from: NodeId,
        fetch: &Fetch,
        out: &mut Vec<ShardEffect>,
    ) {
        let same = fetch.disk == cx.me.disk || !cx.rules.holds(Rule::CopyFromSameDisk);
        if !self.is_sealed_at(fetch.shard.epoch) || !same {
            return;
        }
        let Some(previous) = self.log.last_common(&fetch.log) else {
            out.push(ShardEffect::SendSnapshot(from, fetch.shard.epoch));
            return;
        };
        let tail = self.log.tail();
        let last = tail.position.min(Position(previous.position.0 + RANGE_ENTRIES_MAX));
        out.push(ShardEffect::Give(from, FetchedRange { shard: fetch.shard, previous, last, tail }));
    }

    /// Gives up entries that the durable state holds.
    pub fn compact(&mut self, upto: Position, out: &mut Vec<ShardEffect>) {
        let upto = upto.min(self.applied).min(self.durable);
        if upto <= self.log.base().position {
            return;
        }
        self.log.truncate(upto);
        out.push(ShardEffect::Write(Record::Truncate { shard: self.shard, base: self.log.base() }));
    }
}
