//! Changes that are planned and not urgent: the new replicas learn, the owner holds, and only then is it proposed (rules 21, 22).
//!
//! What is planned waits until every node that has to send or take in data for it has room: so many shards learn at once per node. A move is given up when
//! one of its learners or the future owner is gone; and when they come no further, to be tried again at growing intervals.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::change::Change;
use crate::ids::{NodeId, Replica, ShardId};
use crate::plan::{Planned, Reason};

use super::super::control::{Assignment, ShardControl};
use super::super::messages::{LearnProgress, Learners, ShardEpoch};
use super::super::timing::{Time, Timing};
use super::move_status::MoveStatus;
use super::one_move::{Move, Step};
use super::outbox::Outbox;
use super::setbacks::{MoveSetback, Setbacks};
use super::tally::{End, Tally};

/// A move whose learners have come no further for so long is given up; the next plan may find a better one.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// How long an owner may take to hear of a learning and answer, before it is asked again how far it is.
const LEARN_AGAIN: Duration = Duration::from_secs(1);

/// Moves that are under way at once, over all nodes: bounds how much is held together, and what a survey looks at.
const UNDER_WAY_MAX: usize = 256;

/// Moves that wait which are looked at when there is room: bounds the leader's time where ten thousand wait.
const LOOKED_AT_MAX: usize = 1_024;

/// The planned moves: those under way, and those that wait for room.
#[derive(Clone, Debug, Default)]
pub(super) struct Moves {
    moves: BTreeMap<ShardId, Move>,
    waiting: Vec<Planned>,
    /// Something has changed since no more moves could begin.
    has_room: bool,
    tally: Tally,
    setbacks: Setbacks,
}

