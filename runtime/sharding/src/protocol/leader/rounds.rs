//! The proposals under way: from the seals to the commit, shard by shard.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use crate::ids::{Epoch, NodeId, Replica, ShardId};

use super::super::control::{Assignment, ShardControl};
use super::super::messages::ShardEpoch;
use super::super::quorum::{Seal, Source, choose_source, choose_survivor};
use super::super::rules::Rules;
use super::super::timing::Time;
use super::outbox::Outbox;

/// One shard's way from proposal to commit.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) epoch: Epoch,
    /// When this leader first saw the proposal applied; none while it has only heard of seals.
    pub(super) since: Option<Time>,
    seals: SmallVec<[Seal; 3]>,
    /// All live nodes have sealed, or the wait for them is over.
    go: bool,
    /// When the owner was last told its source.
    asked: Option<Time>,
    /// The owner, in its present boot, has recovered.
    pub(super) confirmed: bool,
    /// The commit is being written.
    pub(super) committing: bool,
}

impl Round {
    fn new(epoch: Epoch) -> Round {
        Round {
            epoch,
            since: None,
            seals: SmallVec::new(),
            go: false,
            asked: None,
            confirmed: false,
            committing: false,
        }
    }
}

/// All rounds of one leader.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    rounds: BTreeMap<ShardId, Round>,
    /// Proposals that still wait for all live nodes: since when, and their shards.
    gathering: BTreeMap<Epoch, (Time, Vec<ShardId>)>,
    /// Confirmed shards whose old owner may still serve.
    pub(super) lingering: BTreeSet<ShardId>,
}

impl Rounds {
    /// The round of a shard.
    pub(super) fn of(&self, shard: ShardId) -> Option<&Round> {
        self.rounds.get(&shard)
    }

    /// The round of a shard, if it is about this epoch.
    pub(super) fn at(&mut self, at: ShardEpoch) -> Option<&mut Round> {
        self.rounds.get_mut(&at.shard).filter(|round| round.epoch == at.epoch)
    }

    /// Follows the applied control state.
    pub(super) fn follow(&mut self, now: Time, control: &ShardControl, shard: ShardId) {
        let Some(Assignment { epoch, .. }) = control.pending(shard) else {
            // A round above the committed epoch has heard of seals before the proposal is applied here.
            if self.rounds.get(&shard).is_some_and(|round| round.epoch <= control.committed().epoch(shard)) {
                self.rounds.remove(&shard);
            }
            self.lingering.remove(&shard);
            return;
        };
        let round = self.rounds.entry(shard).or_insert_with(|| Round::new(*epoch));
        if round.epoch < *epoch {
            *round = Round::new(*epoch);
            self.lingering.remove(&shard);
        }
        if round.epoch == *epoch && round.since.is_none() {
            round.since = Some(now);
            self.gathering.entry(*epoch).or_insert((now, Vec::new())).1.push(shard);
        }
    }

    /// Notes a seal; it may be of a proposal that is not applied here yet.
    pub(super) fn sealed(&mut self, at: ShardEpoch, seal: Seal) {
        let round = self.rounds.entry(at.shard).or_insert_with(|| Round::new(at.epoch));
        if round.epoch < at.epoch {
            *round = Round::new(at.epoch);
        }
        if round.epoch == at.epoch {
            round.seals.retain(|known| known.replica != seal.replica);
            round.seals.push(seal);
        }
    }

    /// Ends the wait for seals where it is over; returns the shards that may go on.
    pub(super) fn gathered(&mut self, is_over: impl Fn(Epoch, Time) -> bool) -> Vec<ShardId> {
        let over = self.gathering.extract_if(.., |epoch, (since, _)| is_over(*epoch, *since));
        let mut shards = Vec::new();
        for (epoch, (_, list)) in over {
            for shard in list {
                if let Some(round) = self.rounds.get_mut(&shard).filter(|round| round.epoch == epoch) {
                    round.go = true;
                    shards.push(shard);
                }
            }
        }
        shards
    }

    /// Names the source to the new owner, if the seals suffice and it has not been told.
    pub(super) fn recover<R: Rules>(
        &mut self,
        rules: R,
        now: Time,
        control: &ShardControl,
        shard: ShardId,
        out: &mut Outbox,
    ) {
        let Some(pending) = control.pending(shard) else { return };
        let at = ShardEpoch { shard, epoch: pending.epoch };
        let Some(round) = self.at(at).filter(|round| round.go && round.asked.is_none()) else { return };
        let Some(owner) = pending.owner else { return };
        let committed: SmallVec<[Replica; 5]> = control.committed().replicas(shard).collect();
        let source = match (choose_source(rules, &committed, &round.seals, owner), control.survivors(shard)) {
            // An operator has accepted that the others are lost, and with them whatever they alone have acknowledged.
            (Source::NotYet, Some(survivors)) => choose_survivor(&survivors, &round.seals),
            (source, _) => source,
        };
        let source = match source {
            Source::NotYet => return,
            Source::Nothing => None,
            Source::Copy(replica) => Some(replica),
        };
        round.asked = Some(now);
        out.recover(owner, at, source);
    }

    /// Lets owners be told again that have not confirmed for long; returns their shards.
    pub(super) fn forgotten(&mut self, is_stale: impl Fn(Time) -> bool) -> Vec<ShardId> {
        let mut shards = Vec::new();
        for (shard, round) in &mut self.rounds {
            if !round.confirmed && round.asked.is_some_and(&is_stale) {
                round.asked = None;
                shards.push(*shard);
            }
        }
        shards
    }
}

/// Who must not serve any more before a shard is committed to another.
pub(super) fn old_owner(control: &ShardControl, shard: ShardId) -> Option<NodeId> {
    control.committed().owner(shard)
}
