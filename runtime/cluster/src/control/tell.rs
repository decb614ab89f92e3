//! What an entry of the control log tells as an event.

use std::collections::BTreeMap;

use shardloom_sharding::ids::{Epoch, NodeId, ShardId};
use shardloom_sharding::map::ShardMap;
use shardloom_sharding::protocol::control::Assignment;

use super::command::{ControlCommand, Outcome, Refused};
use super::events::{Event, Moved, ranges};
use super::versions::VersionChange;

/// What has happened if the command takes effect; those of shards say so themselves, since it depends on what they build on.
pub(super) fn expected(command: &ControlCommand) -> Option<Event> {
    Some(match command {
        ControlCommand::Found(founding) => Event::Founded { shard_count: founding.shard_count },
        ControlCommand::AddMember { member, .. } => {
            Event::MemberJoined { node: member.node, standing: member.standing }
        }
        ControlCommand::UpdateMember { member } => Event::MemberChanged { node: member.node },
        ControlCommand::SetStanding { node, standing } => {
            Event::MemberStanding { node: *node, standing: *standing }
        }
        ControlCommand::RemoveMember { node, .. } => Event::MemberRemoved { node: *node },
        ControlCommand::DeployOnLabels { name, spec, .. } => {
            Event::Deployed { name: name.clone(), version: 0, component: spec.component }
        }
        ControlCommand::DeployWorkload { name, spec, .. } => {
            Event::Deployed { name: name.clone(), version: 0, component: spec.component }
        }
        ControlCommand::ChangeVersion { name, change, .. } => changed(name.clone(), change),
        ControlCommand::RemoveWorkload { name } => Event::Undeployed { name: name.clone() },
        ControlCommand::SetWeigher { component } => Event::WeigherSet { component: *component },
        ControlCommand::UnsetWeigher => Event::WeigherUnset,
        ControlCommand::SetWeights { component, .. } => Event::WeightsSet { component: *component },
        ControlCommand::WeigherFailed { component, reason } => {
            Event::WeigherFailed { component: *component, reason: reason.clone() }
        }
        ControlCommand::SetSettings { values } => Event::SettingsChanged { values: values.clone() },
        ControlCommand::CreateAccessToken { name, role, .. } => {
            Event::TokenCreated { name: name.clone(), role: *role }
        }
        ControlCommand::RevokeAccessToken { name } => Event::TokenRevoked { name: name.clone() },
        ControlCommand::RaiseLevel { level, .. } => Event::FormatsRaised { level: *level },
        ControlCommand::Quarantine { node, reason } => {
            Event::NodeQuarantined { node: *node, reason: reason.clone() }
        }
        ControlCommand::Release { node } => Event::NodeReleased { node: *node },
        ControlCommand::CreateToken { .. }
        | ControlCommand::DropToken { .. }
        | ControlCommand::Propose { .. }
        | ControlCommand::Commit { .. }
        | ControlCommand::RepairShards { .. }
        | ControlCommand::Audited(_)
        | ControlCommand::Certificates(_)
        | ControlCommand::Note { .. } => return None,
    })
}

/// What becomes of a workload's versions; which one, the outcome tells.
fn changed(name: String, change: &VersionChange) -> Event {
    match change {
        VersionChange::Canary { spec, share } => {
            Event::CanaryDeployed { name, version: 0, component: spec.component, share: *share }
        }
        VersionChange::Promote => Event::Promoted { name, version: 0 },
        VersionChange::RollBack { .. } => Event::RolledBack { name, version: 0 },
    }
}

/// What has happened, now that the outcome is known.
pub(super) fn happened(event: Event, outcome: &Result<Outcome, Refused>) -> Option<Event> {
    match (event, outcome) {
        (_, Err(_)) => None,
        (Event::Deployed { name, component, .. }, Ok(Outcome::Deployed { version })) => {
            Some(Event::Deployed { name, component, version: *version })
        }
        (Event::CanaryDeployed { name, component, share, .. }, Ok(Outcome::Deployed { version })) => {
            Some(Event::CanaryDeployed { name, component, share, version: *version })
        }
        (Event::Promoted { name, .. }, Ok(Outcome::Deployed { version })) => {
            Some(Event::Promoted { name, version: *version })
        }
        (Event::RolledBack { name, .. }, Ok(Outcome::Deployed { version })) => {
            Some(Event::RolledBack { name, version: *version })
        }
        (event, Ok(_)) => Some(event),
    }
}

/// Who owns the shards that a commit has changed, and who did; nothing if it has changed none.
pub(super) fn moved(
    epoch: Epoch,
    before: &BTreeMap<ShardId, Assignment>,
    after: &ShardMap,
    changed: &[ShardId],
) -> Option<Event> {
    let mut ways: BTreeMap<(Option<NodeId>, Option<NodeId>), Vec<ShardId>> = BTreeMap::new();
    for shard in changed {
        let from = before.get(shard).and_then(|before| before.owner);
        ways.entry((from, after.owner(*shard))).or_default().push(*shard);
    }
    let moves: Vec<Moved> =
        ways.into_iter().map(|((from, to), shards)| Moved { from, to, shards: ranges(shards) }).collect();
    (!moves.is_empty()).then_some(Event::ShardsMoved { epoch, moves })
}

#[cfg(test)]
mod tests {
    use shardloom_protocol::digest::Digest;
    use shardloom_sharding::change::Change;
    use shardloom_sharding::ids::{DiskId, Replica, Term};
    use shardloom_sharding::map_codec::encode_changes;

    use super::*;
    use crate::control::events::ShardRange;
    use crate::control::{Author, ControlState, Founding, MemberStanding};

