//! What a node shows of itself, and by whose word it takes its peers: one certificate, and, while the cluster's authority
//! is being replaced, two authorities.

use rustls::pki_types::CertificateDer;

use crate::ca::{IdentityError, cluster_of_ca, parse_certificate};
use crate::identity::NodeIdentity;

/// An identity, and the authorities whose certificates are taken from others.
#[derive(Clone, Debug)]
pub struct Credentials {
    identity: NodeIdentity,
    trusted: Vec<CertificateDer<'static>>,
}

impl Credentials {
    /// Those of a node that trusts the authority which signed it, and no other.
    pub fn of(identity: NodeIdentity) -> Credentials {
        let trusted = vec![identity.ca().clone()];
        Credentials { identity, trusted }
    }

    /// The same, but another authority of the cluster (PEM) is trusted as well.
    ///
    /// # Errors
    /// When the text is no certificate of an authority, or one of another cluster.
    pub fn and_trusting(mut self, ca_pem: &str) -> Result<Credentials, IdentityError> {
        let ca = parse_certificate("CA certificate", ca_pem)?;
        if cluster_of_ca(&ca)? != self.identity.cluster() {
            let reason = "it is that of another cluster's authority".to_owned();
            return Err(IdentityError::Mismatch { what: "CA", reason });
        }
        if !self.trusted.contains(&ca) {
            self.trusted.push(ca);
        }
        Ok(self)
    }

    /// Who the node is.
    pub fn identity(&self) -> &NodeIdentity {
        &self.identity
    }

    /// The authorities' certificates: what TLS trusts.
    pub(crate) fn trusted(&self) -> &[CertificateDer<'static>] {
        &self.trusted
    }
}
