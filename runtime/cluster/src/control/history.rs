//! Why shards are where they are: the last changes of each, with the reasons that the control log knows.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use shardloom_sharding::ids::{Epoch, NodeId, Replica, ShardId};
use shardloom_sharding::map::ShardMap;
use shardloom_sharding::protocol::control::Assignment;

use super::exclusions::Exclusions;
use super::member::{Member, MemberStanding};

/// Changes that are kept of each shard: what an operator wants to look back on, at some 40 bytes each in every snapshot.
pub const CHANGES_PER_SHARD_MAX: usize = 8;

/// Why the leader did not count on a node when it planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Absence {
    /// Its lease had run out.
    Silent,
    /// Its process was about to end.
    Leaving,
    /// It had no room on its disk.
    Full,
}

/// Why a shard was changed. Encoded by position: new ones are only ever added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// It had no owner before.
    First,
    /// An operator accepted the loss of data.
    Repaired,
    /// The node was no member any more.
    Removed(NodeId),
    /// An operator drains the node.
    Draining(NodeId),
    /// The node's lease had run out.
    Silent(NodeId),
    /// The node was about to end.
    Leaving(NodeId),
    /// The node had no room on its disk.
    Full(NodeId),
    /// The node came back with another disk.
    NewDisk(NodeId),
    /// The node had come to have nothing yet.
    Newcomer(NodeId),
    /// It had fewer replicas than are wanted.
    TooFew,
    /// It had more replicas than are wanted.
    TooMany,
    /// What nodes carry, or how replicas lie in zones, was made more even.
    Levelled,
    /// Nothing but its epoch: its owner had started again, or the change before had got stuck.
    Anew,
    /// The node is in quarantine.
    Quarantined(NodeId),
    /// The node lacks a label that a workload asks for.
    LabelMissing(NodeId),
}

/// One change of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochChange {
    /// Where it was committed.
    pub index: u64,
    /// Where it was proposed: the shard's epoch from then on.
    pub epoch: Epoch,
    /// Who owned it; nobody before the first.
    pub from: Option<NodeId>,
    /// Who owns it since.
    pub to: Option<NodeId>,
    /// Who holds it since, and did not.
    pub gained: Vec<NodeId>,
    /// Who held it, and does not since.
    pub lost: Vec<NodeId>,
    /// Why, as the control log knew when it was proposed.
    pub reasons: Vec<Reason>,
}

/// The last changes of all shards, and the reasons of those under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    changes: BTreeMap<ShardId, VecDeque<EpochChange>>,
    pending: BTreeMap<ShardId, Vec<Reason>>,
}

/// What a proposal was made of.
pub(super) struct Circumstances<'a> {
    /// The members.
    pub(super) members: &'a BTreeMap<NodeId, Member>,
    /// Those of them that hold nothing yet.
    pub(super) newcomers: &'a BTreeSet<NodeId>,
    /// On whom the leader did not count.
    pub(super) absent: &'a BTreeMap<NodeId, Absence>,
    /// Who is to own no shards.
    pub(super) exclusions: &'a Exclusions,
    /// Whether an operator wants it.
    pub(super) repair: bool,
}

impl History {
    /// The changes of a shard that are kept, the oldest first.
    pub fn of(&self, shard: ShardId) -> impl Iterator<Item = &EpochChange> {
        self.changes.get(&shard).into_iter().flatten()
    }

    /// Why the change that is proposed for a shard is.
    pub fn pending(&self, shard: ShardId) -> &[Reason] {
        self.pending.get(&shard).map_or(&[], Vec::as_slice)
    }

    /// Notes why a change is proposed.
    pub(super) fn proposed(&mut self, shard: ShardId, reasons: Vec<Reason>) {
        self.pending.insert(shard, reasons);
    }

    /// Notes that what was proposed is committed at an index.
    pub(super) fn committed(&mut self, index: u64, shard: ShardId, before: &Assignment, after: &Assignment) {
        let reasons = self.pending.remove(&shard).unwrap_or_default();
        let changes = self.changes.entry(shard).or_default();
        if changes.len() == CHANGES_PER_SHARD_MAX {
            changes.pop_front();
        }
        changes.push_back(EpochChange {
            index,
            epoch: after.epoch,
            from: before.owner,
            to: after.owner,
            gained: beyond(after, before),
            lost: beyond(before, after),
            reasons,
        });
    }
}

