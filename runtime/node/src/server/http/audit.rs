//! `GET /v1/audit?since=INDEX&tail=N`: who changed what.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use shardloom_cluster::control::{AUDIT_ENTRIES_MAX, AuditEntry, Outcome};

use crate::calendar;
use crate::server::NodeServer;
use crate::server::problem::{Code, Problem};

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Only entries after this index of the control log.
    #[serde(default)]
    since: u64,
    /// At most so many of the newest.
    tail: Option<usize>,
}

/// `GET /v1/audit`
pub async fn audit(
    State(server): State<Arc<NodeServer>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(Wanted { since, tail }) =
        wanted.map_err(|error| Problem::new(Code::BadRequest, error.body_text()))?;
    let (entries, dropped) = server.fabric.audit(since, tail.unwrap_or(AUDIT_ENTRIES_MAX));
    Ok(Json(json!({ "entries": entries.iter().map(row).collect::<Vec<Value>>(), "dropped": dropped })))
}

fn row(entry: &AuditEntry) -> Value {
    let (outcome, reason) = match &entry.outcome {
        Ok(_) => ("done", None),
        Err(reason) => ("refused", Some(reason)),
    };
    let version = match entry.outcome {
        Ok(Outcome::Deployed { version }) => Some(version),
        _ => None,
    };
    json!({
        "index": entry.index,
        "at": calendar::utc(entry.at_unix_ms),
        "at_unix_ms": entry.at_unix_ms,
        "by": entry.by.to_string(),
        "what": entry.what,
        "digest": entry.digest,
        "outcome": outcome,
        "reason": reason,
        "version": version,
        "times": entry.times,
    })
}
