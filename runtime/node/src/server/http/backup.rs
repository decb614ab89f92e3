//! `/v1/admin/backup/shards/{shard}` and `/v1/admin/restore/shards/{shard}`: the state of shards, out and in.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::{RestoreShard, RestoreStage, RestoreStep, ShardPart};
use shardloom_sharding::ids::ShardId;

use super::auth::Caller;
use super::extract::Segment;
use crate::server::backup::Passage;
use crate::server::problem::{Code, Problem};
use crate::server::{NodeServer, deploy, restore};

type Server = State<Arc<NodeServer>>;

/// `GET /v1/admin/backup/shards/{shard}`: a body that breaks off is not whole, and says so by its missing end.
pub async fn read(State(server): Server, Segment(shard): Segment) -> Result<Response, Problem> {
    let (passage, first) = Passage::begin(&server, parse(&shard)?).await?;
    let parts = stream::try_unfold(Some((passage, Some(first))), move |state| {
        let server = Arc::clone(&server);
        async move {
            let Some((mut passage, first)) = state else { return Ok(None) };
            let ShardPart { bytes, last } = match first {
                Some(first) => first,
                None => passage.next(&server).await.map_err(|problem| problem.detail)?,
            };
            Ok::<_, String>(Some((bytes, (!last).then_some((passage, None)))))
        }
    });
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((kind, Body::from_stream(parts)).into_response())
}

/// What is to be done to a shard.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    backup: Digest,
    step: StepName,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StepName {
    Begin,
    Rows,
    End,
}

/// `POST /v1/admin/restore/shards/{shard}?backup=SHA256&step=begin|rows|end`
pub async fn restore(
    State(server): Server,
    Caller(by): Caller,
    Segment(shard): Segment,
    step: Result<Query<Step>, QueryRejection>,
    rows: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(Step { backup, step }) =
        step.map_err(|error| Problem::new(Code::BadRequest, error.body_text()))?;
    let rows = rows.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::BodyTooLarge, "send fewer rows at once"),
        _ => Problem::new(Code::BadRequest, error.body_text()),
    })?;
    let ends = matches!(step, StepName::End);
    let step = match step {
        StepName::Begin => RestoreStep::Begin,
        StepName::Rows => RestoreStep::Rows(rows),
        StepName::End => RestoreStep::End,
    };
    let shard = parse(&shard)?;
    let restored = restore::restore(&server, RestoreShard { shard, backup, step }).await;
    if ends {
        // One entry a shard, and those in a row are one in the audit.
        let refused = restored.as_ref().err().map(|problem| problem.detail.clone());
        deploy::note(&server, by, ("restore a shard from a backup".into(), Some(backup)), refused).await;
    }
    let stage = restored?;
    let stage = match stage {
        RestoreStage::Begun => "begun",
        RestoreStage::Ended => "ended",
    };
    Ok(Json(json!({ "shard": shard, "state": stage })))
}

fn parse(shard: &str) -> Result<ShardId, Problem> {
    let number = shard.parse().map_err(|_| Problem::new(Code::BadRequest, "a shard is named by its number"));
    number.map(ShardId)
}
