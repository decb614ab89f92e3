//! The control state: what the control log says once it is applied. The same on every node, at the same index.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shardloom_protocol::digest::Digest;
use shardloom_sharding::ids::{Epoch, NodeId, ShardId, Term};
use shardloom_sharding::map_codec::decode_changes;
use shardloom_sharding::plan::WEIGHT_MAX;
use shardloom_sharding::protocol::control::{Assignment, ShardControl};

use super::access::AccessTokens;
use super::audit::{AuditEntry, AuditLog, about};
use super::command::{Audited, ControlCommand, Founding, Outcome, Refused};
use super::events::{Event, EventRing, ranges};
use super::exclusions::Labels;
use super::history::{self, Absence, Circumstances, History};
use super::later::Later;
use super::member::Member;
use super::settings::Settings;
use super::tell;
use super::versions::Workload;

/// The weigher that is plugged in, and how it fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeigherState {
    /// Digest of its component.
    pub component: Digest,
    /// Index of the entry with its last weights; 0 before the first.
    pub weights_since: u64,
    /// Why its last run failed, if it did.
    pub alarm: Option<String>,
}

/// Everything that the control log decides, for a cluster that has been founded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ControlState {
    /// What was fixed when the cluster was made.
    pub founding: Founding,
    /// All members, the pending ones included.
    pub members: BTreeMap<NodeId, Member>,
    /// Identities that were removed: never to come back.
    pub removed: BTreeSet<NodeId>,
    /// Join tokens that are out, by the digest of their secret, and for how many seconds each is good.
    pub tokens: BTreeMap<Digest, u32>,
    /// Deployed workloads.
    pub workloads: BTreeMap<String, Workload>,
    /// Versions of names that are not deployed now, so that a version never comes twice.
    pub retired: BTreeMap<String, u64>,
    /// The weigher, if one is plugged in.
    pub weigher: Option<WeigherState>,
    /// One weight a shard.
    pub weights: Vec<u32>,
    /// Shard maps: committed and pending.
    pub shards: ShardControl,
    /// What operators have set.
    pub settings: Settings,
    /// Shard functions (none: the built-in one) that names ran under which are not deployed now: what such a name has left on shards is where this
    /// function put it.
    pub left_by: BTreeMap<String, Option<Digest>>,
    /// Who may do what through the API.
    pub access: AccessTokens,
    /// Who changed what.
    pub audit: AuditLog,
    /// What has happened.
    pub events: EventRing,
    /// Why shards are where they are.
    pub history: History,
    /// What levels of formats above the first have added. A snapshot has it behind everything else, once the cluster is at such a level.
    #[serde(skip)]
    pub later: Later,
}

/// What an entry changed: shards whose assignment differs now, for the protocol's shells.
pub type ChangedShards = Vec<ShardId>;

impl ControlState {
    fn found(index: u64, founding: Founding) -> ControlState {
        let founder = founding.founder.clone();
        ControlState {
            members: BTreeMap::from([(founder.node, founder)]),
            removed: BTreeSet::new(),
            tokens: BTreeMap::new(),
            workloads: BTreeMap::new(),
            retired: BTreeMap::new(),
            weigher: None,
            weights: vec![1; founding.shard_count as usize],
            shards: ShardControl::new(founding.shard_count),
            settings: Settings::founded(founding.replicas),
            left_by: BTreeMap::new(),
            access: AccessTokens::founded(founding.admin_token, index),
            audit: AuditLog::default(),
            events: EventRing::default(),
            history: History::default(),
            later: Later::default(),
            founding,
        }
    }

    /// Applies one entry to the state of a cluster that may not exist yet. Deterministic: every node comes to the same result.
    pub fn apply(
        state: &mut Option<ControlState>,
        index: u64,
        term: Term,
        command: ControlCommand,
    ) -> (Result<Outcome, Refused>, ChangedShards) {
        let (audit, command) = match command {
            ControlCommand::Audited(audited) => {
                let Audited { by, at_unix_ms, command } = *audited;
                (about(&command).map(|about| ((by, at_unix_ms), about)), command)
            }
            command => (None, command),
        };
        let event = tell::expected(&command);
        let ahead = state.as_ref().and_then(|state| state.is_ahead(&command));
        let (outcome, changed) = match ahead {
            Some(ahead) => (Err(ahead), ChangedShards::new()),
            None => ControlState::decide(state, index, term, command),
        };
        if let Some(state) = state {
            if let Some((who, about)) = audit {
                state.audit.add(AuditEntry::new(index, who, about, &outcome));
            }
            if let Some(event) = event.and_then(|event| tell::happened(event, &outcome)) {
                state.tell(index, event);
            }
        }
        (outcome, changed)
    }

