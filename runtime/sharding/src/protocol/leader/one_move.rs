//! One planned move: who sends, who takes in, and how far it is.

use crate::change::Change;
use crate::ids::{NodeId, Replica};
use crate::plan::{Planned, Reason};

use super::super::control::ShardControl;
use super::super::messages::LearnProgress;
use super::super::timing::Time;
use super::move_status::{MoveStatus, MoveStep, time_left};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Those who are new come near the tail.
    Learning { asked: Time },
    /// The owner lets calls under way end.
    Holding { since: Time },
    /// It is to be proposed.
    Due { since: Time },
    /// It is proposed.
    Proposed { since: Time },
}

/// A planned move that has begun.
#[derive(Clone, Debug)]
pub(super) struct Move {
    pub(super) change: Change,
    pub(super) reason: Reason,
    /// The owner, which sends; and who has no replica yet, and takes in.
    pub(super) from: NodeId,
    pub(super) gains: Vec<Replica>,
    loses: Vec<NodeId>,
    pub(super) since: Time,
    pub(super) step: Step,
    pub(super) progress: LearnProgress,
    /// When the learners last came further.
    pub(super) advanced: Time,
    /// When the first bytes were reported, and how many.
    pub(super) first: Option<(Time, u64)>,
}

impl Move {
    /// Begins it; none where nobody owns the shard.
    pub(super) fn new(
        now: Time,
        control: &ShardControl,
        Planned { change, reason }: &Planned,
    ) -> Option<Move> {
        let old = || control.committed().replicas(change.shard);
        let is_new = |replica: &Replica| old().all(|old| old != *replica);
        Some(Move {
            change: change.clone(),
            reason: *reason,
            from: control.committed().owner(change.shard)?,
            gains: change.replicas.iter().copied().filter(is_new).collect(),
            loses: old().filter(|old| !change.replicas.contains(old)).map(|old| old.node).collect(),
            since: now,
            step: Step::Learning { asked: now },
            progress: LearnProgress::default(),
            advanced: now,
            first: None,
        })
    }

    /// The nodes that it makes read or take in data now.
    pub(super) fn burdened(&self) -> impl Iterator<Item = NodeId> {
        let learns = matches!(self.step, Step::Learning { .. }) && !self.gains.is_empty();
        let nodes = self.gains.iter().map(|gain| gain.node).chain([self.from]);
        nodes.filter(move |_| learns)
    }

    /// How it fares.
    pub(super) fn status(&self, now: Time) -> MoveStatus {
        MoveStatus {
            shard: self.change.shard,
            from: self.from,
            owner: self.change.owner,
            gains: self.gains.iter().map(|gain| gain.node).collect(),
            loses: self.loses.clone(),
            reason: self.reason,
            step: match self.step {
                Step::Learning { .. } => MoveStep::Learning,
                Step::Holding { .. } | Step::Due { .. } => MoveStep::Holding,
                Step::Proposed { .. } => MoveStep::HandingOver,
            },
            took: now.since(self.since),
            progress: self.progress,
            left: time_left(now, self.first, &self.progress),
        }
    }

    /// Whether the node is to take anything on by it, and it is not proposed yet.
    pub(super) fn is_towards(&self, node: NodeId) -> bool {
        let takes = self.gains.iter().any(|to| to.node == node) || self.change.owner == node;
        takes && !matches!(self.step, Step::Proposed { .. })
    }
}
