//! `/v1/admin/plan` and `/v1/admin/rebalance`: what would move and why, and having just that done.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use shardloom_protocol::digest::Digest;
use shardloom_sharding::ids::NodeId;
use shardloom_sharding::plan::{NodeBalance, Reason};
use shardloom_sharding::protocol::leader::{
    Levelling, NodeOutlook, Order, PlanAsk, PlanId, PlannedMove, Preview, Supposed,
};

use super::auth::Caller;
use crate::server::built_in_weighers::BuiltInWeigher;
use crate::server::problem::{Code, Problem};
use crate::server::weigh::Choice;
use crate::server::{NodeServer, deploy, plans, weigh};

type Server = State<Arc<NodeServer>>;

/// What is to be planned for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asked {
    /// Nodes that are supposed to drain, with commas between them.
    without: String,
    /// How many more nodes are supposed to be there.
    with_nodes: u32,
    /// A component that is supposed to have weighed the shards.
    component: Option<Digest>,
    /// Or a built-in weigher.
    built_in: Option<BuiltInWeigher>,
}

/// `GET /v1/admin/plan?without=ID,ID&with_nodes=N&component=DIGEST&built_in=NAME`
pub async fn plan(
    State(server): Server,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let bad = |detail: String| Problem::new(Code::BadRequest, detail);
    let Query(asked) = asked.map_err(|error| bad(error.body_text()))?;
    let without = asked.without.split(',').filter(|id| !id.is_empty());
    let without: Result<Vec<NodeId>, _> = without.map(str::parse).collect();
    let without = without.map_err(|error| bad(error.to_string()))?;
    let choice = match (asked.component, asked.built_in) {
        (None, None) => None,
        (Some(component), None) => Some(Choice::Component(component)),
        (None, Some(weigher)) => Some(Choice::BuiltIn(weigher)),
        (Some(_), Some(_)) => return Err(bad("name a component or a built-in weigher, not both".into())),
    };
    let weights = match choice {
        None => None,
        Some(_) => {
            let weighed = weigh::try_run(&server, choice).await?;
            Some(weighed.iter().map(|row| row.weight).collect())
        }
    };
    let ask = PlanAsk { without, with_nodes: asked.with_nodes, weights };
    let sizes = weigh::state_sizes(&server, &server.fabric.view()).await;
    let mut reply = shown(&plans::preview(&server, ask).await?, &sizes);
    reply["balance_threshold"] = json!(server.fabric.view().settings.balance_threshold_percent());
    Ok(Json(reply))
}

/// What is to be carried out: a plan that was told, or what levels everything now.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    plan: Option<PlanId>,
}

/// `POST /v1/admin/rebalance`: the body may name a plan.
pub async fn rebalance(
    State(server): Server,
    Caller(by): Caller,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let wanted: Wanted = match body.trim_ascii() {
        b"" | b"null" => Wanted::default(),
        text => {
            serde_json::from_slice(text).map_err(|error| Problem::new(Code::BadRequest, error.to_string()))?
        }
    };
    let what =
        wanted.plan.map_or_else(|| "level everything".to_owned(), |plan| format!("carry out plan {plan}"));
    let ordered = plans::order(&server, wanted.plan.map_or(Order::Now, Order::Plan)).await;
    let refused = ordered.as_ref().err().map(|problem| problem.detail.clone());
    deploy::note(&server, by, (what, None), refused).await;
    let ordered = ordered?;
    Ok(Json(json!({ "plan": ordered.id, "moves": ordered.moves })))
}

