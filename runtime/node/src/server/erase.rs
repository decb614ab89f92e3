//! Removing what a name keeps that is deployed no more: by ordinary batches of each shard's owner, so that it is gone from all replicas.
//!
//! Nothing is removed of a name that is deployed: an owner looks at that after it has noted where the log ends, and writes only if it still ends
//! there. A call runs only where its workload is known, so no write of a call that was answered is removed.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use shardloom_protocol::batch::{Change, WriteBatch};
use shardloom_protocol::peer::{PeerReply, PeerRequest};
use shardloom_sharding::ids::{NodeId, ShardId};
use tokio::time::{Instant, sleep, timeout};

use super::fabric::Class;
use super::node_server::NodeServer;
use super::problem::{Code, Problem};
use super::state::NotWritten;
use super::state_of_names::{Survey, listed, own_sizes, survey};
use super::view::View;

/// How long it may take in all, hand-overs of shards included.
const ERASE_MAX: Duration = Duration::from_secs(240);
/// The pause before shards are looked for that nobody serves.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Rows that one batch removes: their keys, of 2 KiB at most, are well within a batch.
const ERASED_ROWS: usize = 256;
/// Bytes that are read of a shard at once for that.
const ERASED_BYTES: usize = 1 << 20;
/// How long a removal may wait for its commit: longer than a hand-over.
const COMMIT_WAIT_MAX: Duration = Duration::from_secs(10);

/// Removes all that a name keeps, which is not deployed now; says how many rows that were.
///
/// # Errors
/// Some of it may be gone; it can be done again.
pub async fn erase(server: &NodeServer, name: &str) -> Result<u64, Problem> {
    let deadline = Instant::now() + ERASE_MAX;
    let mut rows = 0;
    loop {
        let view = server.fabric.view();
        let Survey { kept, unknown } = survey(server, &view, name).await;
        if kept.is_empty() && unknown.is_empty() {
            return Ok(rows);
        }
        if Instant::now() >= deadline {
            let left: Vec<ShardId> = kept.into_iter().chain(unknown).collect();
            let detail = format!(
                "what {name} may keep on {} is not removed: do it again when `shardloom status` says that all shards are served",
                listed(&left)
            );
            return Err(Problem::new(Code::NotConfirmed, detail));
        }
        if kept.is_empty() {
            // What is kept where nobody knows is removed by whoever serves it next.
            sleep(LOOK_AGAIN).await;
            continue;
        }
        let nodes = view.live_nodes().map(|node| erase_on(server, &view, node, name, deadline));
        for erased in join_all(nodes).await {
            rows += erased.map_err(|reason| {
                let detail = format!("not all that {name} keeps is removed, do it again: {reason}");
                Problem::new(Code::NotConfirmed, detail)
            })?;
        }
    }
}

async fn erase_on(
    server: &NodeServer,
    view: &View,
    node: NodeId,
    name: &str,
    deadline: Instant,
) -> Result<u64, String> {
    if node == view.this_node {
        return erase_here(server, name).await;
    }
    let request = PeerRequest::EraseState(name.to_owned()).encode().map_err(|error| error.to_string())?;
    let reply = server.fabric.request(node, Class::Bulk, request, deadline).await;
    let bytes = reply.map_err(|error| format!("node {node}: {error}"))?;
    match PeerReply::decode(&bytes) {
        Ok(PeerReply::ErasedState(erased)) => erased,
        other => Err(format!("node {node} answered {other:?}")),
    }
}

/// Removes all that the name keeps on the shards that this node serves; says how many rows that were.
///
/// # Errors
/// In words; some of it may be gone.
pub async fn erase_here(server: &NodeServer, name: &str) -> Result<u64, String> {
    let mut rows = 0;
    for (shard, bytes) in own_sizes(server, name) {
        if bytes > 0 {
            rows += erase_shard(server, shard, name).await?;
        }
    }
    Ok(rows)
}

/// A shard that is lost in the middle is its next owner's to go on with.
async fn erase_shard(server: &NodeServer, shard: ShardId, name: &str) -> Result<u64, String> {
    let Ok(permit) = server.fabric.enter(shard) else { return Ok(0) };
    let Some(state) = server.fabric.state(shard, permit.epoch()) else { return Ok(0) };
    let mut rows = 0;
    loop {
        // Noted before the look at what is deployed: a call of a workload that came back meanwhile is later, and the batch void.
        let last = state.last();
        if server.fabric.view().workloads.contains_key(name) {
            return Err(format!("{name} was deployed meanwhile: what is left of its state stays"));
        }
        let found =
            state.scan(name, &[], None, ERASED_ROWS, ERASED_BYTES).map_err(|error| error.to_string())?;
        if found.is_empty() {
            return Ok(rows);
        }
        let count = found.len() as u64;
        let changes = found.into_iter().map(|(key, _): (Bytes, Bytes)| Change { key, value: None }).collect();
        let batch = WriteBatch {
            request: server.router.new_id(),
            workload: name.to_owned(),
            changes,
            reply: None,
            idempotency: None,
        };
        let position = match state.write_after(&batch, last).await {
            Ok(position) => position,
            Err(NotWritten::NotServed) => return Ok(rows),
            // Another workload wrote on this shard.
            Err(NotWritten::Overtaken) => continue,
            Err(error) => return Err(format!("shard {shard}: {error}")),
        };
        let mut committed = state.committed();
        let reached = committed.wait_for(|upto| *upto >= position);
        match timeout(COMMIT_WAIT_MAX, reached).await {
            Ok(Ok(_)) => rows += count,
            Ok(Err(_)) => return Ok(rows),
            Err(_) => return Err(format!("shard {shard}: a removal was not committed in time")),
        }
    }
}
