//! The gossip of a node that starts: with everybody that it knows from its last run or from the control log.

use shardloom_sharding::ids::{Boot, ClusterId, NodeId};

use super::ClusterOptions;
use crate::ClusterError;
use crate::gossip::{Gossip, GossipSelf};
use crate::identity::IdentityStore;
use crate::raft::Applied;

pub(super) async fn start_gossip(
    options: &ClusterOptions,
    cluster: ClusterId,
    node: NodeId,
    boot: Boot,
    identity: &IdentityStore,
    applied: &Applied,
) -> Result<Gossip, ClusterError> {
    let mut seeds: Vec<String> = identity.known_peers().into_values().map(|a| a.gossip).collect();
    if let Some(state) = &applied.read().control {
        seeds.extend(state.members.values().map(|member| member.addresses.gossip.clone()));
    }
    seeds.retain(|seed| *seed != options.addresses.gossip);
    seeds.sort();
    seeds.dedup();
    let me = GossipSelf { cluster, node, boot, addresses: options.addresses.clone() };
    Gossip::start(&me, options.listen_gossip, seeds, options.gossip).await
}
