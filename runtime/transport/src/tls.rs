//! Who may connect to whom: TLS 1.3 with certificates of one cluster at both ends.
//!
//! | who dials | shows | demands of the far end |
//! |---|---|---|
//! | a member | its certificate | one of an authority that it trusts, of this cluster, for the node that it meant |
//! | a joining node | nothing | one of the authority that the token pins, of the token's cluster, for any node |
//!
//! A member that is dialled demands a certificate of its own cluster, or none: such a stranger may ask to join, no more.
//! No session is resumed and nothing is sent before the handshake ends, so every connection proves itself anew. A member
//! trusts one authority, but for the time in which it is replaced: both then.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};
use shardloom_sharding::ids::{ClusterId, NodeId};

use crate::ca::{cluster_of_ca, pin_of};
use crate::credentials::Credentials;
use crate::name::{ids_of, node_name};
use crate::token::JoinToken;

/// The protocol's name and version in the handshake: an incompatible node is refused before its first byte.
const ALPN: &[u8] = b"shardloom/1";

/// A fixed moment within every certificate's validity (January 2027), in place of the wall clock: see `ca`.
fn moment() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000))
}

/// How a member dials.
pub(crate) fn member_client(credentials: &Credentials) -> Result<QuicClientConfig, Error> {
    let identity = credentials.identity();
    let verifier = ServerVerifier {
        cluster: identity.cluster(),
        trust: Trust::Authorities(roots(credentials.trusted())?),
        known: known(),
    };
    let config = client(verifier)?.with_client_auth_cert(identity.chain(), identity.key())?;
    finish_client(config)
}

/// How a node dials that has a token and no certificate.
pub(crate) fn joining_client(token: &JoinToken) -> Result<QuicClientConfig, Error> {
    let verifier =
        ServerVerifier { cluster: token.cluster(), trust: Trust::Pin(token.ca_pin()), known: known() };
    finish_client(client(verifier)?.with_no_client_auth())
}

/// How a member is dialled.
pub(crate) fn member_server(credentials: &Credentials) -> Result<QuicServerConfig, Error> {
    let identity = credentials.identity();
    let verifier = client_verifier(credentials)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(identity.chain(), identity.key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    QuicServerConfig::try_from(config).map_err(|error| Error::General(error.to_string()))
}

/// Tells whether a certificate that was taken in a handshake would be taken now.
#[derive(Debug)]
pub(crate) struct Believed {
    verifier: ClientVerifier,
}

impl Believed {
    pub(crate) fn new(credentials: &Credentials) -> Result<Believed, Error> {
        Ok(Believed { verifier: client_verifier(credentials)? })
    }

    pub(crate) fn believes(&self, certificate: &CertificateDer<'_>) -> bool {
        // A node's certificate is for both ends of a connection.
        self.verifier.verify_client_cert(certificate, &[], moment()).is_ok()
    }
}

fn client_verifier(credentials: &Credentials) -> Result<ClientVerifier, Error> {
    let web =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(credentials.trusted())?), provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
    Ok(ClientVerifier { cluster: credentials.identity().cluster(), web })
}

fn client(
    verifier: ServerVerifier,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, Error> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

fn finish_client(mut config: ClientConfig) -> Result<QuicClientConfig, Error> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    QuicClientConfig::try_from(config).map_err(|error| Error::General(error.to_string()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn known() -> WebPkiSupportedAlgorithms {
    rustls::crypto::ring::default_provider().signature_verification_algorithms
}

fn roots(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for ca in authorities {
        roots.add(ca.clone())?;
    }
    Ok(roots)
}

/// A refusal in words; they reach the log at both ends.
fn refuse(reason: String) -> Error {
    Error::General(reason)
}

/// Checks that a certificate is a node's of this cluster.
fn node_of(cluster: ClusterId, certificate: &CertificateDer<'_>) -> Result<NodeId, Error> {
    match ids_of(certificate) {
        Some((named, node)) if named == cluster => Ok(node),
        Some((named, _)) => Err(refuse(format!("its certificate is of cluster {named}, not of {cluster}"))),
        None => Err(refuse("its certificate is not that of a node".to_owned())),
    }
}

#[derive(Debug)]
enum Trust {
    Authorities(RootCertStore),
    Pin([u8; 32]),
}

#[derive(Debug)]
struct ServerVerifier {
    cluster: ClusterId,
    trust: Trust,
    known: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    /// What is wrong with a cluster whose authority is not the one that a token pins. By its own word, so it is a hint.
    fn why_not_pinned(&self, chain: &[CertificateDer<'_>]) -> &'static str {
        if chain.iter().any(|ca| cluster_of_ca(ca).is_ok_and(|cluster| cluster == self.cluster)) {
            "its authority is not the one that the join token names: if the cluster's certificates were rotated, \
             make a new token"
        } else {
            "its cluster is not the one that the join token names"
        }
    }

    fn verify_chain(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        roots: &RootCertStore,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, chain, moment(), self.known.all).map_err(
            |error| match error {
                Error::InvalidCertificate(
                    CertificateError::UnknownIssuer | CertificateError::BadSignature,
                ) => refuse("its certificate is signed by another cluster's authority".to_owned()),
                other => other,
            },
        )
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trust::Authorities(roots) => {
                self.verify_chain(certificate, chain, roots)?;
                let node = node_of(self.cluster, certificate)?;
                if server_name.to_str() != node_name(self.cluster, node) {
                    return Err(refuse(format!("another node answers there: {node}")));
                }
            }
            Trust::Pin(pin) => {
                let Some(ca) = chain.iter().find(|ca| pin_of(ca) == *pin) else {
                    return Err(refuse(self.why_not_pinned(chain).to_owned()));
                };
                self.verify_chain(certificate, &[], &roots(&[ca.clone().into_owned()])?)?;
                node_of(self.cluster, certificate)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(refuse("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.known.supported_schemes()
    }
}

#[derive(Debug)]
struct ClientVerifier {
    cluster: ClusterId,
    web: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hint: a node has one certificate, and a stranger need not learn the authority's name from it.
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.web.verify_client_cert(certificate, chain, moment()).map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                refuse("your certificate is signed by another cluster's authority".to_owned())
            }
            other => other,
        })?;
        node_of(self.cluster, certificate)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(refuse("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.web.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.web.supported_verify_schemes()
    }
}
