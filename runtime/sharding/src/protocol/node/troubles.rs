//! Shards that this node is to own and cannot, or owns without a quorum: the leader hears of them until it acts (rule 23).

use std::collections::BTreeSet;

use crate::ids::ShardId;

use super::super::timing::{Time, Timing};

/// The troubles of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Troubles {
    lost: BTreeSet<ShardId>,
    told: Time,
    /// A shard has been lost since the leader was last told.
    fresh: bool,
}

impl Troubles {
    /// Notes whether this boot can own a shard that it is to own.
    pub(super) fn note(&mut self, shard: ShardId, lost: bool) {
        if lost {
            self.fresh |= self.lost.insert(shard);
        } else {
            self.lost.remove(&shard);
        }
    }

    /// There is a new leader, which knows nothing.
    pub(super) fn tell_all(&mut self) {
        self.fresh |= !self.lost.is_empty();
    }

    /// Whether the leader is to be told now.
    pub(super) fn is_due(&mut self, now: Time, timing: &Timing) -> bool {
        let due = self.fresh || now.since(self.told) >= timing.renew_every;
        if due {
            self.told = now;
            self.fresh = false;
        }
        due
    }

    /// The shards that this boot cannot own.
    pub(super) fn lost(&self) -> impl Iterator<Item = ShardId> {
        self.lost.iter().copied()
    }
}