/// The nodes that hold one assignment on a node that does not hold the other.
fn beyond(one: &Assignment, other: &Assignment) -> Vec<NodeId> {
    let others: BTreeSet<NodeId> = other.replicas.iter().map(|replica| replica.node).collect();
    one.replicas.iter().map(|replica| replica.node).filter(|node| !others.contains(node)).collect()
}

/// Why a shard is to go from one assignment to another.
pub(super) fn reasons(before: &Assignment, after: &Assignment, at: &Circumstances<'_>) -> Vec<Reason> {
    if before.owner.is_none() {
        return vec![Reason::First];
    }
    if at.repair {
        return vec![Reason::Repaired];
    }
    let left = before.replicas.iter().filter(|replica| !after.has_replica(**replica));
    let mut left: Vec<Replica> = left.copied().collect();
    let owner = before.owner.filter(|_| before.owner != after.owner);
    let owned = before.replicas.iter().filter(|replica| Some(replica.node) == owner);
    left.extend(owned);
    let mut reasons: BTreeSet<Reason> = left.iter().filter_map(|replica| why_left(*replica, at)).collect();
    if !reasons.is_empty() {
        return reasons.into_iter().collect();
    }
    let gained = beyond(after, before);
    let taking = gained.iter().copied().chain(after.owner.filter(|_| owner.is_some()));
    // Who has nothing yet owns nothing and holds nothing.
    reasons.extend(taking.filter(|node| at.newcomers.contains(node)).map(Reason::Newcomer));
    let (now, then) = (after.replicas.len(), before.replicas.len());
    let also = match now.cmp(&then) {
        Ordering::Greater => Some(Reason::TooFew),
        Ordering::Less => Some(Reason::TooMany),
        Ordering::Equal if owner.is_none() && gained.is_empty() => Some(Reason::Anew),
        Ordering::Equal => reasons.is_empty().then_some(Reason::Levelled),
    };
    reasons.extend(also);
    reasons.into_iter().collect()
}

/// Why a node is to give something up, if not for the others' sake.
fn why_left(replica: Replica, at: &Circumstances<'_>) -> Option<Reason> {
    let node = replica.node;
    let Some(member) = at.members.get(&node) else { return Some(Reason::Removed(node)) };
    if member.standing == MemberStanding::Draining {
        return Some(Reason::Draining(node));
    }
    match at.absent.get(&node) {
        Some(Absence::Silent) => Some(Reason::Silent(node)),
        Some(Absence::Leaving) => Some(Reason::Leaving(node)),
        Some(Absence::Full) => Some(Reason::Full(node)),
        None if at.exclusions.quarantine(node).is_some() => Some(Reason::Quarantined(node)),
        None if at.exclusions.lacking(&member.labels).next().is_some() => Some(Reason::LabelMissing(node)),
        None => (member.disk != replica.disk).then_some(Reason::NewDisk(node)),
    }
}

/// The members that hold no replica of any shard.
pub(super) fn newcomers(members: &BTreeMap<NodeId, Member>, map: &ShardMap) -> BTreeSet<NodeId> {
    let mut newcomers: BTreeSet<NodeId> = members.keys().copied().collect();
    for shard in map.shards() {
        for replica in map.replicas(shard) {
            newcomers.remove(&replica.node);
        }
    }
    newcomers
}

#[cfg(test)]
mod tests {
    use shardloom_sharding::ids::DiskId;

    use super::*;
    use crate::control::Founding;

    fn at_nodes(owner: u64, nodes: &[u64]) -> Assignment {
        let replica = |node: &u64| Replica { node: NodeId(*node), disk: DiskId(100 + node) };
        Assignment {
            epoch: Epoch(7),
            owner: Some(NodeId(owner)),
            replicas: nodes.iter().map(replica).collect(),
        }
    }

    /// Why shards of nodes 1 to 3 go elsewhere, once `change` has happened to the members 1 to 4.
    fn why(
        (before, after): (Assignment, Assignment),
        absent: &[(u64, Absence)],
        change: impl FnOnce(&mut BTreeMap<NodeId, Member>),
    ) -> Vec<Reason> {
        let founder = Founding::example().founder;
        let member = |node: u64| Member { node: NodeId(node), disk: DiskId(100 + node), ..founder.clone() };
        let mut members: BTreeMap<NodeId, Member> =
            (1..=4).map(|node| (NodeId(node), member(node))).collect();
        change(&mut members);
        let absent = absent.iter().map(|(node, absence)| (NodeId(*node), *absence)).collect();
        let newcomers = BTreeSet::from([NodeId(4)]);
        let mut exclusions = Exclusions::default();
        exclusions.begin(9, NodeId(2), "it ends again and again".into(), &members).unwrap();
        let (exclusions, repair) = (&exclusions, false);
        let at =
            Circumstances { members: &members, newcomers: &newcomers, absent: &absent, exclusions, repair };
        reasons(&before, &after, &at)
    }

