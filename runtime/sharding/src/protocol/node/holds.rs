//! Shards that start no new calls, because the leader is about to move them (rule 22). A courtesy: nothing rests on it.

use std::collections::BTreeMap;

use crate::ids::{Epoch, ShardId};

use super::super::messages::ShardEpoch;
use super::super::timing::{Time, Timing};

#[derive(Clone, Copy, Debug)]
struct Hold {
    epoch: Epoch,
    since: Time,
    /// The leader has been told that no call is under way any more, or that the wait is over.
    told: bool,
}

/// The holds of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds {
    holds: BTreeMap<ShardId, Hold>,
}

impl Holds {
    /// Begins to hold a shard that is served under this epoch; says whether it was not held before.
    pub(super) fn hold(&mut self, shard: ShardEpoch, now: Time) -> bool {
        self.holds.insert(shard.shard, Hold { epoch: shard.epoch, since: now, told: false }).is_none()
    }

    /// The shard is no longer served, so nothing is left to hold.
    pub(super) fn end(&mut self, shard: ShardId) {
        self.holds.remove(&shard);
    }

    /// No call of these shards is under way; returns those of which the leader is to hear.
    pub(super) fn drained(&mut self, shards: &[ShardId]) -> Vec<ShardEpoch> {
        let mut held = Vec::new();
        for shard in shards {
            if let Some(hold) = self.holds.get_mut(shard).filter(|hold| !hold.told) {
                hold.told = true;
                held.push(ShardEpoch { shard: *shard, epoch: hold.epoch });
            }
        }
        held
    }

    /// Returns the shards for which the wait is over, and those that have been held in vain for so long that they go on.
    pub(super) fn tick(&mut self, now: Time, timing: &Timing) -> (Vec<ShardEpoch>, Vec<ShardId>) {
        let mut held = Vec::new();
        for (shard, hold) in self.holds.iter_mut().filter(|(_, hold)| !hold.told) {
            if now.since(hold.since) >= timing.hold {
                hold.told = true;
                held.push(ShardEpoch { shard: *shard, epoch: hold.epoch });
            }
        }
        let over = self.holds.extract_if(.., |_, hold| now.since(hold.since) >= timing.hold_max);
        (held, over.map(|(shard, _)| shard).collect())
    }
}
