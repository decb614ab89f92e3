//! Changes that were proposed at once, unplanned, and why; until they are committed.

use std::collections::BTreeMap;

use crate::change::Change;
use crate::ids::ShardId;
use crate::plan::{Planned, Reason};

use super::super::control::ShardControl;

/// The reason that metrics name where an owner had no quorum, or had started anew, and another took over.
const STUCK: &str = "stuck";

/// Changes that were proposed at once and are not committed yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Takeovers {
    pending: BTreeMap<ShardId, (Change, &'static str)>,
}

impl Takeovers {
    /// Notes what is proposed for a shard, where it is to go elsewhere; `planned`: what the planner has for all.
    pub(super) fn propose(&mut self, control: &ShardControl, change: &Change, planned: &[Planned]) {
        let old = control.committed().owner(change.shard);
        if old.is_none() || old == Some(change.owner) {
            self.pending.remove(&change.shard);
            return;
        }
        let place = planned.binary_search_by_key(&change.shard, |planned| planned.change.shard);
        let reason = place.map_or(STUCK, |place| Reason::name(planned[place].reason));
        self.pending.insert(change.shard, (change.clone(), reason));
    }

    /// Follows the applied control state: the reason, where it has come so.
    pub(super) fn follow(&mut self, control: &ShardControl, shard: ShardId) -> Option<&'static str> {
        let (change, reason) = self.pending.get(&shard)?;
        if control.committed().epoch(shard) == change.base {
            return None;
        }
        let done = control.committed().owner(shard) == Some(change.owner);
        let reason = done.then_some(*reason);
        self.pending.remove(&shard);
        reason
    }
}
