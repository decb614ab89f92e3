//! What the control log has decided about shards: the committed map, and what is proposed beside it.
//!
//! Runs inside the replicated state machine on every node, so it must come to the same result everywhere: it looks at nothing
//! but the entries.

use std::collections::BTreeMap;

use crate::change::{Change, Replicas};
use crate::ids::{Epoch, NodeId, Replica, ShardId, Term};
use crate::map::{REPLICAS_MAX, ShardMap};

use super::rules::{AllRules, Rule, Rules};

/// An owner and replicas under an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Assignment {
    /// The control-log index of the proposal; 0 if there was none.
    pub epoch: Epoch,
    /// The owner; none only under epoch 0.
    pub owner: Option<NodeId>,
    /// The replicas.
    pub replicas: Replicas,
}

impl Assignment {
    /// Whether this disk keeps a replica.
    pub fn has_replica(&self, replica: Replica) -> bool {
        self.replicas.contains(&replica)
    }

    /// Whether this node is the owner, on this disk: one on another disk is no replica, and has nothing to own the shard with.
    pub fn is_mine(&self, me: Replica) -> bool {
        self.is_owned_by(me.node) && self.has_replica(me)
    }

    /// Whether this node is the owner.
    pub fn is_owned_by(&self, node: NodeId) -> bool {
        self.owner == Some(node)
    }
}

/// What the control log says of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct ShardRow {
    /// The last effective commit.
    pub committed: Assignment,
    /// The newest valid proposal that is not committed.
    pub pending: Option<Assignment>,
    /// The epoch of the last committed repair: logs that end before it may hold what was given up then. 0 if there was none.
    pub repaired: Epoch,
}

impl ShardRow {
    /// What nodes work towards: the pending proposal, or else what is committed.
    pub fn wanted(&self) -> &Assignment {
        self.pending.as_ref().unwrap_or(&self.committed)
    }

    /// Applies a proposal; false if it is void.
    pub fn propose<R: Rules>(&mut self, rules: R, epoch: Epoch, change: &Change) -> bool {
        if change.base != self.committed.epoch || !stands(change) {
            return false;
        }
        if !rules.holds(Rule::BuildOnCommitted)
            && let Some(proposed) = self.pending.take()
        {
            self.committed.replicas = proposed.replicas;
        }
        self.pending =
            Some(Assignment { epoch, owner: Some(change.owner), replicas: change.replicas.clone() });
        true
    }

    /// Applies a commit that was decided in term `decided` and written in term `written`; false if it has no effect.
    pub fn commit<R: Rules>(&mut self, rules: R, epoch: Epoch, decided: Term, written: Term) -> bool {
        if rules.holds(Rule::CommitInItsTerm) && decided != written {
            return false;
        }
        let names = |pending: &Assignment| pending.epoch == epoch || !rules.holds(Rule::CommitPendingOnly);
        let Some(pending) = self.pending.take_if(|pending| names(pending)) else { return false };
        self.committed = pending;
        true
    }
}

/// Whether a map may hold what a change sets.
fn stands(change: &Change) -> bool {
    let replicas = &change.replicas;
    let distinct = replicas.iter().enumerate().all(|(i, a)| replicas[..i].iter().all(|b| a.node != b.node));
    distinct && replicas.len() <= REPLICAS_MAX && replicas.iter().any(|replica| replica.node == change.owner)
}

/// What the control log says of all shards.
///
/// Serialised, for snapshots of the state machine, as the encoded map and the few pending proposals beside it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ShardControl {
    #[serde(with = "map_bytes")]
    committed: ShardMap,
    pending: BTreeMap<ShardId, Assignment>,
    newest_proposal: Epoch,
    /// Proposals by which an operator has given up the replicas that they leave out.
    repairs: BTreeMap<ShardId, Epoch>,
    /// The last of them that was committed.
    repaired: BTreeMap<ShardId, Epoch>,
}

/// Whether a repair may begin a shard anew, of which nothing is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum NothingLeft {
    /// Such a change is void.
    Refuse,
    /// The shard becomes empty.
    BeginEmpty,
}

