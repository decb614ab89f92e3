//! Which shards need a new proposal, and which: urgent ones at once, others by plan.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::change::{Change, Replicas};
use crate::ids::{Epoch, NodeId, Replica, ShardId};
use crate::plan::Planned;

use super::super::control::{Assignment, ShardControl};
use super::super::quorum::{seal_quorum, write_quorum};
use super::super::timing::{Time, Timing};

/// A shard is tried anew at growing intervals until it has been left alone for this long.
const TRIES_FORGOTTEN: Duration = Duration::from_secs(30);

/// And for this long only, where the last try has led to a commit: a node that dies again later must not be held up by its first death, while
/// owners that cannot serve what they are given do not get it back and forth at full speed.
const SUCCESS_FORGOTTEN: Duration = Duration::from_secs(5);

/// The interval between tries doubles no more often than this.
const TRY_DOUBLINGS_MAX: u32 = 7;

/// Why a shard's owner asks for a new proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plea {
    /// Its boot is another: it can have the shard again.
    Lost,
    /// It has no quorum, or no source: another should have the shard.
    Stuck(NodeId),
}

/// How often and when shards were last proposed in a hurry.
#[derive(Clone, Debug, Default)]
pub(super) struct Tries {
    tries: BTreeMap<ShardId, Try>,
}

#[derive(Clone, Copy, Debug)]
struct Try {
    count: u32,
    last: Time,
    /// The last one has led to a commit.
    committed: bool,
}

impl Tries {
    /// Whether the shard may be tried now.
    pub(super) fn may(&self, shard: ShardId, now: Time, timing: &Timing) -> bool {
        self.tries.get(&shard).is_none_or(|tried| {
            let wait = timing.ack_wait * (1 << (tried.count - 1).min(TRY_DOUBLINGS_MAX));
            now.since(tried.last) >= wait.min(timing.retry_max)
        })
    }

    /// Notes a try.
    pub(super) fn note(&mut self, shard: ShardId, now: Time) {
        let tried = self.tries.entry(shard).or_insert(Try { count: 0, last: now, committed: false });
        *tried = Try { count: tried.count + 1, last: now, committed: false };
    }

    /// Notes that a shard has been committed.
    pub(super) fn committed(&mut self, shard: ShardId) {
        if let Some(tried) = self.tries.get_mut(&shard) {
            tried.committed = true;
        }
    }

    /// How long a proposal may take before it is made anew.
    pub(super) fn patience(&self, shard: ShardId, timing: &Timing) -> Duration {
        let count = self.tries.get(&shard).map_or(0, |tried| tried.count);
        (timing.retry * (1 << count.min(TRY_DOUBLINGS_MAX))).min(timing.retry_max)
    }

    /// Forgets shards that have been left alone for long.
    pub(super) fn forget(&mut self, now: Time) {
        self.tries.retain(|_, tried| {
            let kept = if tried.committed { SUCCESS_FORGOTTEN } else { TRIES_FORGOTTEN };
            now.since(tried.last) < kept
        });
    }
}

/// One shard that is looked at.
pub(super) struct Case<'a> {
    pub(super) shard: ShardId,
    pub(super) base: Epoch,
    pub(super) committed: Replicas,
    pub(super) committed_owner: Option<NodeId>,
    pub(super) pending: Option<&'a Assignment>,
    /// What the planner would have.
    pub(super) planned: Option<&'a Change>,
    pub(super) plea: Option<Plea>,
}

