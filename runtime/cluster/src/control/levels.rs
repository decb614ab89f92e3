//! Which level of formats a command needs: every node must be able to read it before it is written.
//!
//! All of this is matched without wildcards, so that nothing new can be forgotten: what is added to a command, or in it, says here of which level it is.

use shardloom_sharding::ids::NodeId;

use super::access::TokenRole;
use super::command::{ControlCommand, Outcome, Refused};
use super::events::Event;
use super::history::Absence;
use super::member::{Member, MemberStanding};
use super::settings::Setting;
use super::state::ControlState;
use super::versions::VersionChange;
use crate::formats::{self, Level};

impl ControlCommand {
    /// The level of formats that the command needs.
    pub fn level(&self) -> Level {
        match self {
            ControlCommand::Found(_)
            | ControlCommand::UpdateMember { .. }
            | ControlCommand::RemoveMember { .. }
            | ControlCommand::CreateToken { .. }
            | ControlCommand::DropToken { .. }
            | ControlCommand::Commit { .. }
            | ControlCommand::DeployWorkload { .. }
            | ControlCommand::RemoveWorkload { .. }
            | ControlCommand::SetWeigher { .. }
            | ControlCommand::UnsetWeigher
            | ControlCommand::SetWeights { .. }
            | ControlCommand::WeigherFailed { .. }
            | ControlCommand::RepairShards { .. }
            | ControlCommand::RevokeAccessToken { .. }
            | ControlCommand::Note { .. } => Level(1),
            ControlCommand::AddMember { member, .. } => member.standing.level(),
            ControlCommand::SetStanding { standing, .. } => standing.level(),
            ControlCommand::Propose { absent, .. } => highest(absent.values().map(|absence| absence.level())),
            ControlCommand::SetSettings { values } => {
                highest(values.iter().map(|(setting, _)| setting.level()))
            }
            ControlCommand::CreateAccessToken { role, .. } => role.level(),
            ControlCommand::ChangeVersion { change, .. } => change.level(),
            ControlCommand::Audited(audited) => audited.command.level(),
            ControlCommand::RaiseLevel { level, .. } => Level(2).max(*level),
            ControlCommand::Certificates(_)
            | ControlCommand::Quarantine { .. }
            | ControlCommand::Release { .. }
            | ControlCommand::DeployOnLabels { .. } => Level(2),
        }
    }
}

fn highest(levels: impl Iterator<Item = Level>) -> Level {
    levels.max().unwrap_or(Level(1))
}

impl MemberStanding {
    fn level(self) -> Level {
        match self {
            MemberStanding::Pending | MemberStanding::Active | MemberStanding::Draining => Level(1),
        }
    }
}

impl Absence {
    fn level(self) -> Level {
        match self {
            Absence::Silent | Absence::Leaving | Absence::Full => Level(1),
        }
    }
}

impl Setting {
    fn level(self) -> Level {
        match self {
            Setting::Replicas
            | Setting::MovesInFlight
            | Setting::MoveRate
            | Setting::ReplicaGrace
            | Setting::Levelling
            | Setting::BalanceThreshold
            | Setting::CoolDown => Level(1),
            Setting::FlapLimit | Setting::FlapWindow => Level(2),
        }
    }
}

impl TokenRole {
    fn level(self) -> Level {
        match self {
            TokenRole::Reader | TokenRole::Deployer | TokenRole::Admin => Level(1),
        }
    }
}

impl VersionChange {
    fn level(&self) -> Level {
        match self {
            VersionChange::Canary { .. } | VersionChange::Promote | VersionChange::RollBack { .. } => {
                Level(1)
            }
        }
    }
}

impl Event {
    /// The level of formats that the event needs: below it, it is told to nobody, since it would stand in snapshots.
    pub(super) fn level(&self) -> Level {
        match self {
            Event::Founded { .. }
            | Event::MemberJoined { .. }
            | Event::MemberChanged { .. }
            | Event::MemberStanding { .. }
            | Event::MemberRemoved { .. }
            | Event::LeaderChanged { .. }
            | Event::VotersChanged { .. }
            | Event::ShardsProposed { .. }
            | Event::ShardsMoved { .. }
            | Event::ShardsRepaired { .. }
            | Event::Deployed { .. }
            | Event::Undeployed { .. }
            | Event::WeigherSet { .. }
            | Event::WeigherUnset
            | Event::WeigherFailed { .. }
            | Event::WeightsSet { .. }
            | Event::SettingsChanged { .. }
            | Event::TokenCreated { .. }
            | Event::TokenRevoked { .. }
            | Event::CanaryDeployed { .. }
            | Event::Promoted { .. }
            | Event::RolledBack { .. } => Level(1),
            Event::FormatsRaised { .. }
            | Event::CertificatesRotating { .. }
            | Event::CertificatesRotated { .. }
            | Event::NodeQuarantined { .. }
            | Event::NodeReleased { .. } => Level(2),
        }
    }
}

impl ControlState {
    /// The level of formats that the cluster is at.
    pub fn level(&self) -> Level {
        self.later.level
    }