    fn decide(
        state: &mut Option<ControlState>,
        index: u64,
        term: Term,
        command: ControlCommand,
    ) -> (Result<Outcome, Refused>, ChangedShards) {
        let mut changed = ChangedShards::new();
        let outcome = match (state.as_mut(), command) {
            (None, ControlCommand::Found(founding)) => {
                *state = Some(ControlState::found(index, *founding));
                Ok(Outcome::Done)
            }
            (None, _) => Err(Refused::NotFounded),
            (Some(_), ControlCommand::Found(_)) => Err(Refused::AlreadyFounded),
            (Some(state), ControlCommand::Propose { changes, absent }) => match decode_changes(&changes) {
                Ok(changes) => {
                    changed = state.shards.apply_propose(index, &changes);
                    state.give_reasons(&changed, &absent, false);
                    let shards = ranges(changed.iter().copied());
                    if !shards.is_empty() {
                        state.tell(index, Event::ShardsProposed { epoch: Epoch(index), shards });
                    }
                    Ok(Outcome::Done)
                }
                Err(error) => Err(Refused::Malformed { reason: error.to_string() }),
            },
            (Some(state), ControlCommand::Commit { epoch, term: decided_in, shards }) => {
                let before: BTreeMap<ShardId, Assignment> =
                    shards.iter().map(|shard| (*shard, state.shards.row(*shard).committed)).collect();
                changed = state.shards.apply_commit(term, decided_in, epoch, &shards);
                for shard in &changed {
                    let after = state.shards.row(*shard).committed;
                    state.history.committed(index, *shard, &before[shard], &after);
                }
                if let Some(moved) = tell::moved(epoch, &before, state.shards.committed(), &changed) {
                    state.tell(index, moved);
                }
                Ok(Outcome::Done)
            }
            (Some(state), ControlCommand::RepairShards { changes, nothing_left }) => {
                match decode_changes(&changes) {
                    Ok(changes) => {
                        changed = state.shards.apply_repair(index, &changes, nothing_left);
                        state.give_reasons(&changed, &BTreeMap::new(), true);
                        let shards = ranges(changed.iter().copied());
                        state.tell(index, Event::ShardsRepaired { epoch: Epoch(index), shards });
                        tracing::warn!(index, ?nothing_left, shards = ?changed,
                            "an operator has accepted the loss of data in these shards");
                        Ok(Outcome::Done)
                    }
                    Err(error) => Err(Refused::Malformed { reason: error.to_string() }),
                }
            }
            (Some(state), command) => state.apply_other(index, command),
        };
        (outcome, changed)
    }

    fn apply_other(&mut self, index: u64, command: ControlCommand) -> Result<Outcome, Refused> {
        match command {
            ControlCommand::Found(_)
            | ControlCommand::Propose { .. }
            | ControlCommand::Commit { .. }
            | ControlCommand::RepairShards { .. } => Err(Refused::AlreadyFounded),
            ControlCommand::Audited(_) => {
                Err(Refused::Malformed { reason: "an entry is recorded twice over".into() })
            }
            ControlCommand::Note { refused: None, .. } => Ok(Outcome::Done),
            ControlCommand::Note { refused: Some(reason), .. } => Err(Refused::Noted { reason }),
            ControlCommand::AddMember { member, token } => self.add_member(member, token),
            ControlCommand::UpdateMember { member } => self.update_member(member),
            ControlCommand::SetStanding { node, standing } => {
                self.member_mut(node)?.standing = standing;
                Ok(Outcome::Done)
            }
            ControlCommand::RemoveMember { node, force } => self.remove_member(node, force),
            ControlCommand::CreateToken { token, life_s } => {
                self.check_no_switch()?;
                self.tokens.insert(token, life_s);
                Ok(Outcome::Done)
            }
            ControlCommand::DropToken { token } => {
                self.tokens.remove(&token);
                Ok(Outcome::Done)
            }
            ControlCommand::DeployWorkload { name, spec, replaces } => {
                self.deploy(index, name, spec, replaces, Labels::new())
            }
            ControlCommand::DeployOnLabels { name, spec, replaces, labels } => {
                self.deploy(index, name, *spec, replaces, labels)
            }
            ControlCommand::RemoveWorkload { name } => match self.workloads.remove(&name) {
                Some(workload) => {
                    self.later.exclusions.require(&name, Labels::new());
                    self.retired.insert(name.clone(), workload.newest);
                    self.left_by.insert(name, workload.current.spec.shard_function);
                    Ok(Outcome::Done)
                }
                None => Err(Refused::UnknownWorkload { name }),
            },
            ControlCommand::SetWeigher { component } => {
                self.weigher = Some(WeigherState { component, weights_since: 0, alarm: None });
                Ok(Outcome::Done)
            }
            ControlCommand::UnsetWeigher => {
                self.weigher = None;
                self.weights.fill(1);
                Ok(Outcome::Done)
            }
            ControlCommand::SetWeights { component, weights } => self.set_weights(index, component, weights),
            ControlCommand::WeigherFailed { component, reason } => {
                let weigher = self.weigher_mut(component)?;
                weigher.alarm = Some(reason);
                Ok(Outcome::Done)
            }
            ControlCommand::SetSettings { values } => match self.settings.set(&values) {
                Ok(()) => Ok(Outcome::Done),
                Err(bad) => Err(Refused::BadSetting { reason: bad.to_string() }),
            },
            ControlCommand::CreateAccessToken { name, role, digest } => {
                self.access.create(name, role, digest, index)?;
                Ok(Outcome::Done)
            }
            ControlCommand::RevokeAccessToken { name } => {
                self.access.revoke(&name)?;
                Ok(Outcome::Done)
            }
            ControlCommand::ChangeVersion { name, base, change } => {
                self.change_version(index, name, base, change)
            }
            ControlCommand::RaiseLevel { level, proven } => self.raise(level, &proven),
            ControlCommand::Certificates(change) => self.change_certificates(index, *change),
            ControlCommand::Quarantine { node, reason } => {
                self.member_mut(node)?;
                self.later.exclusions.begin(index, node, reason, &self.members)?;
                Ok(Outcome::Done)
            }
            ControlCommand::Release { node } => {
                self.member_mut(node)?;
                self.later.exclusions.end(node)?;
                Ok(Outcome::Done)
            }
        }
    }