impl Moves {
    /// The changes under way.
    pub(super) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.moves.values().map(|planned| &planned.change)
    }

    /// Whether the shard's move is under way.
    pub(super) fn has(&self, shard: ShardId) -> bool {
        self.moves.contains_key(&shard)
    }

    /// What is to be moved beside what is under way; replaces what was to be before.
    pub(super) fn plan(&mut self, planned: Vec<Planned>) {
        self.waiting = planned;
        self.has_room = true;
    }

    /// Begins moves that wait, as far as there is room: so many shards learn at once per node.
    pub(super) fn fill(&mut self, now: Time, control: &ShardControl, per_node: usize, out: &mut Outbox) {
        if !std::mem::take(&mut self.has_room) {
            return;
        }
        let mut burdens: BTreeMap<NodeId, usize> = BTreeMap::new();
        for node in self.moves.values().flat_map(Move::burdened) {
            *burdens.entry(node).or_default() += 1;
        }
        let looked_at = self.waiting.len().min(LOOKED_AT_MAX);
        let rest = self.waiting.split_off(looked_at);
        for waiting in std::mem::take(&mut self.waiting) {
            let change = &waiting.change;
            let base = control.committed().epoch(change.shard);
            let current = change.base == base && control.pending(change.shard).is_none();
            if !current || self.moves.contains_key(&change.shard) {
                continue;
            }
            let Some(planned) = Move::new(now, control, &waiting) else { continue };
            let has_room = |node: NodeId| burdens.get(&node).is_none_or(|count| *count < per_node);
            let may_begin = self.setbacks.may_begin(now, change.shard);
            if may_begin && self.moves.len() < UNDER_WAY_MAX && planned.burdened().all(has_room) {
                planned.burdened().for_each(|node| *burdens.entry(node).or_default() += 1);
                ask_to_learn(control, change, out);
                self.moves.insert(change.shard, planned);
            } else {
                self.waiting.push(waiting);
            }
        }
        self.waiting.extend(rest);
    }

    /// Follows the applied control state: ends moves that are committed, and those that no longer build on what is. Returns why a shard was
    /// moved whose move is committed.
    pub(super) fn follow(&mut self, control: &ShardControl, shard: ShardId) -> Option<Reason> {
        let planned = self.moves.get(&shard)?;
        let (change, reason) = (&planned.change, planned.reason);
        let is_it =
            |now: &Assignment| now.owner == Some(change.owner) && same(&now.replicas, &change.replicas);
        let row = control.row(shard);
        let (still_base, done) = (row.committed.epoch == change.base, is_it(&row.committed));
        let pending = row.pending.as_ref().map(is_it);
        match (still_base, pending) {
            // Nobody has proposed anything for it, or it is this that was proposed.
            (true, None | Some(true)) => None,
            (false, _) if done => {
                self.end(shard, End::Done);
                self.setbacks.forget(shard);
                Some(reason)
            }
            _ => {
                self.end(shard, End::Replaced);
                self.setbacks.forget(shard);
                None
            }
        }
    }

    fn end(&mut self, shard: ShardId, how: End) {
        if let Some(planned) = self.moves.remove(&shard) {
            self.tally.count(how, planned.reason);
            self.has_room = true;
        }
    }

    /// Gives up the move of a shard: something else is done with it.
    pub(super) fn drop_move(&mut self, shard: ShardId) {
        self.end(shard, End::Replaced);
    }

    /// Gives up moves that would have a node take on something.
    pub(super) fn drop_towards(&mut self, node: NodeId) {
        self.end_all(|planned| planned.is_towards(node), End::Lost);
    }

    /// Gives up moves to somebody who is not there any more.
    pub(super) fn prune(&mut self, is_live: impl Fn(Replica) -> bool) {
        let lost = |planned: &Move| {
            let owner = planned.change.replicas.iter().find(|replica| replica.node == planned.change.owner);
            let mut needed = planned.gains.iter().chain(owner);
            !matches!(planned.step, Step::Proposed { .. }) && needed.any(|replica| !is_live(*replica))
        };
        self.end_all(lost, End::Lost);
    }

    fn end_all(&mut self, which: impl Fn(&Move) -> bool, how: End) {
        let which: Vec<ShardId> =
            self.moves.iter().filter(|(_, planned)| which(planned)).map(|(shard, _)| *shard).collect();
        which.into_iter().for_each(|shard| self.end(shard, how));
    }

    /// The new owner, a write quorum of the new replicas and all that are new are near the tail: asks the owner to hold.
    pub(super) fn learnt(&mut self, now: Time, control: &ShardControl, at: ShardEpoch, out: &mut Outbox) {
        if let Some(planned) = self.learning(at)
            && let Some(owner) = control.committed().owner(at.shard)
        {
            planned.step = Step::Holding { since: now };
            self.has_room = true;
            out.hold(owner, at);
        }
    }

    /// The owner says how far the learners are.
    pub(super) fn advanced(&mut self, now: Time, at: ShardEpoch, progress: LearnProgress) {
        let Some(planned) = self.learning(at) else { return };
        let before = (planned.progress.sent_bytes, planned.progress.reached);
        if (progress.sent_bytes, progress.reached) != before {
            planned.advanced = now;
        }
        // A transfer that begins anew is measured anew.
        if progress.sent_bytes < before.0 || planned.first.is_none() && progress.sent_bytes > 0 {
            planned.first = Some((now, progress.sent_bytes));
        }
        planned.progress = progress;
    }

    fn learning(&mut self, at: ShardEpoch) -> Option<&mut Move> {
        let planned = self.moves.get_mut(&at.shard)?;
        let learning = planned.change.base == at.epoch && matches!(planned.step, Step::Learning { .. });
        learning.then_some(planned)
    }

    /// The owner holds.
    pub(super) fn held(&mut self, now: Time, at: ShardEpoch) {
        let holding = |planned: &&mut Move| {
            planned.change.base == at.epoch && matches!(planned.step, Step::Holding { .. })
        };
        if let Some(planned) = self.moves.get_mut(&at.shard).filter(holding) {
            planned.step = Step::Due { since: now };
        }
    }

    /// Asks again, gives up, and stops waiting for holds (a courtesy).
    pub(super) fn tick(&mut self, now: Time, timing: &Timing, control: &ShardControl, out: &mut Outbox) {
        let mut stalled = Vec::new();
        for (shard, planned) in &mut self.moves {
            match planned.step {
                Step::Learning { .. } if now.since(planned.advanced) >= STALLED_AFTER => stalled.push(*shard),
                Step::Learning { asked } if now.since(asked) >= LEARN_AGAIN => {
                    planned.step = Step::Learning { asked: now };
                    ask_to_learn(control, &planned.change, out);
                }
                Step::Holding { since } if now.since(since) >= timing.hold * 2 => {
                    planned.step = Step::Due { since: now };
                }
                // The proposal was not written.
                Step::Proposed { since }
                    if now.since(since) >= timing.retry * 2 && control.pending(*shard).is_none() =>
                {
                    stalled.push(*shard);
                }
                _ => {}
            }
        }
        for shard in stalled {
            if let Some(planned) = self.moves.get(&shard) {
                self.setbacks.note(now, planned);
            }
            self.end(shard, End::Stalled);
        }
        self.setbacks.tick(now);
    }

    /// Takes the moves that are due, once no other is about to be, so that one proposal has them all.
    pub(super) fn due(&mut self, now: Time, timing: &Timing) -> Vec<Change> {
        let steps = || self.moves.values().map(|planned| planned.step);
        let patience = steps().any(|step| matches!(step, Step::Holding { .. }));
        let oldest =
            steps().filter_map(|step| if let Step::Due { since } = step { Some(since) } else { None }).min();
        if oldest.is_none_or(|since| patience && now.since(since) < timing.hold) {
            return Vec::new();
        }
        let due = self.moves.values_mut().filter(|planned| matches!(planned.step, Step::Due { .. }));
        due.map(|planned| {
            planned.step = Step::Proposed { since: now };
            planned.change.clone()
        })
        .collect()
    }

    /// How the moves under way fare.
    pub(super) fn status(&self, now: Time) -> Vec<MoveStatus> {
        self.moves.values().map(|planned| planned.status(now)).collect()
    }

    /// How many moves wait for room.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Lets a shard's move begin at once that rests since it came no further.
    pub(super) fn try_again(&mut self, shard: ShardId) {
        self.setbacks.forget(shard);
    }

    /// Counts a change that was made at once.
    pub(super) fn count_urgent(&mut self, reason: &'static str) {
        self.tally.count_urgent(reason);
    }

    /// What became of the moves so far.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The moves that were given up again and again, and are wanted still.
    pub(super) fn setbacks(&self, now: Time) -> Vec<MoveSetback> {
        let wanted = |shard: ShardId| {
            self.moves.contains_key(&shard)
                || self.waiting.iter().any(|planned| planned.change.shard == shard)
        };
        self.setbacks.told(now, wanted)
    }
}

