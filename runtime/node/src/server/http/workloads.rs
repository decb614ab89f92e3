//! `PUT` and `DELETE /v1/workloads/{name}`: deploy and undeploy.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use shardloom_protocol::digest::Digest;
use shardloom_protocol::grant::Grant;
use shardloom_protocol::workload::{HttpSpec, WorkloadLimits, WorkloadSpec};

use super::auth::Caller;
use super::extract::{Manifest, Segment};
use crate::server::deploy::Leaving;
use crate::server::problem::{Code, Problem};
use crate::server::{NodeServer, deploy};

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
}

/// `PUT /v1/workloads/{name}`
pub async fn deploy(
    State(server): State<Arc<NodeServer>>,
    Caller(by): Caller,
    Segment(name): Segment,
    Manifest(manifest): Manifest<DeployManifest>,
) -> Result<Json<Value>, Problem> {
    let DeployManifest { component, shard_function, config, limits, http, grants } = manifest;
    let spec = WorkloadSpec { component, shard_function, config, limits, http, grants };
    let deployed = deploy::deploy(&server, by, &name, spec).await?;
    Ok(Json(json!({
        "name": name,
        "version": deployed.version,
        "component": component,
        "confirmed_by": deployed.confirmed_by,
    })))
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
