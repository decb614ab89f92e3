//! Members of the cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shardloom_sharding::ids::{DiskId, NodeId};

/// Where a member stands, by the will of its operators; whether it is alive is not written down, leases tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberStanding {
    /// It has joined, but waits for an operator to add it.
    Pending,
    /// It may own shards and keep replicas.
    Active,
    /// It is to give up all shards and replicas, so that it can be removed.
    Draining,
}

/// Where the services of a node listen, as the others reach them (host:port).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// HTTP, for clients.
    pub http: String,
    /// QUIC, for the other nodes.
    pub peer: String,
    /// Gossip over UDP.
    pub gossip: String,
}

/// A member of the cluster, as it said of itself when it joined or last started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its identity.
    pub node: NodeId,
    /// The disk that its replicas are on.
    pub disk: DiskId,
    /// Where it listens.
    pub addresses: Addresses,
    /// The failure domain that it is in; replicas spread over zones where there are several.
    pub zone: String,
    /// How much it can bear, relative to the others.
    pub capacity: u32,
    /// Free-form labels.
    pub labels: BTreeMap<String, String>,
    /// What operators want of it.
    pub standing: MemberStanding,
}