impl ShardControl {
    /// A new cluster's: no shard has ever been set.
    pub fn new(shard_count: u32) -> ShardControl {
        ShardControl {
            committed: ShardMap::new(shard_count),
            pending: BTreeMap::new(),
            newest_proposal: Epoch(0),
            repairs: BTreeMap::new(),
            repaired: BTreeMap::new(),
        }
    }

    /// The committed map.
    pub fn committed(&self) -> &ShardMap {
        &self.committed
    }

    /// The newest valid proposal for a shard that is not committed.
    pub fn pending(&self, shard: ShardId) -> Option<&Assignment> {
        self.pending.get(&shard)
    }

    /// All shards that are proposed and not committed, in order.
    pub fn pendings(&self) -> impl ExactSizeIterator<Item = (ShardId, &Assignment)> {
        self.pending.iter().map(|(shard, assignment)| (*shard, assignment))
    }

    /// The control-log index of the newest proposal, void or not.
    pub fn newest_proposal(&self) -> Epoch {
        self.newest_proposal
    }

    /// Where an operator has accepted that all other replicas are lost: the committed replicas that are left, by the pending proposal.
    pub fn survivors(&self, shard: ShardId) -> Option<Replicas> {
        let pending = self.pending(shard).filter(|at| self.repairs.get(&shard) == Some(&at.epoch))?;
        Some(self.committed.replicas(shard).filter(|replica| pending.has_replica(*replica)).collect())
    }

    /// What is said of one shard.
    pub fn row(&self, shard: ShardId) -> ShardRow {
        let map = &self.committed;
        let committed = Assignment {
            epoch: map.epoch(shard),
            owner: map.owner(shard),
            replicas: map.replicas(shard).collect(),
        };
        let repaired = self.repaired.get(&shard).copied().unwrap_or_default();
        ShardRow { committed, pending: self.pending.get(&shard).cloned(), repaired }
    }

    /// As [`ShardControl::apply_commit`], with these rules only.
    pub fn apply_commit_under<R: Rules>(
        &mut self,
        rules: R,
        (written, decided): (Term, Term),
        epoch: Epoch,
        shards: &[ShardId],
    ) -> Vec<ShardId> {
        let mut changed = Vec::with_capacity(shards.len());
        for shard in shards {
            let mut row = self.row(*shard);
            if !row.commit(rules, epoch, decided, written) {
                continue;
            }
            let Assignment { epoch, owner, replicas } = row.committed;
            // A full replica table is the one refusal left (proposals were checked): the shard stays pending on every node alike.
            if self.committed.assign(*shard, epoch, owner, &replicas).is_ok() {
                self.pending.remove(shard);
                self.repaired.extend(self.repairs.remove(shard).map(|epoch| (*shard, epoch)));
                changed.push(*shard);
            }
        }
        changed
    }

    /// Applies `Propose`, which stands at control-log index `index`; says which shards have changed.
    pub fn apply_propose(&mut self, index: u64, changes: &[Change]) -> Vec<ShardId> {
        let epoch = Epoch(index);
        self.newest_proposal = self.newest_proposal.max(epoch);
        let mut changed = Vec::with_capacity(changes.len());
        for change in changes.iter().filter(|change| change.shard.0 < self.committed.shard_count()) {
            let mut row = self.row(change.shard);
            if row.propose(AllRules, epoch, change)
                && let Some(pending) = row.pending
            {
                self.pending.insert(change.shard, pending);
                self.repairs.remove(&change.shard);
                changed.push(change.shard);
            }
        }
        changed
    }

    /// Applies an operator's repair, which stands at control-log index `index`: a proposal for which the committed replicas that it names
    /// suffice, however few they are. Says which shards have changed.
    pub fn apply_repair(
        &mut self,
        index: u64,
        changes: &[Change],
        nothing_left: NothingLeft,
    ) -> Vec<ShardId> {
        let stands = |change: &&Change| {
            let is_left = |replica| change.replicas.contains(&replica);
            nothing_left == NothingLeft::BeginEmpty
                || self.row(change.shard).committed.replicas.into_iter().any(is_left)
        };
        let known = changes.iter().filter(|change| change.shard.0 < self.committed.shard_count());
        let standing: Vec<Change> = known.filter(stands).cloned().collect();
        let changed = self.apply_propose(index, &standing);
        self.repairs.extend(changed.iter().map(|shard| (*shard, Epoch(index))));
        changed
    }

