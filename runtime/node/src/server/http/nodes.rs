//! `POST /v1/admin/...` for nodes: tokens, step-down, add, drain, remove, quarantine, release.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shardloom_cluster::control::Author;
use shardloom_sharding::ids::NodeId;

use super::auth::Caller;
use super::extract::Segment;
use crate::server::fabric::{ControlCommand, ControlReply, Force};
use crate::server::problem::{Code, Problem};
use crate::server::view::{Member, MemberState, View};
use crate::server::{NodeServer, deploy};

type Server = State<Arc<NodeServer>>;

/// How a join token is asked for; the body may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// For how many seconds it is good.
    expires_in_s: Option<u64>,
}

/// `POST /v1/admin/tokens`
pub async fn create_token(
    State(server): Server,
    Caller(by): Caller,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let request: TokenRequest = optional(&body)?;
    let life = request.expires_in_s.map(Duration::from_secs);
    match server.fabric.write(by, ControlCommand::CreateToken { life }).await? {
        ControlReply::Token { token, expires_in } => {
            Ok(Json(json!({ "token": token, "expires_in_s": expires_in.as_secs() })))
        }
        other => Err(Problem::new(Code::Internal, format!("asked for a token, got {other:?}"))),
    }
}

/// `POST /v1/admin/step-down`
pub async fn step_down(State(server): Server, Caller(by): Caller) -> Result<Json<Value>, Problem> {
    let stepped = server.fabric.step_down().await;
    let refused = stepped.as_ref().err().map(ToString::to_string);
    deploy::note(&server, by, ("have another node lead".into(), None), refused).await;
    let leader = stepped?;
    Ok(Json(json!({ "leader": leader })))
}

/// `POST /v1/admin/nodes/{id}/add`
pub async fn add(
    State(server): Server,
    Caller(by): Caller,
    Segment(id): Segment,
) -> Result<Json<Value>, Problem> {
    let node = node(&id)?;
    change(&server, by, node, ControlCommand::AddNode(node)).await
}

/// `POST /v1/admin/nodes/{id}/drain`
pub async fn drain(
    State(server): Server,
    Caller(by): Caller,
    Segment(id): Segment,
) -> Result<Json<Value>, Problem> {
    let node = node(&id)?;
    if let Some(refusal) = drains_never(&server.fabric.view(), node) {
        return Err(refuse(&server, by, format!("drain node {node}"), refusal).await);
    }
    change(&server, by, node, ControlCommand::DrainNode(node)).await
}

/// How a node is removed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removal {
    #[serde(default)]
    force: bool,
}

/// `POST /v1/admin/nodes/{id}/remove?force=BOOL`
pub async fn remove(
    State(server): Server,
    Caller(by): Caller,
    Segment(id): Segment,
    removal: Result<Query<Removal>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let node = node(&id)?;
    let Query(removal) = removal.map_err(|error| Problem::new(Code::BadRequest, error.body_text()))?;
    if let Some(refusal) = is_last(&server.fabric.view(), node) {
        return Err(refuse(&server, by, format!("remove node {node}"), refusal).await);
    }
    let force = if removal.force { Force::Orphan } else { Force::Refuse };
    change(&server, by, node, ControlCommand::RemoveNode { node, force }).await
}

/// Why a node is to be quarantined; the body may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineRequest {
    reason: Option<String>,
}

/// `POST /v1/admin/nodes/{id}/quarantine`
pub async fn quarantine(
    State(server): Server,
    Caller(by): Caller,
    Segment(id): Segment,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let node = node(&id)?;
    let QuarantineRequest { reason } = optional(&body)?;
    let reason = reason.unwrap_or_else(|| format!("{by} wants it so"));
    change(&server, by, node, ControlCommand::Quarantine { node, reason }).await
}

/// `POST /v1/admin/nodes/{id}/release`
pub async fn release(
    State(server): Server,
    Caller(by): Caller,
    Segment(id): Segment,
) -> Result<Json<Value>, Problem> {
    let node = node(&id)?;
    change(&server, by, node, ControlCommand::Release(node)).await
}

/// What a body says that may be left out.
fn optional<T: Default + DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    match body.trim_ascii() {
        b"" | b"null" => Ok(T::default()),
        text => {
            serde_json::from_slice(text).map_err(|error| Problem::new(Code::BadRequest, error.to_string()))
        }
    }
}

fn node(id: &str) -> Result<NodeId, Problem> {
    id.parse().map_err(|error| Problem::new(Code::BadRequest, format!("{error}")))
}

/// Why this member must not be removed: without it there would be no cluster. Not even by force, since nothing would undo that.
fn is_last(view: &View, node: NodeId) -> Option<String> {
    let member = |member: &Member| member.state != MemberState::Pending;
    let (last, others) = (view.members.get(&node).is_some_and(member), others(view, node, member));
    (last && !others).then(|| {
        format!("node {node} is the last member of the cluster, so it cannot be removed: to end a cluster, stop its nodes and delete their data")
    })
}

/// Why this member would drain for ever: nobody else takes on what it holds.
fn drains_never(view: &View, node: NodeId) -> Option<String> {
    let stays = |member: &Member| !matches!(member.state, MemberState::Pending | MemberState::Draining);
    let drains = view.members.get(&node).is_some_and(|member| member.state != MemberState::Pending);
    (drains && !others(view, node, stays)).then(|| {
        format!(
            "no other member could take on what node {node} holds, so its drain would never end: let another node join, or take one back \
             that waits or drains (`shardloom node add`); to end a cluster, stop its nodes and delete their data"
        )
    })
}

/// Whether some other node is like this.
fn others(view: &View, node: NodeId, like: impl Fn(&Member) -> bool) -> bool {
    view.members.iter().any(|(other, member)| *other != node && like(member))
}

/// What is refused before it gets to the control log; the audit has it all the same.
async fn refuse(server: &NodeServer, by: Author, what: String, refusal: String) -> Problem {
    deploy::note(server, by, (what, None), Some(refusal.clone())).await;
    Problem::new(Code::Refused, refusal)
}

async fn change(
    server: &NodeServer,
    by: Author,
    node: NodeId,
    command: ControlCommand,
) -> Result<Json<Value>, Problem> {
    deploy::write_everywhere(server, by, command).await?;
    let view = server.fabric.view();
    let state = view.members.get(&node).map_or(json!("removed"), |member| json!(member.state));
    Ok(Json(json!({ "id": node, "state": state })))
}
