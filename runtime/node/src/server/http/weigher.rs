//! `/v1/admin/weigher`: the component that weighs shards.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::WeightsOutline;

use super::extract::Manifest;
use crate::server::fabric::ControlCommand;
use crate::server::problem::Problem;
use crate::server::{NodeServer, deploy, weigh};

type Server = State<Arc<NodeServer>>;

/// Which component is to weigh shards.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    component: Digest,
}

/// `GET /v1/admin/weigher`
pub async fn show(State(server): Server) -> Json<Value> {
    let view = server.fabric.view();
    let weigher = view.weigher.as_ref();
    Json(json!({
        "component": weigher.map(|weigher| weigher.component),
        "weights_set": view.weights.is_some(),
        "last_run": weigher.and_then(|weigher| weigher.last_run).map(|index| json!({ "index": index })),
        "alarm": weigher.and_then(|weigher| weigher.alarm.as_deref()),
    }))
}

/// `POST /v1/admin/weigher`
pub async fn set(State(server): Server, Manifest(choice): Manifest<Choice>) -> Result<Json<Value>, Problem> {
    let component = choice.component;
    let weights = weigh::set(&server, component).await?;
    Ok(Json(outline(Some(component), weights)))
}

/// `POST /v1/admin/weigher/run`
pub async fn run(State(server): Server) -> Result<Json<Value>, Problem> {
    let weights = weigh::run(&server).await?;
    let component = server.fabric.view().weigher.as_ref().map(|weigher| weigher.component);
    Ok(Json(outline(component, weights)))
}

/// `DELETE /v1/admin/weigher`
pub async fn unset(State(server): Server) -> Result<Json<Value>, Problem> {
    deploy::write_everywhere(&server, ControlCommand::UnsetWeigher).await?;
    Ok(Json(json!({})))
}

fn outline(component: Option<Digest>, weights: WeightsOutline) -> Value {
    let WeightsOutline { min, max, sum } = weights;
    json!({ "component": component, "weights": { "min": min, "max": max, "sum": sum } })
}
