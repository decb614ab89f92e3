//! A rotation of the nodes' certificates, to ones by another authority: a state machine in the control log.
//!
//! | phase | each node | who is trusted, who signs newcomers |
//! |---|---|---|
//! | introduce | has a key and a certificate by the next authority on its disk, and trusts both authorities | both; the old one |
//! | switch | shows the new certificate, and has closed what it dialled with the old one | both; nobody |
//! | retire | trusts the new authority alone, and has closed whatever was let in by the old one | the new one |
//!
//! A phase ends when every member has confirmed it, so a node is never shown what it does not trust. Only then is the next one
//! entered, by an entry that the leader writes and that is void where somebody is still waited for: a rotation goes on after any
//! change of leader and any restart. Whoever is removed is waited for no more.

use std::collections::BTreeMap;

use shardloom_sharding::ids::NodeId;

use super::certificates::{Authority, CertificateChange, Rotation, RotationPhase};
use super::command::{Outcome, Refused};
use super::events::Event;
use super::state::ControlState;

impl ControlState {
    /// The certificate of the authority in force.
    pub fn ca_certificate(&self) -> &str {
        let in_force = self.later.certificates.in_force.as_ref();
        in_force.map_or(&self.founding.ca_certificate, |authority| &authority.certificate)
    }

    /// The key of the authority in force.
    pub fn ca_key(&self) -> &str {
        self.later.certificates.in_force.as_ref().map_or(&self.founding.ca_key, |authority| &authority.key)
    }

    /// Members that have yet to confirm the phase of the rotation under way.
    pub fn certificates_wait_for(&self) -> Vec<NodeId> {
        let Some(rotation) = &self.later.certificates.rotation else { return Vec::new() };
        // A node that has joined since the old authority signs no more has nothing of it to give up.
        let concerned = |node: &NodeId| {
            rotation.phase != RotationPhase::Retire || self.later.certificates.shown.contains_key(node)
        };
        let members = self.members.keys().filter(|node| concerned(node));
        members.filter(|node| !rotation.confirmed.contains_key(node)).copied().collect()
    }

    /// Whether nodes can join, and tokens be made for them.
    ///
    /// # Errors
    ///
    /// The nodes are switching to new certificates: newcomers could not talk to all of them.
    pub fn check_no_switch(&self) -> Result<(), Refused> {
        match &self.later.certificates.rotation {
            Some(Rotation { phase: RotationPhase::Switch, .. }) => Err(rotation_says(
                "the nodes are switching to new certificates, so nobody can join now: try again when \
                 `shardloom certificates` says that they all have",
            )),
            _ => Ok(()),
        }
    }

    /// A member is gone.
    pub(super) fn forget_certificate(&mut self, node: NodeId) {
        self.later.certificates.shown.remove(&node);
        if let Some(rotation) = &mut self.later.certificates.rotation {
            rotation.confirmed.remove(&node);
        }
    }

    pub(super) fn change_certificates(
        &mut self,
        index: u64,
        change: CertificateChange,
    ) -> Result<Outcome, Refused> {
        match change {
            CertificateChange::Begin(next) => self.begin_rotation(index, next)?,
            CertificateChange::Confirm { rotation, phase, node, fingerprint } => {
                self.member_mut(node)?;
                self.rotation_in(rotation, phase)?.confirmed.insert(node, fingerprint);
            }
            CertificateChange::End { rotation, phase } => {
                self.rotation_in(rotation, phase)?;
                if !self.certificates_wait_for().is_empty() {
                    return Err(rotation_says("members are still waited for"));
                }
                self.end_phase(index, phase);
            }
        }
        Ok(Outcome::Done)
    }

    fn begin_rotation(&mut self, index: u64, next: Authority) -> Result<(), Refused> {
        if self.later.certificates.rotation.is_some() {
            return Err(rotation_says(
                "a rotation of the certificates is under way already: `shardloom certificates` says whom it waits for",
            ));
        }
        let (phase, confirmed) = (RotationPhase::Introduce, BTreeMap::new());
        self.later.certificates.rotation = Some(Rotation { since: index, phase, next, confirmed });
        let authority = self.later.certificates.retired + 2;
        self.events.add(index, Event::CertificatesRotating { authority, phase });
        Ok(())
    }

    fn rotation_in(&mut self, since: u64, phase: RotationPhase) -> Result<&mut Rotation, Refused> {
        let rotation = self.later.certificates.rotation.as_mut();
        let rotation = rotation.filter(|rotation| (rotation.since, rotation.phase) == (since, phase));
        rotation.ok_or_else(|| rotation_says("that phase of the rotation has ended already"))
    }