    fn founded() -> Option<ControlState> {
        let mut state = None;
        let found = ControlCommand::Found(Box::new(Founding::example())).by(Author::Node(NodeId(1)));
        ControlState::apply(&mut state, 1, Term(1), found).0.unwrap();
        state
    }

    fn events(state: &Option<ControlState>, since: u64) -> Vec<(u64, Event)> {
        state.as_ref().unwrap().events.after(since, usize::MAX).events
    }

    fn propose(shards: &[u32], base: u64, node: u64) -> ControlCommand {
        let replica = Replica { node: NodeId(node), disk: DiskId(100 + node) };
        let change = |shard: &u32| Change {
            shard: ShardId(*shard),
            base: Epoch(base),
            owner: NodeId(node),
            replicas: [replica].into_iter().collect(),
        };
        let changes: Vec<Change> = shards.iter().map(change).collect();
        ControlCommand::Propose { changes: encode_changes(&changes).unwrap().into(), absent: BTreeMap::new() }
    }

    #[test]
    fn a_change_of_shards_is_told_when_it_is_proposed_and_by_whose_it_was_when_it_is_committed() {
        let mut state = founded();
        let mut apply = |index, command| ControlState::apply(&mut state, index, Term(1), command).0.unwrap();
        apply(2, propose(&[0, 1, 3], 0, 1));
        apply(
            3,
            ControlCommand::Commit { epoch: Epoch(2), term: Term(1), shards: [0, 1, 3].map(ShardId).into() },
        );
        apply(4, propose(&[3], 2, 2));
        // Void: decided in another term. Nothing has happened.
        apply(5, ControlCommand::Commit { epoch: Epoch(4), term: Term(9), shards: vec![ShardId(3)] });
        apply(6, ControlCommand::Commit { epoch: Epoch(4), term: Term(1), shards: vec![ShardId(3)] });
        let range = |first, last| ShardRange { first: ShardId(first), last: ShardId(last) };
        let moved = |from: Option<u64>, to: u64, shards| Moved {
            from: from.map(NodeId),
            to: Some(NodeId(to)),
            shards,
        };
        let first = vec![range(0, 1), range(3, 3)];
        assert_eq!(
            events(&state, 1),
            [
                (2, Event::ShardsProposed { epoch: Epoch(2), shards: first.clone() }),
                (3, Event::ShardsMoved { epoch: Epoch(2), moves: vec![moved(None, 1, first)] }),
                (4, Event::ShardsProposed { epoch: Epoch(4), shards: vec![range(3, 3)] }),
                (
                    6,
                    Event::ShardsMoved { epoch: Epoch(4), moves: vec![moved(Some(1), 2, vec![range(3, 3)])] }
                ),
            ]
        );
    }

    #[test]
    fn what_is_refused_is_no_event_but_in_the_audit_with_its_reason() {
        let mut state = founded();
        let drain =
            |node| ControlCommand::SetStanding { node: NodeId(node), standing: MemberStanding::Draining };
        let ci = || Author::Token("ci".into());
        let mut apply = |index, command| ControlState::apply(&mut state, index, Term(1), command).0;
        apply(2, drain(1).by(ci())).unwrap();
        apply(3, drain(9).by(ci())).unwrap_err();
        let note = |refused| ControlCommand::Note { what: "step down".into(), digest: None, refused };
        apply(4, note(None).by(ci())).unwrap();
        apply(5, note(Some("nobody else can".into())).by(ci())).unwrap_err();
        apply(6, drain(1).by(ci()).by(Author::Node(NodeId(1)))).unwrap_err();
        assert_eq!(
            events(&state, 1),
            [(2, Event::MemberStanding { node: NodeId(1), standing: MemberStanding::Draining })]
        );
        let audit = &state.as_ref().unwrap().audit;
        let told: Vec<_> = audit
            .after(0)
            .map(|entry| {
                (entry.index, entry.by.to_string(), entry.outcome.as_ref().err().map(String::as_str))
            })
            .collect();
        let by = |name: &str| name.to_owned();
        assert_eq!(
            told,
            [
                (1, by("node 0000000000000001"), None),
                (2, by("ci"), None),
                (3, by("ci"), Some("no node 0000000000000009 in this cluster: `shardloom nodes` lists them")),
                (4, by("ci"), None),
                (5, by("ci"), Some("nobody else can")),
            ]
        );
    }

    #[test]
    fn a_deploy_and_a_rollback_are_told_with_their_versions() {
        let mut state = founded();
        let component = Digest([3; 32]);
        let spec = shardloom_protocol::workload::WorkloadSpec {
            component,
            shard_function: None,
            config: BTreeMap::new(),
            limits: shardloom_protocol::workload::WorkloadLimits::default(),
            http: None,
            grants: Vec::new(),
        };
        let deploy =
            |replaces| ControlCommand::DeployWorkload { name: "w".into(), spec: spec.clone(), replaces };
        ControlState::apply(&mut state, 2, Term(1), deploy(0)).0.unwrap();
        ControlState::apply(&mut state, 3, Term(1), deploy(0)).0.unwrap_err();
        ControlState::apply(&mut state, 4, Term(1), deploy(2)).0.unwrap();
        let (name, change) = ("w".to_owned(), VersionChange::RollBack { to: None });
        let back = ControlCommand::ChangeVersion { name: name.clone(), base: 4, change };
        ControlState::apply(&mut state, 5, Term(1), back).0.unwrap();
        let told = |version| Event::Deployed { name: "w".into(), version, component };
        let back = Event::RolledBack { name, version: 1 };
        assert_eq!(events(&state, 1), [(2, told(1)), (4, told(2)), (5, back)]);
    }
}
