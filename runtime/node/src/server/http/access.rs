//! `/v1/admin/access`: tokens of the API, with roles.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use shardloom_cluster::control::{ParseRoleError, TokenRole};
use shardloom_protocol::digest::Digest;

use super::auth::{self, Caller};
use super::extract::{Manifest, Segment};
use crate::server::fabric::ControlCommand;
use crate::server::problem::{Code, Problem};
use crate::server::{NodeServer, deploy};

type Server = State<Arc<NodeServer>>;

/// Random bytes of a token.
const SECRET_BYTES: usize = 24;

/// The token that is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    name: String,
    role: String,
}

/// `GET /v1/admin/access`
pub async fn list(State(server): Server) -> Json<Value> {
    let view = server.fabric.view();
    let row = |(name, token): (&str, &shardloom_cluster::control::AccessToken)| json!({ "name": name, "role": token.role.name(), "since": token.since });
    Json(view.access.iter().map(row).collect())
}

/// `POST /v1/admin/access`: the reply holds the secret, which nobody can be told again.
pub async fn create(
    State(server): Server,
    Caller(by): Caller,
    Manifest(Wanted { name, role }): Manifest<Wanted>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let role: TokenRole =
        role.parse().map_err(|error: ParseRoleError| Problem::new(Code::BadRequest, error.to_string()))?;
    let mut secret = [0; SECRET_BYTES];
    let failed =
        |error: getrandom::Error| Problem::new(Code::Internal, format!("no random numbers: {error}"));
    getrandom::fill(&mut secret).map_err(failed)?;
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let digest = Digest(auth::digest(secret.as_bytes()));
    let command = ControlCommand::CreateAccess { name: name.clone(), role, digest };
    deploy::write_everywhere(&server, by, command).await?;
    Ok((StatusCode::CREATED, Json(json!({ "name": name, "role": role.name(), "token": secret }))))
}

/// `DELETE /v1/admin/access/{name}`
pub async fn revoke(
    State(server): Server,
    Caller(by): Caller,
    Segment(name): Segment,
) -> Result<Json<Value>, Problem> {
    deploy::write_everywhere(&server, by, ControlCommand::RevokeAccess { name: name.clone() }).await?;
    Ok(Json(json!({ "name": name, "state": "revoked" })))
}
