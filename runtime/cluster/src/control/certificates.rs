//! Which authority signs the nodes, and how far a rotation is that puts another in its place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shardloom_protocol::digest::Digest;
use shardloom_sharding::ids::NodeId;

/// An authority of the cluster: what signs the certificates of its nodes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// Its certificate (PEM).
    pub certificate: String,
    /// Its key (PEM).
    pub key: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key must never reach a log.
        f.write_str("Authority")
    }
}

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RotationPhase {
    /// Nodes get certificates by the next authority, and trust both.
    Introduce,
    /// Nodes show them.
    Switch,
    /// Nodes trust the new authority alone.
    Retire,
}

impl RotationPhase {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            RotationPhase::Introduce => "introduce",
            RotationPhase::Switch => "switch",
            RotationPhase::Retire => "retire",
        }
    }
}

/// A rotation that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The index of the entry that began it, by which it is named.
    pub since: u64,
    /// How far it is.
    pub phase: RotationPhase,
    /// The authority that is to be the only one.
    pub next: Authority,
    /// The members that have done what the phase asks, with the sha256 of their certificates by the next authority.
    pub confirmed: BTreeMap<NodeId, Digest>,
}

/// The authority in force, and the rotation that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// How many authorities came before the one in force.
    pub retired: u64,
    /// The authority in force; none while it is the one that the cluster was founded with.
    pub in_force: Option<Authority>,
    /// The rotation under way.
    pub rotation: Option<Rotation>,
    /// The sha256 of the certificates that the members of the last rotation show since.
    pub shown: BTreeMap<NodeId, Digest>,
}

/// A step of a rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertificateChange {
    /// An operator begins one.
    Begin(Authority),
    /// A node has done what a phase asks.
    Confirm {
        /// The rotation.
        rotation: u64,
        /// The phase.
        phase: RotationPhase,
        /// The node.
        node: NodeId,
        /// The sha256 of its certificate by the next authority.
        fingerprint: Digest,
    },
    /// The leader finds that everybody has.
    End {
        /// The rotation.
        rotation: u64,
        /// The phase.
        phase: RotationPhase,
    },
}
