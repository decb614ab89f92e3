//! Changes that are planned and not urgent: the new replicas learn, the owner holds, and only then is it proposed (rules 21, 22).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::change::Change;
use crate::ids::{NodeId, Replica, ShardId};

use super::super::control::ShardControl;
use super::super::messages::{Learners, ShardEpoch};
use super::super::timing::{Time, Timing};
use super::outbox::Outbox;

/// A move that has not learnt for so long is given up; the next plan may find a better one.
const LEARN_MAX: Duration = Duration::from_secs(60);

/// How long an owner may take to hear of a learning and answer, before it is asked again.
const LEARN_AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Learning { asked: Time },
    Holding { since: Time },
    Due { since: Time },
}

#[derive(Clone, Debug)]
struct Move {
    change: Change,
    since: Time,
    step: Step,
}

/// The planned moves under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Moves {
    moves: BTreeMap<ShardId, Move>,
}

impl Moves {
    pub(super) fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }

    /// Begins a move.
    pub(super) fn begin(&mut self, now: Time, control: &ShardControl, change: Change, out: &mut Outbox) {
        ask_to_learn(control, &change, out);
        let step = Step::Learning { asked: now };
        self.moves.insert(change.shard, Move { change, since: now, step });
    }

    /// Gives up moves that no longer build on what is committed.
    pub(super) fn follow(&mut self, control: &ShardControl, shard: ShardId) {
        let stale = |planned: &Move| {
            planned.change.base != control.committed().epoch(shard) || control.pending(shard).is_some()
        };
        if self.moves.get(&shard).is_some_and(stale) {
            self.moves.remove(&shard);
        }
    }

    /// Gives up the move of a shard.
    pub(super) fn drop_move(&mut self, shard: ShardId) {
        self.moves.remove(&shard);
    }

    /// Gives up moves that would have a node take on something.
    pub(super) fn drop_towards(&mut self, node: NodeId, control: &ShardControl) {
        self.moves.retain(|shard, planned| {
            let change = &planned.change;
            let has = |replica: Replica| control.committed().replicas(*shard).any(|held| held == replica);
            change.owner != node && change.replicas.iter().all(|to| to.node != node || has(*to))
        });
    }

    /// The new owner and a write quorum of the new replicas are near the tail: asks the owner to hold.
    pub(super) fn learnt(&mut self, now: Time, control: &ShardControl, at: ShardEpoch, out: &mut Outbox) {
        let learning = |planned: &&mut Move| {
            planned.change.base == at.epoch && matches!(planned.step, Step::Learning { .. })
        };
        if let Some(planned) = self.moves.get_mut(&at.shard).filter(learning)
            && let Some(owner) = control.committed().owner(at.shard)
        {
            planned.step = Step::Holding { since: now };
            out.hold(owner, at);
        }
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
        self.moves.retain(|_, planned| now.since(planned.since) < LEARN_MAX);
        for planned in self.moves.values_mut() {
            match planned.step {
                Step::Learning { asked } if now.since(asked) >= LEARN_AGAIN => {
                    planned.step = Step::Learning { asked: now };
                    ask_to_learn(control, &planned.change, out);
                }
                Step::Holding { since } if now.since(since) >= timing.hold * 2 => {
                    planned.step = Step::Due { since: now };
                }
                _ => {}
            }
        }
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
        let due = self.moves.extract_if(.., |_, planned| matches!(planned.step, Step::Due { .. }));
        due.map(|(_, planned)| planned.change).collect()
    }
}

fn ask_to_learn(control: &ShardControl, change: &Change, out: &mut Outbox) {
    if let Some(owner) = control.committed().owner(change.shard) {
        let learners = Learners { owner: change.owner, replicas: change.replicas.clone() };
        out.learn(owner, ShardEpoch { shard: change.shard, epoch: change.base }, learners);
    }
}