    /// Adds an event, if every node can read it.
    pub(crate) fn tell(&mut self, index: u64, event: Event) {
        if event.level() <= self.level() {
            self.events.add(index, event);
        }
    }

    /// Why the command must not have an effect yet, if that is so. No writer lets it come to that; what raises the level says itself when it may.
    pub(super) fn is_ahead(&self, command: &ControlCommand) -> Option<Refused> {
        let (needs, active) = (command.level(), self.level());
        let raises = matches!(command, ControlCommand::RaiseLevel { .. });
        (needs > active && !raises).then_some(Refused::LevelAhead { needs, active })
    }

    /// Raises the level, if all members read the new one.
    pub(super) fn raise(&mut self, level: Level, proven: &[NodeId]) -> Result<Outcome, Refused> {
        if level <= self.level() {
            return Err(Refused::AlreadyAt { active: self.level() });
        }
        if let Some(node) = self.members.keys().copied().find(|node| !proven.contains(node)) {
            return Err(Refused::NotProven { node, level });
        }
        self.later.level = level;
        Ok(Outcome::Done)
    }

    /// Checks that the build of a node reads what the cluster writes.
    pub fn reads(&self, member: &Member) -> Result<(), Refused> {
        let (reads, active) = (formats::of_labels(&member.labels), self.level());
        if reads < active {
            return Err(Refused::OldBuild { node: member.node, reads, active });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use shardloom_protocol::digest::Digest;
    use shardloom_sharding::ids::Term;

    use super::*;
    use crate::control::{Author, Founding};

    fn founded() -> Option<ControlState> {
        let mut state = None;
        let found = ControlCommand::Found(Box::new(Founding::example()));
        ControlState::apply(&mut state, 1, Term(1), found).0.unwrap();
        state
    }

    fn apply(state: &mut Option<ControlState>, command: ControlCommand) -> Result<Outcome, Refused> {
        ControlState::apply(state, 2, Term(1), command).0
    }

    fn raise(level: u32, proven: &[u64]) -> ControlCommand {
        let proven = proven.iter().copied().map(NodeId).collect();
        ControlCommand::RaiseLevel { level: Level(level), proven }
    }

    #[test]
    fn the_level_rises_once_all_members_have_proven_themselves_and_never_goes_down() {
        let mut state = founded();
        let level = |state: &Option<ControlState>| state.as_ref().unwrap().level();
        let refused = apply(&mut state, raise(2, &[2, 3]));
        assert_eq!(refused, Err(Refused::NotProven { node: NodeId(1), level: Level(2) }));
        assert_eq!(level(&state), Level(1));
        apply(&mut state, raise(2, &[1]).by(Author::Node(NodeId(1)))).unwrap();
        assert_eq!(level(&state), Level(2));
        let told = state.as_ref().unwrap().events.after(1, 9).events;
        assert_eq!(told, [(2, Event::FormatsRaised { level: Level(2) })]);
        for lower in [1, 2] {
            assert_eq!(apply(&mut state, raise(lower, &[1])), Err(Refused::AlreadyAt { active: Level(2) }));
        }
        assert_eq!(level(&state), Level(2));
    }

    #[test]
    fn who_reads_less_than_the_cluster_writes_is_no_member() {
        let mut state = founded();
        let token = Digest([1; 32]);
        let newcomer = |node: u64, reads: Option<u32>| {
            let label = reads.map(|level| (formats::LABEL.to_owned(), level.to_string()));
            Member { node: NodeId(node), labels: label.into_iter().collect(), ..Founding::example().founder }
        };
        let join = |state: &mut Option<ControlState>, member| {
            apply(state, ControlCommand::CreateToken { token, life_s: 9 }).unwrap();
            apply(state, ControlCommand::AddMember { member, token })
        };
        join(&mut state, newcomer(2, None)).unwrap();
        apply(&mut state, raise(2, &[1, 2])).unwrap();
        let old = |node| Err(Refused::OldBuild { node: NodeId(node), reads: Level(1), active: Level(2) });
        assert_eq!(join(&mut state, newcomer(3, None)), old(3));
        assert_eq!(apply(&mut state, ControlCommand::UpdateMember { member: newcomer(2, Some(1)) }), old(2));
        join(&mut state, newcomer(3, Some(2))).unwrap();
        apply(&mut state, ControlCommand::UpdateMember { member: newcomer(2, Some(3)) }).unwrap();
    }

    #[test]
    fn what_is_ahead_of_the_cluster_has_no_effect() {
        let state = founded().unwrap();
        assert_eq!(state.is_ahead(&ControlCommand::UnsetWeigher), None);
        assert_eq!(state.is_ahead(&raise(2, &[])), None);
        let inner = raise(7, &[]);
        assert_eq!((inner.level(), inner.by(Author::Node(NodeId(1))).level()), (Level(7), Level(7)));
        assert_eq!(raise(1, &[]).level(), Level(2), "level 1 knows no such command");
    }
}