    /// Applies `Commit`, which was decided in term `decided` and stands in the control log as written in term `written`; says which
    /// shards have changed.
    pub fn apply_commit(
        &mut self,
        written: Term,
        decided: Term,
        epoch: Epoch,
        shards: &[ShardId],
    ) -> Vec<ShardId> {
        self.apply_commit_under(AllRules, (written, decided), epoch, shards)
    }
}

/// The map in its own encoding.
mod map_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::map::ShardMap;
    use crate::map_codec::{decode_map, encode_map};

    pub(super) fn serialize<S: Serializer>(map: &ShardMap, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&encode_map(map))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ShardMap, D::Error> {
        decode_map(&Vec::<u8>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::ids::DiskId;

    fn change(base: u64, owner: u64) -> Change {
        let replica = Replica { node: NodeId(owner), disk: DiskId(owner) };
        Change { shard: ShardId(0), base: Epoch(base), owner: NodeId(owner), replicas: smallvec![replica] }
    }

    #[test]
    fn a_proposal_on_another_map_than_the_committed_one_is_void() {
        let mut control = ShardControl::new(1);
        assert_eq!(control.apply_propose(5, &[change(0, 1)]), [ShardId(0)]);
        assert_eq!(control.apply_commit(Term(1), Term(1), Epoch(5), &[ShardId(0)]), [ShardId(0)]);
        assert_eq!(control.apply_propose(7, &[change(0, 2)]), []);
        assert_eq!(control.pending(ShardId(0)), None);
        assert_eq!(control.newest_proposal(), Epoch(7));
    }

    #[test]
    fn a_repair_names_who_is_left_until_another_proposal_or_its_commit() {
        let mut control = ShardControl::new(1);
        let replica = |node| Replica { node: NodeId(node), disk: DiskId(node) };
        let three = Change { replicas: smallvec![replica(1), replica(2), replica(3)], ..change(0, 1) };
        control.apply_propose(5, &[three]);
        control.apply_commit(Term(1), Term(1), Epoch(5), &[ShardId(0)]);
        assert_eq!(control.survivors(ShardId(0)), None);
        assert_eq!(control.apply_repair(6, &[change(4, 3)], NothingLeft::Refuse), [], "another map");
        assert_eq!(control.apply_repair(7, &[change(5, 9)], NothingLeft::Refuse), [], "nothing is left");
        assert_eq!(control.apply_repair(8, &[change(5, 3)], NothingLeft::Refuse), [ShardId(0)]);
        assert_eq!(control.survivors(ShardId(0)).unwrap()[..], [replica(3)]);
        control.apply_propose(9, &[change(5, 2)]);
        assert_eq!(control.survivors(ShardId(0)), None, "an ordinary proposal needs its quorum");
        assert_eq!(control.apply_repair(10, &[change(5, 9)], NothingLeft::BeginEmpty), [ShardId(0)]);
        assert_eq!(control.survivors(ShardId(0)).unwrap()[..], []);
        control.apply_commit(Term(1), Term(1), Epoch(10), &[ShardId(0)]);
        assert_eq!(control.survivors(ShardId(0)), None);
        assert_eq!(control.committed().owner(ShardId(0)), Some(NodeId(9)));
        assert_eq!(control.row(ShardId(0)).repaired, Epoch(10));
    }

    #[test]
    fn a_commit_counts_only_for_the_pending_epoch_and_in_its_own_term() {
        let mut control = ShardControl::new(1);
        control.apply_propose(5, &[change(0, 1)]);
        control.apply_propose(6, &[change(0, 2)]);
        assert_eq!(control.apply_commit(Term(1), Term(1), Epoch(5), &[ShardId(0)]), []);
        assert_eq!(control.apply_commit(Term(2), Term(1), Epoch(6), &[ShardId(0)]), []);
        assert_eq!(control.apply_commit(Term(2), Term(2), Epoch(6), &[ShardId(0)]), [ShardId(0)]);
        assert_eq!(control.committed().owner(ShardId(0)), Some(NodeId(2)));
        assert_eq!(control.pendings().len(), 0);
    }
}
