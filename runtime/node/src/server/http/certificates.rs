//! `/v1/certificates`: the authorities and certificates of the nodes, and their rotation.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use shardloom_cluster::certificates::{CertificateReport, RotationReport};
use shardloom_sharding::ids::NodeId;

use super::auth::Caller;
use crate::server::fabric::ControlCommand;
use crate::server::problem::Problem;
use crate::server::view::View;
use crate::server::{NodeServer, deploy};

type Server = State<Arc<NodeServer>>;

/// `GET /v1/certificates`
pub async fn show(State(server): Server) -> Json<Value> {
    Json(told(&server.fabric.certificates(), &server.fabric.view()))
}

/// `POST /v1/admin/certificates/rotate`: begins a rotation; it goes on by itself.
pub async fn rotate(State(server): Server, Caller(by): Caller) -> Result<Json<Value>, Problem> {
    deploy::write_everywhere(&server, by, ControlCommand::RotateCertificates).await?;
    Ok(Json(told(&server.fabric.certificates(), &server.fabric.view())))
}

fn told(report: &CertificateReport, view: &View) -> Value {
    let authorities = report.authorities.iter().map(|authority| {
        json!({
            "number": authority.number,
            "fingerprint": authority.fingerprint,
            "state": if authority.in_force { "in-force" } else { "next" },
        })
    });
    let rotation = report.rotation.as_ref();
    let nodes = report.nodes.iter().map(|node| {
        let confirmed = rotation.map(|rotation| !rotation.waits_for.contains(&node.node));
        json!({
            "id": node.node,
            "state": view.members.get(&node.node).map(|member| member.state),
            "authority": node.authority,
            "fingerprint": node.fingerprint,
            "confirmed": confirmed,
        })
    });
    json!({
        "authorities": authorities.collect::<Vec<Value>>(),
        "nodes": nodes.collect::<Vec<Value>>(),
        "rotation": rotation_row(rotation, view),
    })
}

/// A rotation as `status` shows it too; null where none is under way.
pub fn rotation_row(rotation: Option<&RotationReport>, view: &View) -> Value {
    let Some(rotation) = rotation else { return Value::Null };
    let waited_for = |node: &NodeId| {
        let state = view.members.get(node).map(|member| member.state);
        json!({ "id": node, "state": state })
    };
    json!({
        "since": rotation.since,
        "authority": rotation.authority,
        "phase": rotation.phase.name(),
        "confirmed": rotation.confirmed.len(),
        "waits_for": rotation.waits_for.iter().map(waited_for).collect::<Vec<Value>>(),
    })
}
