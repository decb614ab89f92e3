//! What a node answers about certificates, as the command line reads it.

use serde::Deserialize;

/// `GET /v1/certificates`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CertificatesReply {
    /// Those that are trusted.
    pub(super) authorities: Vec<AuthorityReply>,
    /// The members.
    pub(super) nodes: Vec<NodeCertificateReply>,
    /// The rotation under way.
    pub(super) rotation: Option<RotationReply>,
}

/// An authority that signs nodes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AuthorityReply {
    /// Which, counted from 1.
    pub(super) number: u64,
    /// The sha256 of its certificate.
    pub(super) fingerprint: Option<String>,
    /// Whether it is in force.
    pub(super) state: String,
}

/// A member's certificate.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeCertificateReply {
    /// The member.
    pub(super) id: String,
    /// How it stands, if that is known.
    pub(super) state: Option<String>,
    /// Which authority signed its certificate.
    pub(super) authority: u64,
    /// The sha256 of it.
    pub(super) fingerprint: Option<String>,
    /// Whether it has done what the rotation's phase asks.
    pub(super) confirmed: Option<bool>,
}

/// A rotation of the nodes' certificates.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RotationReply {
    /// Which authority is to sign everybody.
    pub(super) authority: u64,
    /// How far it is.
    pub(super) phase: String,
    /// How many have done what the phase asks.
    pub(super) confirmed: u64,
    /// Who has not.
    pub(super) waits_for: Vec<WaitedForReply>,
}

/// A member that is waited for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WaitedForReply {
    /// The member.
    pub(super) id: String,
    /// How it stands, if that is known.
    pub(super) state: Option<String>,
}