    /// Enters the phase after this one.
    fn end_phase(&mut self, index: u64, phase: RotationPhase) {
        let Some(mut rotation) = self.later.certificates.rotation.take() else { return };
        let confirmed = std::mem::take(&mut rotation.confirmed);
        let next = match phase {
            RotationPhase::Introduce => Some(RotationPhase::Switch),
            RotationPhase::Switch => {
                self.later.certificates.in_force = Some(rotation.next.clone());
                self.later.certificates.retired += 1;
                self.later.certificates.shown = confirmed;
                // What was signed with it is worth nothing any more, nor are the tokens that pin it.
                self.founding.ca_key.clear();
                self.tokens.clear();
                Some(RotationPhase::Retire)
            }
            RotationPhase::Retire => None,
        };
        let in_force = self.later.certificates.retired + 1;
        let event = match next {
            Some(phase @ RotationPhase::Switch) => {
                Event::CertificatesRotating { authority: in_force + 1, phase }
            }
            Some(phase) => Event::CertificatesRotating { authority: in_force, phase },
            None => Event::CertificatesRotated { authority: in_force },
        };
        self.events.add(index, event);
        self.later.certificates.rotation = next.map(|phase| Rotation { phase, ..rotation });
    }
}

fn rotation_says(reason: &str) -> Refused {
    Refused::Rotation { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use shardloom_protocol::digest::Digest;
    use shardloom_sharding::ids::Term;

    use super::*;
    use crate::control::{ControlCommand, Founding, Member, MemberStanding};
    use crate::formats;

    fn authority(name: &str) -> Authority {
        Authority { certificate: format!("{name}'s certificate"), key: format!("{name}'s key") }
    }

    /// A cluster, and the index of its last entry.
    struct Log {
        state: Option<ControlState>,
        index: u64,
    }

    impl Log {
        /// Of these members.
        fn of(nodes: &[u64]) -> Log {
            let mut log = Log { state: None, index: 0 };
            let mut founding = Founding::example();
            founding.ca_certificate = "the first certificate".into();
            founding.ca_key = "the first key".into();
            let proven = vec![founding.founder.node];
            log.write(ControlCommand::Found(Box::new(founding))).unwrap();
            log.write(ControlCommand::RaiseLevel { level: formats::LEVEL, proven }).unwrap();
            for node in &nodes[1..] {
                log.join(*node).unwrap();
            }
            log
        }

        fn write(&mut self, command: ControlCommand) -> Result<Outcome, Refused> {
            self.index += 1;
            ControlState::apply(&mut self.state, self.index, Term(1), command).0
        }

        fn join(&mut self, node: u64) -> Result<Outcome, Refused> {
            let token = Digest([node as u8; 32]);
            self.write(ControlCommand::CreateToken { token, life_s: 900 })?;
            let labels = formats::labelled(BTreeMap::new());
            let member = Member { node: NodeId(node), labels, ..Founding::example().founder };
            self.write(ControlCommand::AddMember { member, token })
        }

        fn change(&mut self, change: CertificateChange) -> Result<Outcome, Refused> {
            self.write(ControlCommand::Certificates(Box::new(change)))
        }

        fn begin(&mut self) -> u64 {
            self.change(CertificateChange::Begin(authority("next"))).unwrap();
            self.index
        }

        fn confirm(&mut self, rotation: u64, phase: RotationPhase, node: u64) -> Result<Outcome, Refused> {
            let (node, fingerprint) = (NodeId(node), Digest([node as u8; 32]));
            self.change(CertificateChange::Confirm { rotation, phase, node, fingerprint })
        }

        fn end(&mut self, rotation: u64, phase: RotationPhase) -> Result<Outcome, Refused> {
            self.change(CertificateChange::End { rotation, phase })
        }

        fn all_through(&mut self, rotation: u64, phase: RotationPhase, nodes: &[u64]) {
            for node in nodes {
                assert!(self.end(rotation, phase).is_err(), "{node} is waited for");
                self.confirm(rotation, phase, *node).unwrap();
            }
            self.end(rotation, phase).unwrap();
        }

        fn state(&self) -> &ControlState {
            self.state.as_ref().unwrap()
        }

        fn phase(&self) -> Option<RotationPhase> {
            self.state().later.certificates.rotation.as_ref().map(|rotation| rotation.phase)
        }
    }

    use RotationPhase::{Introduce, Retire, Switch};

    #[test]
    fn each_phase_waits_for_every_member_and_the_old_key_is_forgotten() {
        let mut log = Log::of(&[1, 2, 3]);
        let rotation = log.begin();
        assert!(log.change(CertificateChange::Begin(authority("another"))).is_err(), "one at a time");
        log.all_through(rotation, Introduce, &[3, 1, 2]);
        assert_eq!((log.phase(), log.state().ca_key()), (Some(Switch), "the first key"));
        assert!(log.confirm(rotation, Introduce, 1).is_err(), "that phase is over");
        log.all_through(rotation, Switch, &[1, 2, 3]);
        assert_eq!((log.phase(), log.state().ca_key()), (Some(Retire), "next's key"));
        assert_eq!(log.state().founding.ca_key, "");
        assert_eq!(log.state().founding.ca_certificate, "the first certificate");
        log.all_through(rotation, Retire, &[2, 3, 1]);
        assert_eq!(log.phase(), None);
        let told: Vec<&str> =
            log.state().events.after(rotation - 1, 99).events.iter().map(|(_, event)| event.name()).collect();
        let rotating = "certificates-rotating";
        assert_eq!(told, [rotating, rotating, rotating, "certificates-rotated"]);
        assert!(log.confirm(rotation, Retire, 1).is_err());
        let second = log.begin();
        assert!(log.confirm(rotation, Introduce, 1).is_err(), "another rotation is under way");
        log.confirm(second, Introduce, 1).unwrap();
    }

    #[test]
    fn who_is_removed_is_waited_for_no_more_and_a_stranger_confirms_nothing() {
        let mut log = Log::of(&[1, 2, 3]);
        let rotation = log.begin();
        log.confirm(rotation, Introduce, 1).unwrap();
        log.confirm(rotation, Introduce, 2).unwrap();
        assert!(matches!(log.confirm(rotation, Introduce, 9), Err(Refused::UnknownNode { .. })));
        assert_eq!(log.state().certificates_wait_for(), [NodeId(3)]);
        log.write(ControlCommand::RemoveMember { node: NodeId(3), force: true }).unwrap();
        log.end(rotation, Introduce).unwrap();
        assert_eq!(log.phase(), Some(Switch));
        log.confirm(rotation, Switch, 1).unwrap();
        log.write(ControlCommand::RemoveMember { node: NodeId(1), force: true }).unwrap();
        assert_eq!(log.state().certificates_wait_for(), [NodeId(2)]);
    }

    #[test]
    fn who_joins_meanwhile_is_waited_for_or_has_to_wait() {
        let mut log = Log::of(&[1]);
        let rotation = log.begin();
        log.confirm(rotation, Introduce, 1).unwrap();
        log.join(2).unwrap();
        assert_eq!(log.state().certificates_wait_for(), [NodeId(2)]);
        log.confirm(rotation, Introduce, 2).unwrap();
        // A token that is out, and the member that comes with it.
        let token = Digest([7; 32]);
        log.write(ControlCommand::CreateToken { token, life_s: 900 }).unwrap();
        log.end(rotation, Introduce).unwrap();
        let labels = formats::labelled(BTreeMap::new());
        let member = Member { node: NodeId(7), labels, ..Founding::example().founder };
        let late = ControlCommand::AddMember { member, token };
        assert!(matches!(log.write(late.clone()), Err(Refused::Rotation { .. })));
        assert!(matches!(log.join(3), Err(Refused::Rotation { .. })), "no token is made either");
        log.all_through(rotation, Switch, &[1, 2]);
        assert!(matches!(log.write(late), Err(Refused::UnknownToken)), "it pins the old authority");
        log.join(3).unwrap();
        assert_eq!(log.state().certificates_wait_for(), [NodeId(1), NodeId(2)]);
        log.all_through(rotation, Retire, &[1, 2]);
        assert_eq!(log.phase(), None);
    }

    #[test]
    fn a_pending_member_is_waited_for_since_it_could_not_come_in_later() {
        let mut log = Log::of(&[1, 2]);
        log.write(ControlCommand::SetStanding { node: NodeId(2), standing: MemberStanding::Pending })
            .unwrap();
        let rotation = log.begin();
        log.confirm(rotation, Introduce, 1).unwrap();
        assert!(log.end(rotation, Introduce).is_err());
        assert_eq!(log.state().certificates_wait_for(), [NodeId(2)]);
    }

    #[test]
    fn a_rotation_is_audited_without_the_key() {
        let mut log = Log::of(&[1]);
        let begin = ControlCommand::Certificates(Box::new(CertificateChange::Begin(authority("next"))));
        log.write(begin.clone().by(crate::control::Author::Token("ops".into()))).unwrap();
        let last = log.state().audit.after(0).last().unwrap().clone();
        assert_eq!(
            (last.by.to_string().as_str(), last.what.as_str()),
            ("ops", "rotate the certificates of all nodes")
        );
        assert!(!format!("{begin:?}{last:?}{:?}", log.state()).contains("next's key"));
    }
}
