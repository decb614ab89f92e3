//! The cluster's certificate authority: made at bootstrap and with each rotation, and used to sign each node that is let in.
//!
//! Validity dates are as wide as the format allows, and are not checked against the wall clock: a node whose clock is
//! wrong must not drop out of its cluster. Who may stay is decided by membership, not by dates.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use sha2::{Digest, Sha256};
use shardloom_sharding::ids::{ClusterId, NodeId};

use crate::name::{node_name, parse_node_name};

/// What can be wrong with keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A key could not be made or read.
    #[error("the private key cannot be used")]
    Key(#[source] rcgen::Error),
    /// A certificate could not be made.
    #[error("the certificate cannot be made")]
    Sign(#[source] rcgen::Error),
    /// The text is not a certificate in PEM.
    #[error("the {what} is not a certificate in PEM: {reason}")]
    Pem {
        /// Which certificate.
        what: &'static str,
        /// What the reader said.
        reason: String,
    },
    /// A signing request is malformed, or its signature does not match its key.
    #[error("the signing request is malformed or does not prove that its sender has the key")]
    Request(#[source] rcgen::Error),
    /// A certificate of the wrong kind, for example a CA's that names no cluster.
    #[error("the {what} certificate does not belong here: {reason}")]
    Mismatch {
        /// Which certificate.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS refused the key or the certificate.
    #[error("TLS refuses the identity")]
    Tls(#[source] rustls::Error),
}

/// The authority of one cluster: its certificate and its private key.
pub struct ClusterCa {
    cluster: ClusterId,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key: KeyPair,
}

/// What a node sends to be signed: a certificate signing request (DER), which proves that it holds the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRequest {
    /// The request, DER.
    pub der: Vec<u8>,
}

/// The answer to a node's signing request; plain text, nothing secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNode {
    /// The node's certificate, PEM.
    pub certificate_pem: String,
    /// The authority's certificate, PEM.
    pub ca_pem: String,
}

impl NodeRequest {
    /// The SHA-256 of the key to be signed: tells a node that asks again from another that claims its id.
    ///
    /// # Errors
    /// When the request is malformed or its sender does not hold the key.
    pub fn key_hash(&self) -> Result<[u8; 32], IdentityError> {
        let der = CertificateSigningRequestDer::from(self.der.as_slice());
        let request = CertificateSigningRequestParams::from_der(&der).map_err(IdentityError::Request)?;
        Ok(Sha256::digest(request.public_key.der_bytes()).into())
    }
}

impl ClusterCa {
    /// Makes an authority: that of a new cluster, or the next one of a cluster.
    ///
    /// # Errors
    /// When the system gives no randomness for the key.
    pub fn create(cluster: ClusterId) -> Result<ClusterCa, IdentityError> {
        let key = KeyPair::generate().map_err(IdentityError::Key)?;
        let mut params = widest_validity();
        params.distinguished_name.push(DnType::CommonName, ca_name(cluster));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = vec![dns_name(ca_name(cluster))?];
        let signed = params.self_signed(&key).map_err(IdentityError::Sign)?;
        Ok(ClusterCa { cluster, certificate: signed.der().clone(), certificate_pem: signed.pem(), key })
    }

    /// Reads back what [`ClusterCa::certificate_pem`] and [`ClusterCa::key_pem`] wrote.
    ///
    /// # Errors
    /// When either is damaged, or the certificate is not a cluster's authority, or they do not belong together.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<ClusterCa, IdentityError> {
        let key = KeyPair::from_pem(key_pem).map_err(IdentityError::Key)?;
        let certificate = parse_certificate("CA", certificate_pem)?;
        let cluster = cluster_of_ca(&certificate)?;
        let parsed = webpki::EndEntityCert::try_from(&certificate).map_err(|error| bad("CA", error))?;
        if parsed.subject_public_key_info().as_ref() != key.subject_public_key_info() {
            return Err(bad("CA", "it is not the certificate of this key"));
        }
        Ok(ClusterCa { cluster, certificate, certificate_pem: certificate_pem.to_owned(), key })
    }

    /// The cluster whose nodes this authority signs.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The authority's certificate; public.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's private key; whoever has it can be any node.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The SHA-256 of the authority's certificate, by which join tokens pin it.
    pub fn pin(&self) -> [u8; 32] {
        pin_of(&self.certificate)
    }

    /// Signs the key of `request` for `node`. Only the key is taken from the request: name and rights are set here.
    ///
    /// # Errors
    /// When the request is malformed or its sender does not hold the key.
    pub fn sign(&self, node: NodeId, request: &NodeRequest) -> Result<SignedNode, IdentityError> {
        let der = CertificateSigningRequestDer::from(request.der.as_slice());
        let request = CertificateSigningRequestParams::from_der(&der).map_err(IdentityError::Request)?;
        let mut params = widest_validity();
        params.distinguished_name.push(DnType::CommonName, node.to_string());
        params.subject_alt_names = vec![dns_name(node_name(self.cluster, node))?];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key).map_err(IdentityError::Sign)?;
        let signed = params.signed_by(&request.public_key, &issuer).map_err(IdentityError::Sign)?;
        Ok(SignedNode { certificate_pem: signed.pem(), ca_pem: self.certificate_pem.clone() })
    }
}

impl std::fmt::Debug for ClusterCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterCa").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// The SHA-256 of the certificate in a PEM text: by it join tokens and people know an authority.
///
/// # Errors
/// When the text is no certificate.
pub fn fingerprint_of_pem(pem: &str) -> Result<[u8; 32], IdentityError> {
    Ok(pin_of(&parse_certificate("certificate", pem)?))
}

/// The SHA-256 of a certificate.
pub(crate) fn pin_of(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

/// Reads the one certificate of a PEM text.
pub(crate) fn parse_certificate(
    what: &'static str,
    pem: &str,
) -> Result<CertificateDer<'static>, IdentityError> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| IdentityError::Pem { what, reason: error.to_string() })
}

/// The cluster that a CA certificate names.
pub(crate) fn cluster_of_ca(certificate: &CertificateDer<'_>) -> Result<ClusterId, IdentityError> {
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|error| bad("CA", error))?;
    let mut names = parsed.valid_dns_names();
    let cluster =
        names.next().and_then(|name| name.strip_prefix("ca.")?.strip_suffix(".shardloom")?.parse().ok());
    cluster.ok_or_else(|| bad("CA", "it names no cluster"))
}

fn ca_name(cluster: ClusterId) -> String {
    debug_assert!(
        parse_node_name(&format!("ca.{cluster}.shardloom")).is_none(),
        "an authority is not a node"
    );
    format!("ca.{cluster}.shardloom")
}

fn bad(what: &'static str, reason: impl ToString) -> IdentityError {
    IdentityError::Mismatch { what, reason: reason.to_string() }
}

fn dns_name(name: String) -> Result<SanType, IdentityError> {
    Ok(SanType::DnsName(name.try_into().map_err(IdentityError::Sign)?))
}

/// From 1975, the earliest date of certificates in use, to 4096: rotation is an act of the cluster, not of a date.
fn widest_validity() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = date_time_ymd(1975, 1, 1);
    params.not_after = date_time_ymd(4096, 1, 1);
    params
}
