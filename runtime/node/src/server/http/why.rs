//! `GET /v1/shards/{shard}/why`: why a shard is where it is, and why it is not served if it is not.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use shardloom_cluster::control::{EpochChange, Reason};
use shardloom_sharding::ids::{NodeId, ShardId};
use shardloom_sharding::protocol::control::Assignment;
use shardloom_sharding::protocol::quorum::{seal_quorum, write_quorum};
use shardloom_sharding::route::Progress;

use super::extract::Segment;
use super::state::shard_state;
use crate::server::fabric::ShardWhy;
use crate::server::problem::{Code, Problem};
use crate::server::view::View;
use crate::server::{NodeServer, serving};

/// `GET /v1/shards/{shard}/why`
pub async fn why(
    State(server): State<Arc<NodeServer>>,
    Segment(shard): Segment,
) -> Result<Json<Value>, Problem> {
    let view = server.fabric.view();
    let number: Option<u32> = shard.parse().ok().filter(|number| *number < view.shard_count());
    let unknown = || {
        let detail = format!("{shard:?} is no shard: they are numbered 0 to {}", view.shard_count() - 1);
        Problem::new(Code::BadRequest, detail)
    };
    let shard = ShardId(number.ok_or_else(unknown)?);
    let serving = serving::survey(&server, &view).await;
    let state = shard_state(&view, &serving, shard);
    let why = server.fabric.why(shard);
    let replicas: Vec<NodeId> = view.map.replicas(shard).map(|replica| replica.node).collect();
    let weight = |shard: ShardId| weight(&view, shard);
    let owned = |node: NodeId| -> u64 {
        let shards = view.map.shards().filter(|shard| view.map.owner(*shard) == Some(node));
        shards.map(|shard| u64::from(weight(shard))).sum()
    };
    let placed = replicas.iter().map(|node| {
        let member = view.members.get(node);
        json!({
            "node": node,
            "owner": view.map.owner(shard) == Some(*node),
            "state": member.map(|member| member.state),
            "quarantine": member.and_then(|member| member.quarantine.as_deref()),
            "lacks_labels": member.map(|member| &member.lacks),
            "zone": member.map(|member| member.zone.as_str()),
            "capacity": member.map(|member| member.capacity),
            "weight_owned": owned(*node),
        })
    });
    Ok(Json(json!({
        "shard": shard,
        "state": state,
        "owner": view.map.owner(shard),
        "epoch": view.map.epoch(shard),
        "weight": weight(shard),
        "replicas_wanted": view.replicas,
        "replicas": placed.collect::<Vec<Value>>(),
        "live_nodes": view.live_nodes().collect::<Vec<NodeId>>(),
        "pending": why.pending.as_ref().map(|pending| proposed(pending, &why.pending_reasons)),
        "not_served": (state != "served").then(|| not_served(&view, shard, &why, &replicas)),
        "history": why.history.iter().map(changed).collect::<Vec<Value>>(),
    })))
}

fn weight(view: &View, shard: ShardId) -> u32 {
    view.weights.as_ref().and_then(|weights| weights.get(shard.index())).copied().unwrap_or(1)
}

fn proposed(pending: &Assignment, reasons: &[Reason]) -> Value {
    json!({
        "epoch": pending.epoch,
        "owner": pending.owner,
        "replicas": pending.replicas.iter().map(|replica| replica.node).collect::<Vec<NodeId>>(),
        "reasons": reasons.iter().map(reason).collect::<Vec<Value>>(),
    })
}

fn changed(change: &EpochChange) -> Value {
    json!({
        "index": change.index,
        "epoch": change.epoch,
        "from": change.from,
        "to": change.to,
        "gained": change.gained,
        "lost": change.lost,
        "reasons": change.reasons.iter().map(reason).collect::<Vec<Value>>(),
    })
}

