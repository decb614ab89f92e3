//! This node's part in a rotation of the certificates: it does what the control log asks, writes it down before it uses it, and confirms it; while
//! it leads, it ends each phase that everybody has confirmed.
//!
//! A node signs its own new key: the next authority's key is in the control log, as that of the first has been from the founding on. So nobody has
//! to be asked, and a phase asks nothing of a node but to have applied the entry that began it.

use std::sync::Arc;
use std::time::Duration;

use shardloom_protocol::digest::Digest;
use shardloom_sharding::ids::NodeId;
use shardloom_transport::{ClusterCa, NodeKey, PeerNet};

use crate::ClusterError;
use crate::control::{Author, Authority, CertificateChange, ControlCommand, ControlState, RotationPhase};
use crate::identity::{Held, SharedIdentity};
use crate::raft::Applied;
use crate::state::blocking;
use crate::writer::Writer;

/// How long to wait before trying again what could not be written.
const RETRY: Duration = Duration::from_secs(1);

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing.
    Rest,
    /// Take a certificate by this authority, and trust it as well.
    Introduce(Authority),
    /// Show that certificate.
    Switch,
    /// Trust that authority alone.
    Retire,
    /// Say that it is done.
    Confirm(u64, RotationPhase),
}

/// What node `me` has to do, by what its disk holds. The control state may be an older one than the node has seen already, since the log is replayed after a
/// start: so nothing is ever undone.
fn next_step(held: &Held, state: &ControlState, me: NodeId) -> Step {
    let in_force = state.ca_certificate();
    if !state.members.contains_key(&me) {
        return Step::Rest;
    }
    if held.coming.as_ref().is_some_and(|(ca_pem, _)| ca_pem == in_force) {
        return Step::Retire;
    }
    let Some(rotation) = &state.later.certificates.rotation else { return Step::Rest };
    let done = if rotation.confirmed.contains_key(&me) {
        Step::Rest
    } else {
        Step::Confirm(rotation.since, rotation.phase)
    };
    if held.ca_pem == rotation.next.certificate {
        // It has done all that there is to do. If the cluster has forgotten that, since it goes on from an older log, it is said again.
        return done;
    }
    if held.ca_pem != in_force {
        return Step::Rest;
    }
    let coming = held.coming.as_ref().filter(|(ca_pem, _)| *ca_pem == rotation.next.certificate);
    match (rotation.phase, coming) {
        (RotationPhase::Introduce, Some(_)) => done,
        // The authority in force is the next one by then.
        (RotationPhase::Retire, _) => Step::Rest,
        (RotationPhase::Switch, Some((_, true))) => done,
        (RotationPhase::Switch, Some((_, false))) => Step::Switch,
        (RotationPhase::Introduce | RotationPhase::Switch, None) => Step::Introduce(rotation.next.clone()),
    }
}

/// Follows the control log for this node's certificates.
pub struct RenewalKeeper {
    me: NodeId,
    applied: Arc<Applied>,
    writer: Writer,
    net: PeerNet,
    identity: SharedIdentity,
}

impl RenewalKeeper {
    /// Follows `applied` for node `me`.
    pub fn new(
        me: NodeId,
        applied: Arc<Applied>,
        writer: Writer,
        net: PeerNet,
        identity: SharedIdentity,
    ) -> RenewalKeeper {
        RenewalKeeper { me, applied, writer, net, identity }
    }

    /// Runs for as long as the node does.
    ///
    /// # Errors
    ///
    /// The disk fails.
    ///
    /// # Cancel safety
    ///
    /// As a crash: the next start goes on where this one was.
    pub async fn run(self) -> Result<(), ClusterError> {
        let mut index = self.applied.index();
        loop {
            index.borrow_and_update();
            let wait = match self.look().await {
                Ok(waits) => waits,
                Err(ClusterError::Db(error)) if error.is_no_room() => {
                    tracing::warn!("no room for this node's next certificate: waiting for some");
                    Wait::Retry
                }
                Err(error @ (ClusterError::Identity(_) | ClusterError::Transport(_))) => {
                    tracing::error!(%error, "this node cannot take its next certificate");
                    Wait::Retry
                }
                Err(error) => return Err(error),
            };
            let ended = match wait {
                Wait::No => false,
                Wait::News => index.changed().await.is_err(),
                Wait::Retry => {
                    tokio::time::sleep(RETRY).await;
                    false
                }
            };
            if ended {
                return Ok(());
            }
        }
    }

    async fn look(&self) -> Result<Wait, ClusterError> {
        let Some(held) = self.identity.lock().held() else { return Ok(Wait::News) };
        let (step, over) = {
            let applied = self.applied.read();
            let Some(state) = &applied.control else { return Ok(Wait::News) };
            let rotation = state.later.certificates.rotation.as_ref();
            let over = rotation.filter(|_| state.certificates_wait_for().is_empty());
            (next_step(&held, state, self.me), over.map(|rotation| (rotation.since, rotation.phase)))
        };
        match (step, over) {
            (Step::Rest, Some((rotation, phase))) if self.writer.leader() == Some(self.me) => {
                Ok(self.write(CertificateChange::End { rotation, phase }).await)
            }
            // Another node leads, or nobody: who will, may be known before the next entry is.
            (Step::Rest, Some(_)) => Ok(Wait::Retry),
            (Step::Rest, None) => Ok(Wait::News),
            (Step::Confirm(rotation, phase), _) => {
                let fingerprint = Digest(self.identity.lock().newest_fingerprint()?);
                let confirm = CertificateChange::Confirm { rotation, phase, node: self.me, fingerprint };
                Ok(self.write(confirm).await)
            }
            (step, _) => {
                self.take(step).await?;
                Ok(Wait::No)
            }
        }
    }

