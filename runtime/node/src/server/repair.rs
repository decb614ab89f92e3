//! The way back for shards that have lost too many replicas: an operator accepts that what only the lost ones hold is lost.
//!
//! Everybody who answers is asked where its logs end. The replicas that are left, by node and disk, are what a repair names; the shard is then
//! recovered from the highest of their logs under a new epoch, though they are no seal quorum. Who is left out is no replica any more: should
//! it come back, its epoch is over, its tail counts for nothing, and its log goes.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use shardloom_cluster::control::Author;
use shardloom_protocol::peer::{LogEnds, PeerReply, PeerRequest};
use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{Epoch, NodeId, Replica, ShardId, Tail};
use shardloom_sharding::protocol::control::NothingLeft;
use shardloom_sharding::protocol::quorum::seal_quorum;
use tokio::time::Instant;

use super::deploy;
use super::fabric::{Class, ControlCommand};
use super::node_server::NodeServer;
use super::problem::{Code, Problem};
use super::view::View;

/// How long a node may take to say where its logs end; who does not answer counts as lost.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(3);

/// A shard of which too few replicas are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The shard.
    pub shard: ShardId,
    /// The committed epoch.
    pub base: Epoch,
    /// The committed replicas.
    pub replicas: Vec<Replica>,
    /// Those that answer, on the same disk, with the ends of their logs; the highest first.
    pub survivors: Vec<(Replica, Tail)>,
}

/// The shards that are damaged, and who could take an empty one.
#[derive(Debug)]
pub struct Survey {
    /// The shards, in order.
    pub damaged: Vec<Damage>,
    answering: Vec<Replica>,
}

/// Looks for shards that have too few replicas left for a recovery: among these, or among all if none is named.
///
/// # Errors
/// A shard that is named does not exist, or has enough of them.
pub async fn survey(server: &NodeServer, named: &[ShardId]) -> Result<Survey, Problem> {
    let view = server.fabric.view();
    if let Some(unknown) = named.iter().find(|shard| shard.0 >= view.shard_count()) {
        return Err(Problem::new(Code::BadRequest, format!("there is no shard {unknown}")));
    }
    let is_wanted = |shard: &ShardId| named.is_empty() || named.contains(shard);
    let shards: Vec<ShardId> = view.map.shards().filter(is_wanted).collect();
    let ends = ask_all(server, &view, &shards).await;
    let mut damaged = Vec::new();
    for shard in shards {
        let replicas: Vec<Replica> = view.map.replicas(shard).collect();
        let end = |replica: &Replica| {
            let (disk, tails) = ends.get(&replica.node)?;
            (*disk == replica.disk).then(|| Some((*replica, *tails.get(&shard)?))).flatten()
        };
        let mut survivors: Vec<(Replica, Tail)> = replicas.iter().filter_map(end).collect();
        if survivors.len() < seal_quorum(replicas.len()) {
            survivors.sort_by_key(|(_, tail)| std::cmp::Reverse(*tail));
            damaged.push(Damage { shard, base: view.map.epoch(shard), replicas, survivors });
        } else if !named.is_empty() {
            let detail = format!(
                "{} of the {} replicas of shard {shard} answer: they suffice, and it heals by itself",
                survivors.len(),
                replicas.len()
            );
            return Err(Problem::new(Code::Refused, detail));
        }
    }
    let answering = ends.iter().map(|(node, (disk, _))| Replica { node: *node, disk: *disk }).collect();
    Ok(Survey { damaged, answering })
}

/// Repairs damaged shards: from the highest log that is left, or, where none is and `nothing_left` allows it, as empty ones. Says which.
///
/// # Errors
/// As [`survey`]; or nothing is left of a shard, and that is not accepted; or the control log cannot be written.
pub async fn repair(
    server: &NodeServer,
    by: Author,
    named: &[ShardId],
    nothing_left: NothingLeft,
) -> Result<Vec<Damage>, Problem> {
    let Survey { damaged, answering } = survey(server, named).await?;
    let lost: Vec<String> =
        damaged.iter().filter(|one| one.survivors.is_empty()).map(|one| one.shard.to_string()).collect();
    if nothing_left == NothingLeft::Refuse && !lost.is_empty() {
        let detail = format!(
            "no replica is left of shard(s) {}: they can only begin anew, empty, if you accept that (--accept-empty); \
             nothing was changed",
            lost.join(", ")
        );
        return Err(Problem::new(Code::Refused, detail));
    }
    if damaged.is_empty() {
        return Ok(damaged);
    }
    let mut beginners = answering.iter().cycle();
    let mut changes = Vec::with_capacity(damaged.len());
    for Damage { shard, base, survivors, .. } in &damaged {
        let mut replicas: Vec<Replica> = survivors.iter().map(|(replica, _)| *replica).collect();
        if replicas.is_empty() {
            replicas.extend(beginners.next());
        }
        let nobody = || Problem::new(Code::ShardUnavailable, "no node answers that could take a shard");
        let owner = replicas.first().ok_or_else(nobody)?.node;
        changes.push(Change { shard: *shard, base: *base, owner, replicas: replicas.into_iter().collect() });
    }
    let command = ControlCommand::RepairShards { changes, nothing_left };
    deploy::write_everywhere(server, by, command).await?;
    Ok(damaged)
}

type Ends = (shardloom_sharding::ids::DiskId, BTreeMap<ShardId, Tail>);

async fn ask_all(server: &NodeServer, view: &View, shards: &[ShardId]) -> BTreeMap<NodeId, Ends> {
    let answers =
        join_all(view.live_nodes().map(|node| async move { (node, ask(server, view, node, shards).await) }));
    let told = answers.await.into_iter().filter_map(|(node, ends)| Some((node, ends?)));
    told.map(|(node, LogEnds { disk, tails })| (node, (disk, tails.into_iter().collect()))).collect()
}

async fn ask(server: &NodeServer, view: &View, node: NodeId, shards: &[ShardId]) -> Option<LogEnds> {
    if node == view.this_node {
        return server.fabric.log_ends(shards.to_vec()).await.ok();
    }
    let request = PeerRequest::LogEnds(shards.to_vec()).encode().ok()?;
    let deadline = Instant::now() + ANSWER_WAIT_MAX;
    let reply = server.fabric.request(node, Class::Bulk, request, deadline).await;
    match reply.map(|bytes| PeerReply::decode(&bytes)) {
        Ok(Ok(PeerReply::LogEnds(Ok(ends)))) => Some(ends),
        other => {
            tracing::warn!(%node, ?other, "a node does not say where its logs end");
            None
        }
    }
}
