//! What the cluster looks like from here: `/v1/status`, `/v1/nodes`, `/v1/shards`, `/v1/endpoints`, `/v1/workloads`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use shardloom_cluster::builds::MemberBuild;
use shardloom_cluster::clock;
use shardloom_cluster::leading::MovesNews;
use shardloom_host::ShardLoad;
use shardloom_sharding::ids::{NodeId, ShardId};
use shardloom_sharding::protocol::leader::MoveStep;
use shardloom_sharding::route::Progress;

use super::{certificates, plans};
use crate::server::NodeServer;
use crate::server::problem::{Code, Problem};
use crate::server::view::{Canary, Member, View, Workload};
use crate::server::weigh::{self, Choice};
use crate::server::{build_survey, function_alarms, healing, serving};

type Server = State<Arc<NodeServer>>;

/// `GET /v1/status`
pub async fn status(State(server): Server) -> Json<Value> {
    let view = server.fabric.view();
    let (serving, functions, builds, unhealed) = tokio::join!(
        serving::survey(&server, &view),
        function_alarms::survey(&server, &view),
        build_survey::survey(&server, &view),
        healing::survey(&server, &view)
    );
    let alarms = weigher_alarm(&view).into_iter().chain(functions).chain(unhealed);
    let warnings: Vec<String> = view.warnings.iter().cloned().chain(alarms).collect();
    let elected = view.elected.map(|elected| clock::now().since(elected).as_secs());
    let rotation = server.fabric.certificates().rotation;
    let canaries: Vec<Value> = view.workloads.values().filter_map(|workload| canary_of(workload)).collect();
    let states = view.map.shards().map(|shard| shard_state(&view, &serving, shard));
    let (mut served, mut unavailable) = (0_u32, 0_u32);
    for state in states {
        served += u32::from(state == "served");
        unavailable += u32::from(state == "unavailable");
    }
    Json(json!({
        "cluster_id": view.cluster_id,
        "epoch": view.epoch(),
        "term": view.term,
        "leader": view.leader,
        "last_election_seconds_ago": elected,
        "version": env!("CARGO_PKG_VERSION"),
        "formats": build_survey::formats(&view, &builds),
        "shard_count": view.shard_count(),
        "replicas": view.replicas,
        "replicas_possible": view.replicas_possible,
        "levelling": plans::levelling(view.settings.levelling()),
        "moves": move_list(&view.moves),
        "certificate_rotation": certificates::rotation_row(rotation.as_ref(), &view),
        "nodes": node_list(&view, &builds),
        "shards": { "total": view.shard_count(), "served": served, "unavailable": unavailable },
        "workloads": view.workloads.len(),
        "canaries": canaries,
        "warnings": warnings,
    }))
}

fn weigher_alarm(view: &View) -> Option<String> {
    let weigher = view.weigher.as_ref()?;
    let reason = weigher.alarm.as_deref()?;
    Some(format!(
        "the weigher {} gave no weights, so the old ones stay: {reason}. It is asked again every half minute: `shardloom weigher run --dry` \
         shows what it says, `shardloom weigher set` puts another in its place, `shardloom weigher unset` takes it out",
        Choice::of(weigher.component)
    ))
}

/// `GET /v1/nodes`
pub async fn nodes(State(server): Server) -> Json<Value> {
    let view = server.fabric.view();
    let builds = build_survey::survey(&server, &view).await;
    Json(Value::Array(node_list(&view, &builds)))
}

/// `GET /v1/moves`
pub async fn moves(State(server): Server) -> Json<Value> {
    Json(move_list(&server.fabric.view().moves))
}

/// Which shards are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedShards {
    /// Only so many, with their loads: those that keep their owners busiest.
    busiest: Option<usize>,
}

/// `GET /v1/shards?busiest=N`
pub async fn shards(
    State(server): Server,
    wanted: Result<Query<WantedShards>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(WantedShards { busiest }) =
        wanted.map_err(|error| Problem::new(Code::BadRequest, error.body_text()))?;
    let view = server.fabric.view();
    let mut rows = shard_rows(&server, &view).await;
    if let Some(most) = busiest {
        rows = busiest_of(&server, &view, rows, most).await;
    }
    Ok(Json(Value::Array(rows)))
}

/// The busiest rows, the busiest first, with what their owners told of their loads.
async fn busiest_of(server: &NodeServer, view: &View, rows: Vec<Value>, most: usize) -> Vec<Value> {
    let (loads, told) = weigh::collect(server, view).await;
    let mut loaded: Vec<(Value, ShardLoad, bool)> =
        rows.into_iter().zip(loads).zip(told).map(|((row, load), told)| (row, load, told)).collect();
    let busy = |load: &ShardLoad| (load.busy_ms_per_second, load.calls_per_second);
    loaded.sort_by(|(_, a, _), (_, b, _)| {
        let ((busy_a, calls_a), (busy_b, calls_b)) = (busy(a), busy(b));
        busy_b.total_cmp(&busy_a).then(calls_b.total_cmp(&calls_a)).then(b.queue_depth.cmp(&a.queue_depth))
    });
    loaded.truncate(most);
    let shown = loaded.into_iter().map(|(mut row, load, told)| {
        row["busy_ms_per_second"] = json!(load.busy_ms_per_second);
        row["calls_per_second"] = json!(load.calls_per_second);
        row["queue_depth"] = json!(load.queue_depth);
        row["state_bytes"] = json!(load.state_bytes);
        // Where its owner did not answer there is no load, rather than one of nothing.
        row["load_told"] = json!(told);
        row
    });
    shown.collect()
}

