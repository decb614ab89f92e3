//! Which shards are served right now, in the owners' own words.
//!
//! The committed map says who may serve a shard; whether its owner does, with a lease and everything recovered, only the owner knows.

use std::time::Duration;

use futures::future::join_all;
use shardloom_protocol::peer::{PeerReply, PeerRequest};
use shardloom_sharding::ids::{NodeId, ShardId};
use tokio::time::Instant;

use super::fabric::Class;
use super::node_server::NodeServer;
use super::view::View;

/// How long an owner may take to answer; what it does not answer for counts as not served.
const ANSWER_WAIT_MAX: Duration = Duration::from_millis(500);

/// One flag a shard: whether its owner in `view` serves it.
pub async fn survey(server: &NodeServer, view: &View) -> Vec<bool> {
    let mut served = vec![false; view.map.shards().len()];
    let owners = view.live_nodes().filter(|node| view.map.owned(*node) > 0);
    let told = join_all(owners.map(|node| async move { (node, ask(server, view, node).await) })).await;
    for (node, shards) in told {
        for shard in shards {
            if view.map.owner(shard) == Some(node) {
                served[shard.index()] = true;
            }
        }
    }
    served
}

/// The shards that this node serves.
pub fn own(server: &NodeServer) -> Vec<ShardId> {
    let view = server.fabric.view();
    let owned = view.map.shards().filter(|shard| view.map.owner(*shard) == Some(view.this_node));
    owned.filter(|shard| server.fabric.enter(*shard).is_ok()).collect()
}

async fn ask(server: &NodeServer, view: &View, node: NodeId) -> Vec<ShardId> {
    if node == view.this_node {
        return own(server);
    }
    let Ok(request) = PeerRequest::Serving.encode() else { return Vec::new() };
    let deadline = Instant::now() + ANSWER_WAIT_MAX;
    match server.fabric.request(node, Class::Control, request, deadline).await {
        Ok(bytes) => match PeerReply::decode(&bytes) {
            Ok(PeerReply::Serving(shards)) => shards,
            other => {
                tracing::warn!(%node, ?other, "a node did not tell what it serves");
                Vec::new()
            }
        },
        Err(error) => {
            tracing::debug!(%node, %error, "a node did not tell what it serves");
            Vec::new()
        }
    }
}
