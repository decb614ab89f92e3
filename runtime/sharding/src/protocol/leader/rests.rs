//! Shards that have just been moved for the sake of balance, and rest: only what restores owners and replicas moves them again so soon.
//!
//! By the same members and weights no shard is sent to and fro: each move makes things better by one measure. So a rest begins when the weights
//! change after the move, and levelling that is under way is brought to its end. And a balance holds for the members that it was made for: when one
//! comes, goes, falls silent or returns, another balance is called for, and what rested may move again.
//! A new leader knows of no rest: it must be able to finish what the one before it has begun.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::{Replica, ShardId};
use crate::plan::{Member, Standing, Zone};

use super::super::timing::Time;

/// What of a member a balance rests on.
type Bearer = (Replica, u32, Zone, Standing);

/// Which shards were moved when.
#[derive(Clone, Debug, Default)]
pub(super) struct Rests {
    /// By the weights of now: these may yet be moved again, to finish what was begun.
    moved: BTreeMap<ShardId, Time>,
    /// By weights of before.
    resting: BTreeMap<ShardId, Time>,
    bearers: Vec<Bearer>,
}

impl Rests {
    /// Sees the members; where they are others than before, nothing rests.
    pub(super) fn see(&mut self, members: &[Member]) {
        let bearer = |member: &Member| (member.replica, member.capacity, member.zone, member.standing);
        let mut bearers: Vec<Bearer> = members.iter().map(bearer).collect();
        bearers.sort_unstable_by_key(|(replica, ..)| *replica);
        if bearers != self.bearers {
            self.bearers = bearers;
            self.moved.clear();
            self.resting.clear();
        }
    }

    /// Notes that a shard has been moved for the sake of balance.
    pub(super) fn note(&mut self, shard: ShardId, now: Time) {
        self.moved.insert(shard, now);
    }

    /// The weights are others from now on: what has been moved rests.
    pub(super) fn weigh_anew(&mut self) {
        self.resting.append(&mut self.moved);
    }

    /// The shards that rest now; forgets what was moved longer ago.
    pub(super) fn resting(&mut self, now: Time, cool_down: Duration) -> BTreeSet<ShardId> {
        self.moved.retain(|_, moved| now.since(*moved) < cool_down);
        self.resting.retain(|_, moved| now.since(*moved) < cool_down);
        self.resting.keys().copied().collect()
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.resting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DiskId, NodeId};

    fn member(node: u64, standing: Standing) -> Member {
        let replica = Replica { node: NodeId(node), disk: DiskId(node + 100) };
        Member { replica, capacity: 100, zone: Zone(0), standing }
    }

    #[test]
    fn a_shard_rests_for_the_cool_down_and_no_longer() {
        let mut rests = Rests::default();
        let cool_down = Duration::from_secs(300);
        rests.note(ShardId(7), Time(0));
        rests.note(ShardId(8), Time(0) + Duration::from_secs(10));
        assert!(
            rests.resting(Time(1), cool_down).is_empty(),
            "by the same weights, what was begun is finished"
        );
        rests.weigh_anew();
        let after = |rests: &mut Rests, seconds| {
            let resting = rests.resting(Time(0) + Duration::from_secs(seconds), cool_down);
            resting.into_iter().map(|shard| shard.0).collect::<Vec<_>>()
        };
        assert_eq!(after(&mut rests, 299), [7, 8]);
        assert_eq!(after(&mut rests, 300), [8]);
        assert_eq!(after(&mut rests, 310), [0; 0]);
    }

    #[test]
    fn other_members_end_all_rests_and_the_same_in_another_order_do_not() {
        let mut rests = Rests::default();
        let (one, two) = (member(1, Standing::Live), member(2, Standing::Live));
        rests.see(&[one, two]);
        rests.note(ShardId(7), Time(0));
        rests.weigh_anew();
        rests.see(&[two, one]);
        assert_eq!(rests.count(), 1);
        rests.see(&[one, member(2, Standing::Silent)]);
        assert_eq!(rests.count(), 0);
    }
}
