//! Moves that were given up since they came no further: tried again at growing intervals, and told to people once that has happened repeatedly.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, ShardId};
use crate::plan::Reason;

use super::super::timing::Time;
use super::one_move::Move;

/// How long a move rests that was given up for the first time; doubles with each time. Less than the minute after which one is given up: what
/// held it up may be over.
const RETRY_FIRST: Duration = Duration::from_secs(10);
/// The longest such rest: what was mended goes on within minutes.
const RETRY_MAX: Duration = Duration::from_secs(600);
/// A move that was given up so often is told: once may be chance.
const TOLD_FROM: u32 = 2;
/// Moves that are told: a list for people.
const TOLD_MAX: usize = 64;
/// A shard that was left alone for so long begins anew: longer than the longest rest and the next try together.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(1_800);

#[derive(Clone, Debug)]
struct Setback {
    times: u32,
    last: Time,
    to: NodeId,
    gains: Vec<NodeId>,
    reason: Reason,
}

impl Setback {
    fn rest(&self) -> Duration {
        let doublings = self.times.saturating_sub(1).min(RETRY_MAX.as_secs().ilog2());
        (RETRY_FIRST * (1 << doublings)).min(RETRY_MAX)
    }
}

/// A move that was given up again and again, and is wanted still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveSetback {
    /// The shard.
    pub shard: ShardId,
    /// Who was to own it.
    pub to: NodeId,
    /// Who was to hold it beside those who do.
    pub gains: Vec<NodeId>,
    /// Why it is to move.
    pub reason: Reason,
    /// How often it was given up.
    pub times: u32,
    /// For how long it still rests; nothing while it is tried again.
    pub rests: Duration,
}

/// The moves of one leader that came no further.
#[derive(Clone, Debug, Default)]
pub(super) struct Setbacks {
    of: BTreeMap<ShardId, Setback>,
}

impl Setbacks {
    /// Notes that a move is given up.
    pub(super) fn note(&mut self, now: Time, planned: &Move) {
        let times = self.of.get(&planned.change.shard).map_or(0, |setback| setback.times) + 1;
        let setback = Setback {
            times,
            last: now,
            to: planned.change.owner,
            gains: planned.gains.iter().map(|gain| gain.node).collect(),
            reason: planned.reason,
        };
        self.of.insert(planned.change.shard, setback);
    }

    /// Whether a move of the shard may begin.
    pub(super) fn may_begin(&self, now: Time, shard: ShardId) -> bool {
        self.of.get(&shard).is_none_or(|setback| now.since(setback.last) >= setback.rest())
    }

    /// Forgets a shard: it has moved.
    pub(super) fn forget(&mut self, shard: ShardId) {
        self.of.remove(&shard);
    }

    /// Forgets what is long ago.
    pub(super) fn tick(&mut self, now: Time) {
        self.of.retain(|_, setback| now.since(setback.last) < FORGOTTEN_AFTER);
    }

    /// Those that a person should know of, as far as they are wanted still.
    pub(super) fn told(&self, now: Time, is_wanted: impl Fn(ShardId) -> bool) -> Vec<MoveSetback> {
        let told = self.of.iter().filter(|(_, setback)| setback.times >= TOLD_FROM);
        let told = told.filter(|(shard, _)| is_wanted(**shard)).take(TOLD_MAX);
        told.map(|(shard, setback)| MoveSetback {
            shard: *shard,
            to: setback.to,
            gains: setback.gains.clone(),
            reason: setback.reason,
            times: setback.times,
            rests: setback.rest().saturating_sub(now.since(setback.last)),
        })
        .collect()
    }
}