    /// Does a step that is for this node alone.
    async fn take(&self, step: Step) -> Result<(), ClusterError> {
        let (identity, me) = (self.identity.clone(), self.me);
        let renews = matches!(step, Step::Switch | Step::Retire);
        let credentials = blocking(move || {
            let mut identity = identity.lock();
            match &step {
                Step::Rest | Step::Confirm(..) => {}
                Step::Introduce(next) => {
                    let (ca, key) = (ClusterCa::from_pem(&next.certificate, &next.key)?, NodeKey::create()?);
                    let signed = ca.sign(me, &key.request()?)?;
                    identity.introduce(&key, signed)?;
                    tracing::info!(
                        "this node has a certificate by the cluster's next authority, and trusts both"
                    );
                }
                Step::Switch => {
                    identity.show_coming()?;
                    tracing::info!("this node shows its new certificate");
                }
                Step::Retire => {
                    identity.retire()?;
                    tracing::info!("this node trusts the cluster's new authority alone");
                }
            }
            identity.credentials()
        });
        if let Some(credentials) = credentials.await? {
            self.net.set_credentials(&credentials)?;
        }
        if renews {
            self.net.renew_links().await?;
        }
        Ok(())
    }

    async fn write(&self, change: CertificateChange) -> Wait {
        let command = ControlCommand::Certificates(Box::new(change)).by(Author::Node(self.me));
        match self.writer.write(command).await.map(|reply| reply.outcome) {
            Ok(Ok(_)) => Wait::No,
            Ok(Err(refused)) => {
                tracing::debug!(%refused, "a step of the rotation is not taken");
                Wait::Retry
            }
            Err(error) => {
                tracing::info!(%error, "a step of the rotation is not written yet");
                Wait::Retry
            }
        }
    }
}

/// For what to wait before the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Nothing.
    No,
    /// The next entry.
    News,
    /// A little.
    Retry,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shardloom_sharding::ids::Term;

    use super::*;
    use crate::control::{Founding, Rotation};

    fn authority(name: &str) -> Authority {
        Authority { certificate: name.into(), key: String::new() }
    }

    /// A control state with this authority in force, the founding's where it is "first", and this rotation.
    fn state(in_force: &str, rotation: Option<(RotationPhase, &str)>) -> ControlState {
        let mut state = None;
        let founding = Founding { ca_certificate: "first".into(), ..Founding::example() };
        ControlState::apply(&mut state, 1, Term(1), ControlCommand::Found(Box::new(founding))).0.unwrap();
        let mut state = state.unwrap();
        state.later.certificates.in_force = (in_force != "first").then(|| authority(in_force));
        state.later.certificates.rotation = rotation.map(|(phase, next)| Rotation {
            since: 5,
            phase,
            next: authority(next),
            confirmed: BTreeMap::new(),
        });
        state
    }

    fn held(own: &str, coming: Option<(&str, bool)>) -> Held {
        Held { ca_pem: own.into(), coming: coming.map(|(ca, shown)| (ca.to_owned(), shown)) }
    }

    use RotationPhase::{Introduce, Retire, Switch};

    #[test]
    fn a_node_takes_each_step_once_and_then_says_so() {
        let me = NodeId(1);
        let introduce = state("first", Some((Introduce, "next")));
        assert_eq!(next_step(&held("first", None), &introduce, me), Step::Introduce(authority("next")));
        let ready = held("first", Some(("next", false)));
        assert_eq!(next_step(&ready, &introduce, me), Step::Confirm(5, Introduce));
        let switch = state("first", Some((Switch, "next")));
        assert_eq!(next_step(&ready, &switch, me), Step::Switch);
        let shown = held("first", Some(("next", true)));
        assert_eq!(next_step(&shown, &switch, me), Step::Confirm(5, Switch));
        let retire = state("next", Some((Retire, "next")));
        assert_eq!(next_step(&shown, &retire, me), Step::Retire);
        assert_eq!(next_step(&held("next", None), &retire, me), Step::Confirm(5, Retire));
        let mut confirmed = retire.clone();
        confirmed.later.certificates.rotation.as_mut().unwrap().confirmed.insert(me, Digest([0; 32]));
        assert_eq!(next_step(&held("next", None), &confirmed, me), Step::Rest);
        assert_eq!(next_step(&held("next", None), &state("next", None), me), Step::Rest);
    }

    #[test]
    fn an_old_state_undoes_nothing_and_one_that_is_far_ahead_is_caught_up_with() {
        let me = NodeId(1);
        let done = held("next", None);
        let begun = held("first", Some(("next", true)));
        assert_eq!(next_step(&done, &state("first", None), me), Step::Rest);
        assert_eq!(next_step(&begun, &state("first", None), me), Step::Rest);
        for held in [&done, &begun] {
            // That is refused, if the phase has ended.
            let step = next_step(held, &state("first", Some((Introduce, "next"))), me);
            assert_eq!(step, Step::Confirm(5, Introduce));
        }
        assert_eq!(next_step(&held("third", None), &state("first", Some((Switch, "next"))), me), Step::Rest);
        // It was down while the rotation ended and another began.
        let third = state("next", Some((Introduce, "third")));
        assert_eq!(next_step(&begun, &third, me), Step::Retire);
        assert_eq!(next_step(&done, &third, me), Step::Introduce(authority("third")));
    }

    #[test]
    fn who_is_no_member_rests() {
        let introduce = state("first", Some((Introduce, "next")));
        assert_eq!(next_step(&held("first", None), &introduce, NodeId(9)), Step::Rest);
    }
}
