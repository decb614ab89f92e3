//! What became of the changes that one leader has made, counted by outcome and by the planner's reason.

use std::collections::BTreeMap;

use crate::plan::Reason;

use super::move_status::MovesEnded;

/// How a move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Committed.
    Done,
    /// Given up, since the learners came no further or the proposal was not written.
    Stalled,
    /// Given up, since somebody was not there any more who was to have it.
    Lost,
    /// Something else was done with the shard first.
    Replaced,
}

impl End {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            End::Done => "done",
            End::Stalled => "stalled",
            End::Lost => "lost",
            End::Replaced => "replaced",
        }
    }
}

/// What became of the changes so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By how they ended and the name of the reason.
    counts: BTreeMap<(End, &'static str), u64>,
    /// Those that were planned, whatever the reason.
    ended: MovesEnded,
}

impl Tally {
    /// Counts a planned move.
    pub(super) fn count(&mut self, end: End, reason: Reason) {
        *match end {
            End::Done => &mut self.ended.done,
            End::Stalled => &mut self.ended.stalled,
            End::Lost => &mut self.ended.lost,
            End::Replaced => &mut self.ended.replaced,
        } += 1;
        *self.counts.entry((end, reason.name())).or_default() += 1;
    }

    /// Counts a change that was made at once, unplanned.
    pub(super) fn count_urgent(&mut self, reason: &'static str) {
        *self.counts.entry((End::Done, reason)).or_default() += 1;
    }

    /// The planned moves that have ended.
    pub(super) fn ended(&self) -> MovesEnded {
        self.ended
    }

    /// How many have ended how, and the name of the reason that they were made for.
    pub fn counts(&self) -> impl Iterator<Item = (End, &'static str, u64)> {
        self.counts.iter().map(|((end, reason), count)| (*end, *reason, *count))
    }

    /// How many have ended so, for that reason.
    pub fn of(&self, end: End, reason: &'static str) -> u64 {
        self.counts.get(&(end, reason)).copied().unwrap_or_default()
    }
}