/// A reason: its name out of a closed set, the node that it is about, and the same for people.
fn reason(reason: &Reason) -> Value {
    let (name, node, text) = match reason {
        Reason::First => ("first", None, "it had no owner before".to_owned()),
        Reason::Repaired => ("repaired", None, "an operator accepted the loss of data".to_owned()),
        Reason::Removed(node) => ("removed", Some(node), format!("node {node} is no member any more")),
        Reason::Draining(node) => ("draining", Some(node), format!("node {node} is drained")),
        Reason::Silent(node) => ("silent", Some(node), format!("node {node} had lost its lease")),
        Reason::Leaving(node) => ("leaving", Some(node), format!("node {node} was about to end")),
        Reason::Full(node) => ("full", Some(node), format!("the disk of node {node} was full")),
        Reason::NewDisk(node) => ("new-disk", Some(node), format!("node {node} came back with another disk")),
        Reason::Newcomer(node) => ("newcomer", Some(node), format!("node {node} had nothing yet")),
        Reason::TooFew => ("too-few", None, "it had fewer replicas than are wanted".to_owned()),
        Reason::TooMany => ("too-many", None, "it had more replicas than are wanted".to_owned()),
        Reason::Levelled => ("levelled", None, "nodes and zones were to carry more evenly".to_owned()),
        Reason::Quarantined(node) => {
            ("quarantined", Some(node), format!("node {node} was brought into quarantine"))
        }
        Reason::LabelMissing(node) => {
            ("label-missing", Some(node), format!("node {node} lacked a label that a workload asks for"))
        }
        Reason::Anew => {
            ("anew", None, "its owner had started again, or the change before had got stuck".to_owned())
        }
    };
    json!({ "reason": name, "node": node, "text": text })
}

/// The names of all reasons, for the API's description.
pub const REASONS: [&str; 15] = [
    "first",
    "repaired",
    "removed",
    "draining",
    "silent",
    "leaving",
    "full",
    "new-disk",
    "newcomer",
    "too-few",
    "too-many",
    "levelled",
    "anew",
    "quarantined",
    "label-missing",
];

/// What a shard that is not served waits for, and what to do.
fn not_served(view: &View, shard: ShardId, why: &ShardWhy, replicas: &[NodeId]) -> String {
    let listed = |nodes: Vec<NodeId>| nodes.iter().map(NodeId::to_string).collect::<Vec<String>>().join(", ");
    let silent: Vec<NodeId> = replicas.iter().copied().filter(|node| !view.is_live(*node)).collect();
    let live = replicas.len() - silent.len();
    if view.leader.is_none() {
        return "nobody leads, so leases run out and nothing can be changed: start nodes until most of the voters run".to_owned();
    }
    let quorum = seal_quorum(replicas.len()).max(write_quorum(replicas.len()));
    if !replicas.is_empty() && live < quorum {
        return format!(
            "{live} of its {} replicas answer, and {quorum} must: start {} again; if that cannot be, `shardloom repair shards` shows \
             what is left",
            replicas.len(),
            listed(silent)
        );
    }
    if let Some(pending) = &why.pending {
        let to = pending.owner.map(|node| node.to_string()).unwrap_or_default();
        return match view.unsettled.get(&shard) {
            Some(Progress::Unavailable) => format!(
                "the change to node {to} (epoch {}) waits for replicas that do not answer: start {} again",
                pending.epoch,
                listed(silent)
            ),
            _ => format!(
                "it is being handed over to node {to} under epoch {}: replicas seal it and the new owner recovers its log; wait",
                pending.epoch
            ),
        };
    }
    match view.map.owner(shard) {
        None => "it has never had an owner: the first map is being made; wait".to_owned(),
        Some(owner) if !view.is_live(owner) => {
            format!(
                "its owner, node {owner}, does not answer: the leader gives it to another when the lease is over; wait"
            )
        }
        Some(owner) => {
            format!("its owner, node {owner}, has it and recovers its state, or waits for a lease; wait")
        }
    }
}
