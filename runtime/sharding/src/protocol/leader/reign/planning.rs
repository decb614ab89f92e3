//! What a leader proposes: urgent changes at once, planned ones once they have learnt.

use crate::change::Change;
use crate::ids::{NodeId, Replica, ShardId};
use crate::map::ShardMap;
use crate::plan::{Member, PlanSettings, Planned, Standing, plan_beside};

use super::super::super::control::{Assignment, ShardControl};
use super::super::super::quorum::write_quorum;
use super::super::super::rules::Rules;
use super::super::super::timing::Time;
use super::super::survey::{Case, Plea, count_live};
use super::super::{Alarm, LeaderCommand, Levelling};
use super::{Court, Reign};

impl Reign {
    /// Looks at all shards: returns the urgent changes, and begins planned moves where nothing is urgent.
    pub(super) fn survey<R: Rules>(
        &mut self,
        court: &Court<R>,
        now: Time,
        control: &ShardControl,
        commands: &mut Vec<LeaderCommand>,
    ) -> Vec<Change> {
        let timing = &court.settings.timing;
        self.outlook.surveyed = Some(now);
        self.outlook.stale = false;
        self.forget_pleas(control);
        let members = self.standings(court, now);
        self.rests.see(&members);
        let resting = self.rests.resting(now, timing.cool_down);
        let settings = self.own_settings(court);
        let planned = plan_beside(control.committed(), &members, &court.weights, &settings, &resting);
        let live = std::mem::take(&mut self.outlook.live);
        let nodes = &self.nodes;
        let is_live = |replica: Replica| live.binary_search(&replica.node).is_ok() && nodes.is_on(replica);
        let mut urgent = Vec::new();
        let mut unavailable = Vec::new();
        for shard in control.committed().shards() {
            let plea = self.plea(shard);
            let owner = control.committed().owner_replica(shard);
            let orphan = owner.is_none_or(|owner| !is_live(owner));
            let pending = control.pending(shard);
            if plea.is_none() && pending.is_none() && !orphan {
                let held = control.committed().replicas(shard);
                let needed = write_quorum(held.len());
                if held.filter(|replica| is_live(*replica)).count() < needed {
                    unavailable.push(shard);
                }
                continue;
            }
            let case = Case::of(control, shard, &planned, plea);
            if !case.can_seal(&is_live) {
                unavailable.push(shard);
                continue;
            }
            let hopeless =
                pending.is_some_and(|pending| self.is_hopeless(court, now, shard, pending, &is_live));
            let needed = plea.is_some() || hopeless || (pending.is_none() && orphan);
            if !needed || !self.tries.may(shard, now, timing) {
                continue;
            }
            match case.choose(&is_live, |node| nodes.is_full(node) || court.is_kept_out(node)) {
                Some(change) => {
                    self.tries.note(shard, now);
                    self.pleas.remove(&shard);
                    self.moves.drop_move(shard);
                    self.takeovers.propose(control, &change, &planned);
                    urgent.push(change);
                }
                None if plea.is_none() => unavailable.push(shard),
                None => {}
            }
        }
        self.outlook.live = live;
        if unavailable != self.outlook.unavailable {
            self.outlook.unavailable.clone_from(&unavailable);
            commands.push(LeaderCommand::Alarm(Alarm::Unavailable { shards: unavailable }));
        }
        let (nodes, live) = (&self.nodes, &self.outlook.live);
        let is_live = |replica: Replica| live.binary_search(&replica.node).is_ok() && nodes.is_on(replica);
        self.moves.prune(is_live);
        if urgent.is_empty() {
            let is_calm = |change: &Change| {
                let old = control.committed().owner_replica(change.shard);
                let new = change.replicas.iter().find(|replica| replica.node == change.owner);
                control.pending(change.shard).is_none()
                    && change.base == control.committed().epoch(change.shard)
                    && old.is_some_and(is_live)
                    && new.is_some_and(|new| is_live(*new))
            };
            self.orders.prune(|change| {
                let is_new =
                    |replica: &Replica| control.committed().replicas(change.shard).all(|old| old != *replica);
                is_calm(change)
                    && change.replicas.iter().filter(|replica| is_new(replica)).all(|new| is_live(*new))
            });
            let planned = match self.prospect(control) {
                Some(map) => plan_beside(&map, &members, &court.weights, &settings, &resting),
                None => planned,
            };
            let ordered = self.orders.waiting().iter();
            let is_ordered = |shard: ShardId| ordered.clone().any(|ordered| ordered.change.shard == shard);
            let mut calm: Vec<Planned> = ordered.clone().cloned().collect();
            let own = planned.into_iter().filter(|one| is_calm(&one.change) && !is_ordered(one.change.shard));
            calm.extend(own);
            self.moves.plan(calm);
        }
        urgent
    }