    /// Notes why these shards are to change, before it is forgotten how things stood.
    fn give_reasons(&mut self, changed: &[ShardId], absent: &BTreeMap<NodeId, Absence>, repair: bool) {
        let newcomers = history::newcomers(&self.members, self.shards.committed());
        let (members, exclusions) = (&self.members, &self.later.exclusions);
        let at = Circumstances { members, newcomers: &newcomers, absent, exclusions, repair };
        for shard in changed {
            let row = self.shards.row(*shard);
            if let Some(pending) = &row.pending {
                self.history.proposed(*shard, history::reasons(&row.committed, pending, &at));
            }
        }
    }

    pub(super) fn member_mut(&mut self, node: NodeId) -> Result<&mut Member, Refused> {
        self.members.get_mut(&node).ok_or(Refused::UnknownNode { node })
    }

    fn weigher_mut(&mut self, component: Digest) -> Result<&mut WeigherState, Refused> {
        self.weigher.as_mut().filter(|w| w.component == component).ok_or(Refused::WeigherReplaced)
    }

    fn add_member(&mut self, member: Member, token: Digest) -> Result<Outcome, Refused> {
        let node = member.node;
        self.reads(&member)?;
        if self.members.contains_key(&node) || self.removed.contains(&node) {
            return Err(Refused::DuplicateNode { node });
        }
        self.check_no_switch()?;
        if self.tokens.remove(&token).is_none() {
            return Err(Refused::UnknownToken);
        }
        self.members.insert(node, member);
        Ok(Outcome::Done)
    }

    fn update_member(&mut self, member: Member) -> Result<Outcome, Refused> {
        self.reads(&member)?;
        let known = self.member_mut(member.node)?;
        let standing = known.standing;
        *known = Member { standing, ..member };
        Ok(Outcome::Done)
    }

    fn remove_member(&mut self, node: NodeId, force: bool) -> Result<Outcome, Refused> {
        self.member_mut(node)?;
        let shards = self.shards_kept_by(node);
        if shards > 0 && !force {
            return Err(Refused::HoldsData { node, shards });
        }
        self.members.remove(&node);
        self.removed.insert(node);
        self.forget_certificate(node);
        self.later.exclusions.forget(node);
        Ok(Outcome::Done)
    }

    /// How many shards count the node among their committed replicas.
    pub fn shards_kept_by(&self, node: NodeId) -> u32 {
        let map = self.shards.committed();
        (0..map.shard_count()).filter(|&s| map.replicas(ShardId(s)).any(|r| r.node == node)).count() as u32
    }

