//! The first start of all: a node makes a cluster of itself.

use std::collections::BTreeMap;

use shardloom_sharding::ids::ClusterId;
use shardloom_transport::{ClusterCa, SignedNode};

use super::control_group::Group;
use super::{Beginning, ClusterOptions};
use crate::ClusterError;
use crate::control::{Author, ControlCommand, Founding, Member};
use crate::identity::{IdentityStore, random};

/// Makes a cluster of one: its control log begins with what it is. Done again after a crash in the middle, it goes on where it stopped.
pub(super) async fn found(
    options: &ClusterOptions,
    group: &Group,
    identity: &IdentityStore,
    member: &Member,
) -> Result<SignedNode, ClusterError> {
    let raft_error = |error: &dyn std::fmt::Display| ClusterError::Raft { reason: error.to_string() };
    let Beginning::Bootstrap { shards, replicas, join_policy, admin_token } = &options.beginning else {
        return Err(ClusterError::Nowhere);
    };
    let node = member.node;
    let initialized = group.raft.is_initialized().await.map_err(|error| raft_error(&error))?;
    if !initialized {
        let voters = BTreeMap::from([(node, openraft::EmptyNode::default())]);
        group.raft.initialize(voters).await.map_err(|error| raft_error(&error))?;
    }
    let ca = ClusterCa::create(ClusterId(random()?))?;
    let founding = Founding {
        cluster: ca.cluster(),
        shard_count: *shards,
        replicas: *replicas,
        join_policy: *join_policy,
        ca_certificate: ca.certificate_pem().to_owned(),
        ca_key: ca.key_pem(),
        admin_token: *admin_token,
        founder: member.clone(),
    };
    let writer = group.writer();
    let written = writer.write(ControlCommand::Found(Box::new(founding)).by(Author::Node(node))).await;
    written.map_err(|error| raft_error(&error))?;
    let applied = group.applied.read();
    let state = applied.control.as_ref().ok_or(ClusterError::Nowhere)?;
    let ca = ClusterCa::from_pem(state.ca_certificate(), state.ca_key())?;
    Ok(ca.sign(node, &identity.key()?.request()?)?)
}
