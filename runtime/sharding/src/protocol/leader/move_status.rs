//! What a leader tells people about the moves under way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, ShardId};
use crate::plan::Reason;

use super::super::messages::LearnProgress;
use super::super::timing::Time;

/// How far one planned move has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveStatus {
    /// The shard.
    pub shard: ShardId,
    /// Who owns it now.
    pub from: NodeId,
    /// Who is to own it.
    pub owner: NodeId,
    /// Who is to hold it beside those who do.
    pub gains: Vec<NodeId>,
    /// Who is to hold it no longer.
    pub loses: Vec<NodeId>,
    /// Why.
    pub reason: Reason,
    /// What is being done.
    pub step: MoveStep,
    /// For how long it has been under way.
    pub took: Duration,
    /// How far those are who are to hold it.
    pub progress: LearnProgress,
    /// How long they will still take, at the rate so far; none before there is a rate.
    pub left: Option<Duration>,
}

impl MoveStatus {
    /// The bytes that those who are to hold it still lack, as far as it is known.
    pub fn bytes_to_go(&self) -> u64 {
        self.progress.whole_bytes.saturating_sub(self.progress.sent_bytes)
    }
}

/// How long the learners will still take, at the rate since the first bytes were reported: when, and how many.
pub(super) fn time_left(now: Time, first: Option<(Time, u64)>, progress: &LearnProgress) -> Option<Duration> {
    let (since, bytes) = first?;
    let (took, sent) = (now.since(since).as_secs_f64(), progress.sent_bytes.saturating_sub(bytes));
    let to_go = progress.whole_bytes.saturating_sub(progress.sent_bytes);
    (sent > 0).then(|| Duration::from_secs_f64(took * to_go as f64 / sent as f64))
}

/// What is being done for a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MoveStep {
    /// The new replicas learn, while the owner serves.
    Learning,
    /// The owner lets calls under way end.
    Holding,
    /// It is proposed: sealed, recovered and committed.
    HandingOver,
}

/// What became of the moves that one leader has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MovesEnded {
    /// Committed.
    pub done: u64,
    /// Given up, since the learners came no further or the proposal was not written.
    pub stalled: u64,
    /// Given up, since somebody was not there any more who was to have it.
    pub lost: u64,
    /// Something else was done with the shard first.
    pub replaced: u64,
}