    fn set_weights(&mut self, index: u64, component: Digest, weights: Vec<u32>) -> Result<Outcome, Refused> {
        let expected = self.founding.shard_count as usize;
        let weigher = self.weigher_mut(component)?;
        // The weigher's run has checked that; the log, which the planner goes by, checks it whoever wrote it.
        let wrong = if weights.len() != expected {
            Some(format!("{} weights for {expected} shards", weights.len()))
        } else {
            let huge = weights.iter().find(|weight| **weight > WEIGHT_MAX);
            huge.map(|weight| format!("a weight of {weight}; at most {WEIGHT_MAX} is taken"))
        };
        if let Some(reason) = wrong {
            weigher.alarm = Some(reason.clone());
            return Err(Refused::Malformed { reason });
        }
        weigher.weights_since = index;
        weigher.alarm = None;
        self.weights = weights;
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use shardloom_protocol::workload::{WorkloadLimits, WorkloadSpec};

    use super::*;
    use crate::control::VersionChange;

    /// Applies one command as the next entry.
    fn apply(
        state: &mut Option<ControlState>,
        index: u64,
        command: ControlCommand,
    ) -> Result<Outcome, Refused> {
        ControlState::apply(state, index, Term(1), command).0
    }

    fn founded() -> Option<ControlState> {
        let mut state = None;
        apply(&mut state, 1, ControlCommand::Found(Box::new(Founding::example()))).unwrap();
        state
    }

    #[test]
    fn a_name_that_is_not_deployed_any_more_is_remembered_with_its_shard_function() {
        let mut state = founded();
        let spec = |shard_function| WorkloadSpec {
            component: Digest([1; 32]),
            shard_function,
            config: BTreeMap::new(),
            limits: WorkloadLimits::default(),
            http: None,
            grants: Vec::new(),
        };
        let deploy = |function, replaces| ControlCommand::DeployWorkload {
            name: "w".into(),
            spec: spec(function),
            replaces,
        };
        let function = Some(Digest([2; 32]));
        let left_by = |state: &Option<ControlState>| state.as_ref().unwrap().left_by.clone();
        apply(&mut state, 2, deploy(function, 0)).unwrap();
        assert!(left_by(&state).is_empty());
        apply(&mut state, 3, ControlCommand::RemoveWorkload { name: "w".into() }).unwrap();
        assert_eq!(left_by(&state), BTreeMap::from([("w".to_owned(), function)]));
        apply(&mut state, 4, deploy(None, 0)).unwrap();
        assert!(left_by(&state).is_empty());
    }

    #[test]
    fn weights_that_are_too_few_or_too_large_leave_the_old_ones_and_an_alarm() {
        let mut state = founded();
        let component = Digest([3; 32]);
        apply(&mut state, 2, ControlCommand::SetWeigher { component }).unwrap();
        let count = state.as_ref().unwrap().weights.len();
        let set = |weights| ControlCommand::SetWeights { component, weights };
        apply(&mut state, 3, set(vec![WEIGHT_MAX; count])).unwrap();
        for (index, wrong) in [(4, vec![1; count - 1]), (5, vec![WEIGHT_MAX + 1; count])] {
            assert!(matches!(apply(&mut state, index, set(wrong)), Err(Refused::Malformed { .. })));
            let state = state.as_ref().unwrap();
            assert_eq!(state.weights, vec![WEIGHT_MAX; count]);
            assert!(state.weigher.as_ref().unwrap().alarm.is_some());
        }
    }

    #[test]
    fn a_change_of_versions_goes_by_the_one_before_it_and_a_canary_is_on_its_shards() {
        let mut state = founded();
        let spec = WorkloadSpec {
            component: Digest([1; 32]),
            shard_function: None,
            config: BTreeMap::new(),
            limits: WorkloadLimits::default(),
            http: None,
            grants: Vec::new(),
        };
        let change = |base, change| ControlCommand::ChangeVersion { name: "w".into(), base, change };
        let back = || VersionChange::RollBack { to: None };
        assert!(matches!(apply(&mut state, 2, change(0, back())), Err(Refused::UnknownWorkload { .. })));
        let deploy =
            |replaces| ControlCommand::DeployWorkload { name: "w".into(), spec: spec.clone(), replaces };
        apply(&mut state, 3, deploy(0)).unwrap();
        assert!(matches!(apply(&mut state, 4, deploy(0)), Err(Refused::DeployConflict { version: 1, .. })));
        let canary = || VersionChange::Canary { spec: Box::new(spec.clone()), share: "50%".parse().unwrap() };
        assert_eq!(apply(&mut state, 5, change(3, canary())), Ok(Outcome::Deployed { version: 2 }));
        let found = &state.as_ref().unwrap().workloads["w"];
        assert_eq!((found.canary.as_ref().unwrap().shards.len(), found.activation), (2, 5));
        assert!(matches!(apply(&mut state, 6, change(3, back())), Err(Refused::DeployConflict { .. })));
        assert!(matches!(apply(&mut state, 6, deploy(5)), Err(Refused::Version { .. })));
        assert_eq!(apply(&mut state, 7, change(5, back())), Ok(Outcome::Deployed { version: 1 }));
        apply(&mut state, 8, ControlCommand::RemoveWorkload { name: "w".into() }).unwrap();
        assert_eq!(apply(&mut state, 9, deploy(0)), Ok(Outcome::Deployed { version: 3 }), "none comes twice");
    }
}