    /// The map as it will be once what is under way is committed: what else is to move is planned beside that. None where nothing is under way.
    pub(super) fn prospect(&self, control: &ShardControl) -> Option<ShardMap> {
        let mut map = None;
        let mut assign = |shard: ShardId, owner: Option<NodeId>, replicas: &[Replica]| {
            let map = map.get_or_insert_with(|| control.committed().clone());
            // Refused is only what no control log takes, either: then the shard stays as it is.
            let _ = map.assign(shard, map.epoch(shard), owner, replicas);
        };
        let ordered = self.orders.waiting().iter().map(|ordered| &ordered.change);
        self.moves
            .changes()
            .chain(ordered)
            .for_each(|change| assign(change.shard, Some(change.owner), &change.replicas));
        control.pendings().for_each(|(shard, pending)| assign(shard, pending.owner, &pending.replicas));
        map
    }

    /// What the leader plans by when nobody has asked it to: no levelling while that is paused, or something else is ordered.
    fn own_settings<R: Rules>(&self, court: &Court<R>) -> PlanSettings {
        let settings = court.settings.plan;
        match court.levelling {
            Levelling::On if self.orders.waiting().is_empty() => settings,
            Levelling::On | Levelling::Paused => PlanSettings { moves_max: Some(0), ..settings },
        }
    }

    /// What the shard's owner has asked for.
    fn plea(&self, shard: ShardId) -> Option<Plea> {
        self.pleas.get(&shard).map(|(_, plea)| *plea)
    }

    /// Forgets what owners have asked for where another epoch is wanted by now.
    fn forget_pleas(&mut self, control: &ShardControl) {
        self.pleas.retain(|shard, (epoch, _)| {
            let wanted =
                control.pending(*shard).map_or(control.committed().epoch(*shard), |pending| pending.epoch);
            wanted == *epoch
        });
    }

    /// Whether a proposal under way should be made anew: its owner or its quorum is silent, or it takes too long.
    fn is_hopeless<R: Rules>(
        &self,
        court: &Court<R>,
        now: Time,
        shard: ShardId,
        pending: &Assignment,
        is_live: &impl Fn(Replica) -> bool,
    ) -> bool {
        let timing = &court.settings.timing;
        let Some(round) = self.rounds.of(shard).filter(|round| round.epoch == pending.epoch) else {
            return false;
        };
        let Some(since) = round.since else { return false };
        if round.committing || round.confirmed {
            return false;
        }
        let Some(owner) = pending.owner else { return true };
        let quiet = now.since(self.nodes.heard(owner)) >= timing.ack_wait;
        let mute = quiet && now.since(since) >= timing.ack_wait && self.nodes.through(owner) < pending.epoch;
        let few = count_live(&pending.replicas, is_live) < write_quorum(pending.replicas.len());
        let dead = !pending.replicas.iter().any(|replica| replica.node == owner && is_live(*replica));
        dead || mute || few || now.since(since) >= self.tries.patience(shard, timing)
    }

    /// The members as the planner is to see them: silence, leave-taking and full disks join what the control state says.
    pub(super) fn standings<R: Rules>(&self, court: &Court<R>, now: Time) -> Vec<Member> {
        let timing = &court.settings.timing;
        let see = |member: &Member| {
            let node = member.replica.node;
            let silence = now.since(self.nodes.heard(node));
            let standing = match member.standing {
                Standing::Gone => Standing::Gone,
                _ if silence >= timing.replica_grace => Standing::Gone,
                _ if silence >= timing.lease => Standing::Silent,
                Standing::Live | Standing::Quarantined | Standing::Unfit if self.nodes.is_leaving(node) => {
                    Standing::Silent
                }
                Standing::Live | Standing::Unfit if self.nodes.is_full(node) => Standing::Full,
                standing => standing,
            };
            // Who was drained and has been stopped since takes nothing on when it comes back.
            let capacity = if member.standing == Standing::Draining { 0 } else { member.capacity };
            Member { standing, capacity, ..*member }
        };
        court.members.iter().map(see).collect()
    }
}