/// A plan, with what each move copies. `sizes` has the bytes of each shard's state, as far as they are known.
fn shown(preview: &Preview, sizes: &[Option<u64>]) -> Value {
    let supposed: BTreeMap<NodeId, String> = preview
        .nodes
        .iter()
        .filter_map(|outlook| Some((outlook.node, format!("new-{}", outlook.supposed?))))
        .collect();
    let name = |node: NodeId| supposed.get(&node).cloned().unwrap_or_else(|| node.to_string());
    let names = |nodes: &[NodeId]| nodes.iter().map(|node| name(*node)).collect::<Vec<_>>();
    let copy_bytes = |one: &PlannedMove| {
        let size = if one.gains.is_empty() { Some(0) } else { sizes.get(one.shard.index()).copied()? };
        size.map(|bytes| bytes * one.gains.len() as u64)
    };
    let why = |reason: Reason| {
        let words = reason.to_string();
        reason.node().map_or_else(|| words.clone(), |node| words.replace(&node.to_string(), &name(node)))
    };
    let moves = preview.moves.iter().map(|one| {
        json!({
            "shard": one.shard,
            "from": one.from,
            "to": name(one.to),
            "gains": names(&one.gains),
            "loses": names(&one.loses),
            "reason": one.reason.name(),
            "why": why(one.reason),
            "copy_bytes": copy_bytes(one),
        })
    });
    let copied: Vec<Option<u64>> = preview.moves.iter().map(copy_bytes).collect();
    let (before, after) = (Shares::of(preview, |node| &node.before), Shares::of(preview, |node| &node.after));
    let node = |outlook: &NodeOutlook| {
        json!({
            "node": name(outlook.node),
            "supposed": outlook.supposed.is_some(),
            "capacity": outlook.after.capacity,
            "before": before.carried(&outlook.before),
            "after": after.carried(&outlook.after),
        })
    };
    json!({
        "plan": preview.id,
        "supposes": preview.supposes.map(supposes),
        "why_not": preview.supposes.map(|supposed| supposed.to_string()),
        "levelling": levelling(preview.levelling),
        "resting": preview.resting,
        "under_way": preview.under_way,
        "copies": preview.moves.iter().map(|one| one.gains.len()).sum::<usize>(),
        "copy_bytes": copied.iter().flatten().sum::<u64>(),
        "unknown_sizes": copied.iter().filter(|bytes| bytes.is_none()).count(),
        "busiest_before": before.busiest(preview, |node| &node.before),
        "busiest_after": after.busiest(preview, |node| &node.after),
        "moves": moves.collect::<Vec<Value>>(),
        "nodes": preview.nodes.iter().map(node).collect::<Vec<Value>>(),
    })
}

/// What all nodes carry together, and how much they could, to say what one carries of its share.
struct Shares {
    weight: u64,
    capacity: u64,
}

impl Shares {
    fn of(preview: &Preview, side: impl Fn(&NodeOutlook) -> &NodeBalance) -> Shares {
        let weight = preview.nodes.iter().map(|node| side(node).owned_weight).sum();
        // A node that owns nothing, now or then, because it leaves or is not there yet, is no part of the measure.
        let counts = preview.nodes.iter().filter(|node| side(node).owned > 0);
        Shares { weight, capacity: counts.map(|node| u64::from(side(node).capacity)).sum() }
    }

    /// What the node carries, in parts of its share by capacity; none where it has no share.
    fn load(&self, node: &NodeBalance) -> Option<f64> {
        let share = self.weight as f64 * f64::from(node.capacity) / self.capacity.max(1) as f64;
        (share > 0.0).then(|| node.owned_weight as f64 / share)
    }

    fn busiest(&self, preview: &Preview, side: impl Fn(&NodeOutlook) -> &NodeBalance) -> Option<f64> {
        preview.nodes.iter().filter_map(|node| self.load(side(node))).max_by(f64::total_cmp)
    }

    fn carried(&self, node: &NodeBalance) -> Value {
        json!({
            "owned": node.owned,
            "owned_weight": node.owned_weight,
            "held": node.held,
            "held_weight": node.held_weight,
            "load": self.load(node),
        })
    }
}

/// The name of what a plan supposes.
fn supposes(supposed: Supposed) -> &'static str {
    match supposed {
        Supposed::MoreNodes => "more-nodes",
        Supposed::FewerNodes => "fewer-nodes",
        Supposed::OtherWeights => "other-weights",
    }
}

/// Whether the leader levels by itself.
pub fn levelling(levelling: Levelling) -> &'static str {
    match levelling {
        Levelling::On => "on",
        Levelling::Paused => "paused",
    }
}
