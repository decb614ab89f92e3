//! The nodes' certificates, for operators: which authority signs them, who shows what, and how far a rotation is; and beginning one.

use shardloom_protocol::digest::Digest;
use shardloom_sharding::ids::NodeId;
use shardloom_transport::{ClusterCa, fingerprint_of_pem};

use crate::control::{Author, Authority, CertificateChange, ControlCommand, ControlReply, RotationPhase};
use crate::handle::ClusterHandle;
use crate::writer::WriteError;

/// The nodes' certificates, as one node knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateReport {
    /// The authorities that are trusted.
    pub authorities: Vec<AuthorityReport>,
    /// The members.
    pub nodes: Vec<NodeReport>,
    /// The rotation under way.
    pub rotation: Option<RotationReport>,
}

/// An authority that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityReport {
    /// Which: counted from 1, that of the founding.
    pub number: u64,
    /// The sha256 of its certificate.
    pub fingerprint: Option<Digest>,
    /// Whether it is the one that is in force, not one that is to come.
    pub in_force: bool,
}

/// A member's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// The member.
    pub node: NodeId,
    /// The number of the authority that signed it.
    pub authority: u64,
    /// Its sha256; none where the node that is asked has had nothing to do with the member yet.
    pub fingerprint: Option<Digest>,
}

/// A rotation that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationReport {
    /// The index of the entry that began it.
    pub since: u64,
    /// Which authority is to sign everybody.
    pub authority: u64,
    /// How far it is.
    pub phase: RotationPhase,
    /// Who has done what the phase asks.
    pub confirmed: Vec<NodeId>,
    /// Who has not yet.
    pub waits_for: Vec<NodeId>,
}

/// Why no rotation was begun.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// No authority could be made.
    #[error("no authority could be made: {0}")]
    Make(String),
    /// It could not be written down.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl ClusterHandle {
    /// The nodes' certificates, as this node knows them.
    pub fn certificates(&self) -> CertificateReport {
        let applied = self.applied().read();
        let Some(state) = &applied.control else { return CertificateReport::default() };
        let (certificates, rotation) =
            (&state.later.certificates, state.later.certificates.rotation.as_ref());
        let current = certificates.retired + 1;
        let fingerprint = |pem: &str| fingerprint_of_pem(pem).ok().map(Digest);
        let mut authorities = vec![AuthorityReport {
            number: current,
            fingerprint: fingerprint(state.ca_certificate()),
            in_force: true,
        }];
        let coming = rotation.filter(|rotation| rotation.phase != RotationPhase::Retire);
        authorities.extend(coming.map(|rotation| AuthorityReport {
            number: current + 1,
            fingerprint: fingerprint(&rotation.next.certificate),
            in_force: false,
        }));
        let switched = |node: &NodeId| {
            let switching = rotation.filter(|rotation| rotation.phase == RotationPhase::Switch)?;
            switching.confirmed.get(node).copied()
        };
        let nodes = state.members.keys().map(|node| match switched(node) {
            Some(shown) => NodeReport { node: *node, authority: current + 1, fingerprint: Some(shown) },
            None => {
                let known = certificates.shown.get(node).copied();
                let fingerprint = known.or_else(|| self.peers().net().shown_by(*node).map(Digest));
                NodeReport { node: *node, authority: current, fingerprint }
            }
        });
        CertificateReport {
            nodes: nodes.collect(),
            rotation: rotation.map(|rotation| RotationReport {
                since: rotation.since,
                authority: authorities.last().map_or(current, |last| last.number),
                phase: rotation.phase,
                confirmed: rotation.confirmed.keys().copied().collect(),
                waits_for: state.certificates_wait_for(),
            }),
            authorities,
        }
    }

    /// Begins to rotate the certificates of all nodes: makes the authority that is to sign them.
    ///
    /// # Errors
    ///
    /// The authority cannot be made, or the control log cannot be written.
    pub async fn rotate_certificates(&self, by: Author) -> Result<ControlReply, RotateError> {
        let made = ClusterCa::create(self.cluster()).map_err(|error| RotateError::Make(error.to_string()))?;
        let authority = Authority { certificate: made.certificate_pem().to_owned(), key: made.key_pem() };
        let begin = ControlCommand::Certificates(Box::new(CertificateChange::Begin(authority)));
        Ok(self.write(begin.by(by)).await?)
    }
}