fn same(a: &[Replica], b: &[Replica]) -> bool {
    a.len() == b.len() && a.iter().all(|replica| b.contains(replica))
}

fn ask_to_learn(control: &ShardControl, change: &Change, out: &mut Outbox) {
    if let Some(owner) = control.committed().owner(change.shard) {
        let learners = Learners { owner: change.owner, replicas: change.replicas.clone() };
        out.learn(owner, ShardEpoch { shard: change.shard, epoch: change.base }, learners);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DiskId, Epoch, Position, Term};
    use crate::protocol::leader::LeaderCommand;
    use crate::protocol::messages::FromLeader;

    const SHARDS: u32 = 6;
    const TIMING: Timing = Timing::DEFAULT;

    fn replica(node: u64) -> Replica {
        Replica { node: NodeId(node), disk: DiskId(node + 100) }
    }

    fn change(control: &ShardControl, shard: u32, nodes: [u64; 3]) -> Change {
        let base = control.committed().epoch(ShardId(shard));
        let replicas = nodes.map(replica).into_iter().collect();
        Change { shard: ShardId(shard), base, owner: NodeId(nodes[0]), replicas }
    }

    fn planned(control: &ShardControl, shard: u32, nodes: [u64; 3]) -> Planned {
        Planned { change: change(control, shard, nodes), reason: Reason::LevelsReplicas }
    }

    /// Every shard on nodes 1, 2 and 3, owned by 1.
    fn control() -> ShardControl {
        let mut control = ShardControl::new(SHARDS);
        let changes: Vec<Change> = (0..SHARDS).map(|shard| change(&control, shard, [1, 2, 3])).collect();
        commit(&mut control, 1, &changes);
        control
    }

    fn commit(control: &mut ShardControl, epoch: u64, changes: &[Change]) {
        let shards: Vec<ShardId> = changes.iter().map(|change| change.shard).collect();
        control.apply_propose(epoch, changes);
        control.apply_commit(Term(1), Term(1), Epoch(epoch), &shards);
    }

    fn second(seconds: u64) -> Time {
        Time(0) + Duration::from_secs(seconds)
    }

    fn at(control: &ShardControl, shard: u32) -> ShardEpoch {
        ShardEpoch { shard: ShardId(shard), epoch: control.committed().epoch(ShardId(shard)) }
    }

    fn asked(out: &mut Outbox) -> Vec<u32> {
        let mut commands = Vec::new();
        out.flush(&mut commands);
        let mut shards = Vec::new();
        for command in commands {
            if let LeaderCommand::Send { message: FromLeader::Learn { shards: learn }, .. } = command {
                shards.extend(learn.into_iter().map(|(at, _)| at.shard.0));
            }
        }
        shards
    }

    /// Moves under way that bring node 4 in for node 3 everywhere, two at once per node.
    fn begun(control: &ShardControl) -> (Moves, Outbox) {
        let (mut moves, mut out) = (Moves::default(), Outbox::default());
        moves.plan((0..SHARDS).map(|shard| planned(control, shard, [1, 2, 4])).collect());
        moves.fill(second(0), control, 2, &mut out);
        (moves, out)
    }

    #[test]
    fn so_many_shards_learn_at_once_per_node_and_the_next_begins_when_one_has_learnt() {
        let control = control();
        let (mut moves, mut out) = begun(&control);
        assert_eq!(asked(&mut out), [0, 1]);
        assert_eq!(moves.waiting(), 4);
        moves.fill(second(1), &control, 2, &mut out);
        assert_eq!(asked(&mut out), [0; 0], "nothing has changed");
        moves.learnt(second(1), &control, at(&control, 1), &mut out);
        moves.fill(second(1), &control, 2, &mut out);
        assert_eq!(asked(&mut out), [2]);
    }

    #[test]
    fn a_change_that_moves_no_data_waits_for_nobody() {
        let control = control();
        let (mut moves, mut out) = begun(&control);
        asked(&mut out);
        moves.plan(vec![planned(&control, 4, [2, 1, 3]), planned(&control, 5, [1, 2, 4])]);
        moves.fill(second(1), &control, 2, &mut out);
        assert_eq!(asked(&mut out), [4]);
    }

    #[test]
    fn a_move_goes_on_while_its_learners_come_further_and_is_given_up_when_they_do_not() {
        let control = control();
        let (mut moves, mut out) = begun(&control);
        let report =
            |sent_bytes| LearnProgress { sent_bytes, whole_bytes: 1_000, ..LearnProgress::default() };
        for minute in 1..10 {
            moves.advanced(second(59 * minute), at(&control, 0), report(minute * 100));
            moves.tick(second(59 * minute), &TIMING, &control, &mut out);
        }
        let left: Vec<_> =
            moves.status(second(540)).iter().map(|one| (one.shard.0, one.bytes_to_go())).collect();
        assert_eq!(left, [(0, 100)], "the other has come no further");
        assert_eq!(moves.tally().ended().stalled, 1);
        moves.tick(second(59 * 9 + 60), &TIMING, &control, &mut out);
        assert_eq!(moves.tally().ended().stalled, 2);
    }

    #[test]
    fn what_comes_no_further_is_tried_again_at_growing_intervals_and_told_when_that_was_in_vain_twice() {
        let mut control = control();
        let (mut moves, mut out) = (Moves::default(), Outbox::default());
        let want = |moves: &mut Moves, control: &ShardControl| {
            moves.plan(vec![planned(control, 0, [1, 2, 4])]);
        };
        let mut begun = Vec::new();
        for at in 0..900 {
            want(&mut moves, &control);
            moves.tick(second(at), &TIMING, &control, &mut out);
            asked(&mut out);
            moves.fill(second(at), &control, 2, &mut out);
            if asked(&mut out) == [0] {
                begun.push(at);
            }
            let told = moves.setbacks(second(at));
            assert_eq!(told.len(), usize::from(at >= 130), "at {at}");
        }
        // A minute in vain, then 10, 20, 40 and so on seconds of rest.
        assert_eq!(begun, [0, 70, 150, 250, 390, 610]);
        let told = moves.setbacks(second(900));
        let [one] = &told[..] else { panic!("{told:?}") };
        assert_eq!((one.shard, one.to, one.times), (ShardId(0), NodeId(1), 6));
        assert_eq!((&one.gains[..], one.reason), (&[NodeId(4)][..], Reason::LevelsReplicas));
        // It is not wanted any more, or has gone through: no alarm.
        moves.plan(Vec::new());
        assert_eq!(moves.setbacks(second(900)), []);
        want(&mut moves, &control);
        moves.fill(second(1_000), &control, 2, &mut out);
        moves.learnt(second(1_001), &control, at(&control, 0), &mut out);
        moves.held(second(1_001), at(&control, 0));
        let due = moves.due(second(1_001), &TIMING);
        commit(&mut control, 2, &due);
        moves.follow(&control, ShardId(0));
        want(&mut moves, &control);
        assert_eq!(moves.setbacks(second(1_002)), []);
        assert_eq!(moves.tally().of(End::Done, "levels-replicas"), 1);
        assert_eq!(moves.tally().of(End::Stalled, "levels-replicas"), 6);
    }

    #[test]
    fn the_time_left_follows_from_the_rate_so_far() {
        let control = control();
        let (mut moves, _) = begun(&control);
        let report = |sent_bytes, reached| LearnProgress {
            sent_bytes,
            whole_bytes: 1_000,
            reached: Position(reached),
            tail: Position(9),
        };
        let left = |moves: &Moves, now| moves.status(now)[0].left;
        assert_eq!(left(&moves, second(1)), None);
        moves.advanced(second(1), at(&control, 0), report(100, 0));
        moves.advanced(second(5), at(&control, 0), report(500, 0));
        assert_eq!(left(&moves, second(5)), Some(Duration::from_secs(5)));
        // The transfer begins anew.
        moves.advanced(second(6), at(&control, 0), report(10, 0));
        assert_eq!(left(&moves, second(6)), None);
    }

    #[test]
    fn moves_to_a_node_that_is_gone_are_given_up_and_others_are_not() {
        let control = control();
        let (mut moves, mut out) = begun(&control);
        moves.plan(vec![planned(&control, 4, [2, 1, 3])]);
        moves.fill(second(0), &control, 2, &mut out);
        moves.prune(|replica| replica.node != NodeId(4));
        assert_eq!(moves.tally().ended().lost, 2);
        assert_eq!(moves.changes().map(|change| change.shard.0).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn what_is_committed_is_done_and_what_is_overtaken_is_replaced() {
        let mut control = control();
        let (mut moves, mut out) = begun(&control);
        for shard in [0, 1] {
            moves.learnt(second(1), &control, at(&control, shard), &mut out);
            moves.held(second(1), at(&control, shard));
        }
        let due = moves.due(second(1), &TIMING);
        assert_eq!(due.len(), 2);
        assert!(moves.due(second(1), &TIMING).is_empty(), "each is proposed once");
        control.apply_propose(2, &due);
        assert_eq!(moves.follow(&control, ShardId(0)), None);
        assert_eq!(moves.changes().count(), 2, "it is on its way");
        control.apply_commit(Term(1), Term(1), Epoch(2), &[ShardId(0)]);
        assert_eq!(moves.follow(&control, ShardId(0)), Some(Reason::LevelsReplicas));
        assert_eq!(moves.tally().ended().done, 1);
        let other = change(&control, 1, [2, 1, 3]);
        control.apply_propose(3, &[other]);
        moves.follow(&control, ShardId(1));
        assert_eq!((moves.tally().ended().replaced, moves.changes().count()), (1, 0));
    }

    #[test]
    fn a_proposal_that_was_not_written_is_given_up() {
        let control = control();
        let (mut moves, mut out) = begun(&control);
        moves.learnt(second(1), &control, at(&control, 0), &mut out);
        moves.tick(second(2), &TIMING, &control, &mut out);
        assert_eq!(moves.due(second(2), &TIMING).len(), 1, "holding is a courtesy");
        moves.tick(second(2) + TIMING.retry * 2, &TIMING, &control, &mut out);
        assert_eq!(moves.tally().ended().stalled, 1);
    }
}