async fn shard_rows(server: &NodeServer, view: &View) -> Vec<Value> {
    let serving = serving::survey(server, view).await;
    let weight =
        |shard: ShardId| view.weights.as_ref().and_then(|weights| weights.get(shard.index())).copied();
    let rows = view.map.shards().map(|shard| {
        json!({
            "shard": shard,
            "owner": view.map.owner(shard),
            "replicas": view.map.replicas(shard).map(|replica| replica.node).collect::<Vec<NodeId>>(),
            "epoch": view.map.epoch(shard),
            "state": shard_state(view, &serving, shard),
            "weight": weight(shard).unwrap_or(1),
        })
    });
    rows.collect()
}

/// `GET /v1/endpoints`
pub async fn endpoints(State(server): Server) -> Json<Value> {
    let view = server.fabric.view();
    let rows = view.members.iter().flat_map(|(node, member)| {
        [("http", &member.http), ("peer", &member.peer), ("gossip", &member.gossip)]
            .map(|(name, address)| json!({ "node": node, "name": name, "address": address }))
    });
    Json(rows.collect())
}

/// `GET /v1/workloads`
pub async fn workloads(State(server): Server) -> Json<Value> {
    let view = server.fabric.view();
    Json(view.workloads.values().map(|workload| workload_row(&view, workload)).collect())
}

/// A workload as the list shows it.
pub fn workload_row(view: &View, workload: &Workload) -> Value {
    json!({
        "name": workload.name,
        "version": workload.version,
        "component": workload.spec.component,
        "shard_function": workload.spec.shard_function,
        "config": workload.spec.config,
        "limits": workload.spec.limits,
        "http": workload.spec.http,
        "grants": workload.spec.grants,
        "require_labels": view.required_labels.get(&workload.name),
        "canary": workload.canary.as_ref().map(canary_row),
    })
}

fn canary_row(canary: &Canary) -> Value {
    json!({ "version": canary.workload.version, "share": canary.share, "since": canary.workload.since })
}

/// The canary of a workload, if there is one, and whose it is.
fn canary_of(workload: &Workload) -> Option<Value> {
    let canary = workload.canary.as_ref()?;
    let mut row = canary_row(canary);
    row["workload"] = json!(workload.name);
    row["shards"] = json!(canary.shards.len());
    Some(row)
}

/// A node as the list shows it.
pub fn node_row(view: &View, node: NodeId, member: &Member) -> Value {
    json!({
        "id": node,
        "state": member.state,
        "role": member.role,
        "http": member.http,
        "peer": member.peer,
        "zone": member.zone,
        "capacity": member.capacity,
        "labels": member.labels,
        "quarantine": member.quarantine,
        "lacks_labels": member.lacks,
        "shards_owned": view.map.owned(node),
        "shards_held": view.map.held(node),
    })
}

fn move_list(moves: &MovesNews) -> Value {
    let step = |step: MoveStep| match step {
        MoveStep::Learning => "learning",
        MoveStep::Holding => "holding",
        MoveStep::HandingOver => "handing-over",
    };
    let rows = moves.list.iter().map(|one| {
        json!({
            "shard": one.shard,
            "from": one.from,
            "to": one.owner,
            "gains": one.gains,
            "loses": one.loses,
            "reason": one.reason.name(),
            "why": one.reason.to_string(),
            "state": step(one.step),
            "seconds": one.took.as_secs_f64(),
            "sent_bytes": one.progress.sent_bytes,
            "whole_bytes": one.progress.whole_bytes,
            "entries_behind": one.progress.tail.0.saturating_sub(one.progress.reached.0),
            "seconds_left": one.left.map(|left| left.as_secs_f64()),
        })
    });
    let list: Vec<Value> = rows.collect();
    json!({
        "in_flight": moves.in_flight,
        "waiting": moves.waiting,
        "bytes_to_go": moves.bytes_to_go,
        "list": list,
    })
}

fn node_list(view: &View, builds: &BTreeMap<NodeId, MemberBuild>) -> Vec<Value> {
    let row = |(node, member): (&NodeId, &Member)| {
        let mut row = node_row(view, *node, member);
        row["build"] = build_survey::build_row(builds.get(node));
        row
    };
    view.members.iter().map(row).collect()
}

/// Served is what its owner says it serves, and no change is under way for.
pub fn shard_state(view: &View, serving: &[bool], shard: ShardId) -> &'static str {
    match view.unsettled.get(&shard) {
        Some(Progress::Unavailable) => "unavailable",
        Some(Progress::Resharding) => "resharding",
        Some(Progress::Settled) | None if view.map.owner(shard).is_none() => "unavailable",
        Some(Progress::Settled) | None if serving[shard.index()] => "served",
        // Its owner is silent, or has just begun and recovers.
        Some(Progress::Settled) | None => "resharding",
    }
}