impl<'a> Case<'a> {
    /// Collects what is known of a shard.
    pub(super) fn of(
        control: &'a ShardControl,
        shard: ShardId,
        planned: &'a [Planned],
        plea: Option<Plea>,
    ) -> Case<'a> {
        let map = control.committed();
        let place = planned.binary_search_by_key(&shard, |planned| planned.change.shard);
        Case {
            shard,
            base: map.epoch(shard),
            committed: map.replicas(shard).collect(),
            committed_owner: map.owner(shard),
            pending: control.pending(shard),
            planned: place.ok().map(|place| &planned[place].change),
            plea,
        }
    }

    /// Whether enough of the committed replicas are live for a recovery.
    pub(super) fn can_seal(&self, is_live: &impl Fn(Replica) -> bool) -> bool {
        count_live(&self.committed, is_live) >= seal_quorum(self.committed.len())
    }

    /// Chooses what to propose; none if nothing would help. A full node can still answer reads, and one in quarantine is up now: each is
    /// better than no owner, and worse than any other.
    pub(super) fn choose(
        &self,
        is_live: &impl Fn(Replica) -> bool,
        is_worse: impl Fn(NodeId) -> bool,
    ) -> Option<Change> {
        let avoid = if let Some(Plea::Stuck(node)) = self.plea { Some(node) } else { None };
        let fits = |owner: NodeId, replicas: &[Replica]| {
            avoid != Some(owner)
                && replicas.iter().any(|replica| replica.node == owner && is_live(*replica))
                && count_live(replicas, is_live) >= write_quorum(replicas.len())
        };
        if !self.can_seal(is_live) {
            return None;
        }
        let mut candidates = self.candidates(avoid);
        // Whoever has the log serves at once; the plan moves the shard on, with its state, to one that is not worse.
        let pending = self.pending.and_then(|pending| pending.owner);
        let has_log = |owner: NodeId| {
            pending == Some(owner) || self.committed.iter().any(|replica| replica.node == owner)
        };
        candidates.sort_by_key(|(owner, _)| (!has_log(*owner), is_worse(*owner)));
        candidates
            .into_iter()
            .find(|(owner, replicas)| fits(*owner, replicas))
            .map(|(owner, replicas)| Change { shard: self.shard, base: self.base, owner, replicas })
    }

    /// What might be proposed, best first. Silence takes ownership, never a replica: the committed replicas come before others.
    fn candidates(&self, avoid: Option<NodeId>) -> Vec<(NodeId, Replicas)> {
        let mut list = Vec::new();
        let pending =
            self.pending.and_then(|pending| pending.owner.map(|owner| (owner, pending.replicas.clone())));
        if self.plea == Some(Plea::Lost) {
            list.extend(pending.clone());
        }
        if self.plea.is_some() {
            list.extend(self.committed_owner.map(|owner| (owner, self.committed.clone())));
        }
        if let Some(planned) = self.planned {
            list.push((planned.owner, self.committed.clone()));
        }
        let from = self
            .committed
            .iter()
            .position(|replica| Some(replica.node) == avoid)
            .map_or(0, |place| place + 1);
        for step in 0..self.committed.len() {
            let replica = self.committed[(from + step) % self.committed.len()];
            list.push((replica.node, self.committed.clone()));
        }
        if let Some(planned) = self.planned {
            list.push((planned.owner, planned.replicas.clone()));
        }
        list.extend(pending);
        list
    }
}

/// How many of these replicas are live.
pub(super) fn count_live(replicas: &[Replica], is_live: &impl Fn(Replica) -> bool) -> usize {
    replicas.iter().filter(|replica| is_live(**replica)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_long_after_a_commit_is_not_held_up_by_the_tries_before() {
        let timing = Timing::DEFAULT;
        let mut tries = Tries::default();
        let (shard, second) = (ShardId(1), Duration::from_secs(1));
        let mut now = Time(0);
        for _ in 0..6 {
            tries.note(shard, now);
            tries.committed(shard);
            now = now + second * 6;
            tries.forget(now);
            assert!(tries.may(shard, now, &timing));
        }
        for _ in 0..6 {
            tries.note(shard, now);
            now = now + second * 6;
            tries.forget(now);
        }
        assert!(!tries.may(shard, now, &timing), "what does not succeed is tried at growing intervals");
    }
}