    #[test]
    fn who_leaves_is_the_reason_before_everything_else() {
        let change = || (at_nodes(1, &[1, 2, 3]), at_nodes(2, &[2, 3, 4]));
        let nothing = |_: &mut BTreeMap<NodeId, Member>| {};
        assert_eq!(why(change(), &[(1, Absence::Silent)], nothing), [Reason::Silent(NodeId(1))]);
        assert_eq!(why(change(), &[(1, Absence::Leaving)], nothing), [Reason::Leaving(NodeId(1))]);
        assert_eq!(why(change(), &[(1, Absence::Full)], nothing), [Reason::Full(NodeId(1))]);
        let gone = |members: &mut BTreeMap<NodeId, Member>| drop(members.remove(&NodeId(1)));
        assert_eq!(why(change(), &[(1, Absence::Silent)], gone), [Reason::Removed(NodeId(1))]);
        let drained = |members: &mut BTreeMap<NodeId, Member>| {
            members.get_mut(&NodeId(1)).unwrap().standing = MemberStanding::Draining;
        };
        assert_eq!(why(change(), &[], drained), [Reason::Draining(NodeId(1))]);
        let another = |members: &mut BTreeMap<NodeId, Member>| {
            members.get_mut(&NodeId(1)).unwrap().disk = DiskId(900);
        };
        assert_eq!(why(change(), &[], another), [Reason::NewDisk(NodeId(1))]);
        // Only the ownership goes: its log stays where it is.
        let owner = (at_nodes(1, &[1, 2, 3]), at_nodes(2, &[1, 2, 3]));
        assert_eq!(
            why(owner, &[(1, Absence::Silent), (3, Absence::Silent)], nothing),
            [Reason::Silent(NodeId(1))]
        );
    }

    #[test]
    fn who_is_in_quarantine_gives_up_what_it_owns() {
        let change = || (at_nodes(2, &[1, 2, 3]), at_nodes(1, &[1, 2, 3]));
        assert_eq!(why(change(), &[], |_| {}), [Reason::Quarantined(NodeId(2))]);
        assert_eq!(why(change(), &[(2, Absence::Silent)], |_| {}), [Reason::Silent(NodeId(2))]);
    }

    #[test]
    fn where_nobody_leaves_it_is_for_who_gains_or_for_balance() {
        let why = |before, after| why((before, after), &[], |_| {});
        let three = || at_nodes(1, &[1, 2, 3]);
        assert_eq!(why(three(), at_nodes(4, &[2, 3, 4])), [Reason::Newcomer(NodeId(4))]);
        assert_eq!(why(three(), at_nodes(2, &[1, 2, 3])), [Reason::Levelled]);
        assert_eq!(why(at_nodes(1, &[1, 2]), three()), [Reason::TooFew]);
        assert_eq!(why(three(), at_nodes(1, &[1, 2])), [Reason::TooMany]);
        assert_eq!(why(three(), three()), [Reason::Anew]);
        assert_eq!(why(Assignment::default(), three()), [Reason::First]);
    }

    #[test]
    fn the_last_changes_are_kept_and_no_more() {
        let mut history = History::default();
        let shard = ShardId(3);
        for index in 0..CHANGES_PER_SHARD_MAX as u64 + 2 {
            history.proposed(shard, vec![Reason::Levelled]);
            let (before, after) = (at_nodes(1, &[1, 2]), at_nodes(2, &[2, 3]));
            history.committed(index, shard, &before, &after);
        }
        assert_eq!(history.of(shard).count(), CHANGES_PER_SHARD_MAX);
        let last = history.of(shard).last().unwrap();
        assert_eq!((last.from, last.to), (Some(NodeId(1)), Some(NodeId(2))));
        assert_eq!((last.gained.as_slice(), last.lost.as_slice()), (&[NodeId(3)][..], &[NodeId(1)][..]));
        assert_eq!(last.reasons, [Reason::Levelled]);
        assert!(history.pending(shard).is_empty() && history.of(ShardId(0)).next().is_none());
    }
}
