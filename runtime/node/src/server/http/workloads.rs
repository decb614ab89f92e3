//! `/v1/workloads/{name}`: deploy and undeploy, show, promote, roll back.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use shardloom_cluster::control::{Labels, WorkloadVersion};
use shardloom_protocol::digest::Digest;
use shardloom_protocol::grant::Grant;
use shardloom_protocol::peer::VersionCount;
use shardloom_protocol::workload::{HttpSpec, WorkloadLimits, WorkloadSpec};
use shardloom_sharding::canary::Share;

use super::auth::Caller;
use super::extract::{Manifest, Segment};
use super::state::workload_row;
use crate::server::deploy::{Leaving, Reach};
use crate::server::latencies::quantile;
use crate::server::problem::{Code, Problem};
use crate::server::versions::Changed;
use crate::server::view::Workload;
use crate::server::{NodeServer, deploy, version_survey, versions};

/// What a deploy consists of. `component` and `shard_function` were uploaded before.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployManifest {
    component: Digest,
    #[serde(default)]
    shard_function: Option<Digest>,
    #[serde(default)]
    config: BTreeMap<String, String>,
    #[serde(default)]
    limits: WorkloadLimits,
    #[serde(default)]
    http: Option<HttpSpec>,
    #[serde(default)]
    grants: Vec<Grant>,
    /// On this share of the shards only.
    #[serde(default)]
    canary: Option<Share>,
    /// Nodes without these own no shards.
    #[serde(default)]
    require_labels: Labels,
}

/// `PUT /v1/workloads/{name}`
pub async fn deploy(
    State(server): State<Arc<NodeServer>>,
    Caller(by): Caller,
    Segment(name): Segment,
    Manifest(manifest): Manifest<DeployManifest>,
) -> Result<Json<Value>, Problem> {
    let DeployManifest { component, shard_function, config, limits, http, grants, canary, require_labels } =
        manifest;
    let spec = WorkloadSpec { component, shard_function, config, limits, http, grants };
    let reach = canary.map_or(Reach::All, Reach::Canary);
    let deployed = deploy::deploy(&server, by, &name, spec, reach, require_labels.clone()).await?;
    Ok(Json(json!({
        "name": name,
        "version": deployed.version,
        "component": component,
        "canary": canary,
        "require_labels": require_labels,
        "confirmed_by": deployed.confirmed_by,
    })))
}

/// `GET /v1/workloads/{name}`
pub async fn show(
    State(server): State<Arc<NodeServer>>,
    Segment(name): Segment,
) -> Result<Json<Value>, Problem> {
    let view = server.fabric.view();
    let unknown = || Problem::new(Code::UnknownWorkload, format!("there is no workload {name:?}"));
    let workload = view.workloads.get(&name).ok_or_else(unknown)?;
    let survey = version_survey::survey(&server, &view, workload).await;
    let mut shown = workload_row(&view, workload);
    shown["since"] = workload.since.into();
    shown["counted_since"] = workload.activation.into();
    shown["not_counted_on"] = json!(survey.missing);
    shown["shard_count"] = view.shard_count().into();
    if let Some(canary) = &workload.canary {
        shown["canary"]["shards"] = json!(canary.shards);
    }
    shown["versions"] = workload
        .kept
        .iter()
        .map(|kept| version_row(workload, kept, survey.counts.get(&kept.version), view.shard_count()))
        .collect();
    Ok(Json(shown))
}

/// A version that is kept, and how it fares where it runs.
fn version_row(
    workload: &Workload,
    kept: &WorkloadVersion,
    count: Option<&VersionCount>,
    shard_count: u32,
) -> Value {
    let tried = workload.canary.as_ref();
    let on_canary = tried.map_or(0, |canary| canary.shards.len());
    let (state, shards) = if kept.version == workload.version {
        ("current", shard_count as usize - on_canary)
    } else if tried.is_some_and(|canary| canary.workload.version == kept.version) {
        ("canary", on_canary)
    } else {
        ("kept", 0)
    };
    let WorkloadSpec { component, shard_function, config, limits, http, grants } = &kept.spec;
    let (calls, errors) = count.map_or((0, 0), |count| (count.calls, count.errors));
    let ms = |part: f64| Some(quantile(&count?.latencies, part)? as f64 / 1000.0);
    json!({
        "version": kept.version,
        "state": state,
        "shards": shards,
        "deployed": kept.deployed,
        "before": kept.before,
        "component": component,
        "shard_function": shard_function,
        "config": config,
        "limits": limits,
        "http": http,
        "grants": grants,
        "calls": calls,
        "errors": errors,
        "error_rate": (calls > 0).then(|| errors as f64 / calls as f64),
        "p50_ms": ms(0.5),
        "p99_ms": ms(0.99),
    })
}

/// `POST /v1/workloads/{name}/promote`
pub async fn promote(
    State(server): State<Arc<NodeServer>>,
    Caller(by): Caller,
    Segment(name): Segment,
) -> Result<Json<Value>, Problem> {
    let changed = versions::promote(&server, by, &name).await?;
    Ok(Json(change_row(&name, changed)))
}

/// Where a rollback goes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollBack {
    #[serde(default)]
    to: Option<u64>,
}

/// `POST /v1/workloads/{name}/rollback?to=VERSION`
pub async fn roll_back(
    State(server): State<Arc<NodeServer>>,
    Caller(by): Caller,
    Segment(name): Segment,
    asked: Result<Query<RollBack>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(RollBack { to }) = asked.map_err(|error| Problem::new(Code::BadRequest, error.body_text()))?;
    let changed = versions::roll_back(&server, by, &name, to).await?;
    Ok(Json(change_row(&name, changed)))
}

fn change_row(name: &str, changed: Changed) -> Value {
    let Changed { version, before, canary, since } = changed;
    json!({ "name": name, "version": version, "before": before, "canary": canary, "since": since })
}

/// How a workload is taken away.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undeploy {
    #[serde(default)]
    delete_state: bool,
}

/// `DELETE /v1/workloads/{name}?delete_state=BOOL`
pub async fn undeploy(
    State(server): State<Arc<NodeServer>>,
    Caller(by): Caller,
    Segment(name): Segment,
    undeploy: Result<Query<Undeploy>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(Undeploy { delete_state }) =
        undeploy.map_err(|error| Problem::new(Code::BadRequest, error.body_text()))?;
    let leaving = if delete_state { Leaving::DeleteState } else { Leaving::KeepState };
    let rows = deploy::undeploy(&server, by, name, leaving).await?;
    Ok(Json(if delete_state { json!({ "rows_deleted": rows }) } else { json!({}) }))
}
