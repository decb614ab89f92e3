//! Whether a name keeps state, on any shard: what a deploy must know before it changes where keys are.

use std::time::Duration;

use futures::future::join_all;
use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::{PeerReply, PeerRequest};
use shardloom_sharding::ids::{NodeId, ShardId};
use tokio::time::Instant;

use super::fabric::Class;
use super::node_server::NodeServer;
use super::problem::{Code, Problem};
use super::view::View;

/// How long an owner may take to tell what it keeps.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
/// Shards that an error names; the others are counted.
const NAMED_MAX: usize = 5;

/// What is known of a name's state.
pub struct Survey {
    /// Shards on which it keeps something.
    pub kept: Vec<ShardId>,
    /// Shards of which nobody knows now.
    pub unknown: Vec<ShardId>,
}

/// Refuses to deploy a name with another shard function than the one by which its state lies where it is.
///
/// # Errors
/// `refused`, with what to do; `not-confirmed` where it cannot be known now.
pub async fn may_have_function(
    server: &NodeServer,
    name: &str,
    function: Option<Digest>,
) -> Result<(), Problem> {
    let view = server.fabric.view();
    let deployed = view.workloads.get(name).map(|workload| workload.spec.shard_function);
    let Some(before) = deployed.or_else(|| view.left_by.get(name).copied()) else { return Ok(()) };
    if before == function {
        return Ok(());
    }
    let Survey { kept, unknown } = survey(server, &view, name).await;
    let function_words = |function: Option<Digest>| match function {
        Some(digest) => format!("the shard function {digest}"),
        None => "the built-in shard function".to_owned(),
    };
    if !kept.is_empty() {
        return Err(Problem::new(
            Code::Refused,
            format!(
                "{name} keeps state on {}, where {} has put it: with {} its keys would be looked for elsewhere, and be lost. Nothing was changed. \
                 Deploy under another name, or give the state up first: `shardloom undeploy {name} --delete-state`",
                listed(&kept),
                function_words(before),
                function_words(function)
            ),
        ));
    }
    if !unknown.is_empty() {
        return Err(Problem::new(
            Code::NotConfirmed,
            format!(
                "the shard function of {name} may change only where {name} keeps no state, and nobody knows that of {} now. Nothing was changed. \
                 Deploy again when `shardloom status` says that all shards are served",
                listed(&unknown)
            ),
        ));
    }
    Ok(())
}

/// How many shards these are, and which, as far as there is room.
pub fn listed(shards: &[ShardId]) -> String {
    let named: Vec<String> = shards.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = if shards.len() > NAMED_MAX { ", ..." } else { "" };
    format!("{} shard(s) ({}{more})", shards.len(), named.join(", "))
}

/// Asks every owner what the name keeps.
pub async fn survey(server: &NodeServer, view: &View, name: &str) -> Survey {
    let mut found: Vec<Option<u64>> = vec![None; view.shard_count() as usize];
    let told =
        join_all(view.live_nodes().map(|node| async move { (node, ask(server, view, node, name).await) }));
    for (node, sizes) in told.await {
        for (shard, bytes) in sizes {
            if view.map.owner(shard) == Some(node)
                && let Some(row) = found.get_mut(shard.index())
            {
                *row = Some(bytes);
            }
        }
    }
    let shards = |wanted: fn(Option<u64>) -> bool| {
        view.map.shards().filter(|shard| wanted(found[shard.index()])).collect::<Vec<ShardId>>()
    };
    Survey {
        kept: shards(|bytes| bytes.is_some_and(|bytes| bytes > 0)),
        unknown: shards(|bytes| bytes.is_none()),
    }
}

async fn ask(server: &NodeServer, view: &View, node: NodeId, name: &str) -> Vec<(ShardId, u64)> {
    if node == view.this_node {
        return own_sizes(server, name);
    }
    let Ok(request) = PeerRequest::StateSizes(name.to_owned()).encode() else { return Vec::new() };
    let deadline = Instant::now() + ANSWER_WAIT_MAX;
    let reply = server.fabric.request(node, Class::Control, request, deadline).await;
    match reply.map(|bytes| PeerReply::decode(&bytes)) {
        Ok(Ok(PeerReply::StateSizes(sizes))) => sizes,
        other => {
            tracing::warn!(%node, ?other, "a node did not tell what a workload keeps");
            Vec::new()
        }
    }
}

/// Bytes that the name keeps on each of the shards that this node serves.
pub fn own_sizes(server: &NodeServer, name: &str) -> Vec<(ShardId, u64)> {
    let served = |shard: ShardId| {
        let permit = server.fabric.enter(shard).ok()?;
        Some((shard, server.fabric.state(shard, permit.epoch())?.bytes(name)))
    };
    let view = server.fabric.view();
    view.map.shards().filter_map(served).collect()
}
