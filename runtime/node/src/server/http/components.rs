//! `PUT` and `GET /v1/components/{sha256}`: the upload and download of a component.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shardloom_host::{AdmitError, CompileError, Refusal};
use shardloom_protocol::call::Executed;
use shardloom_protocol::digest::Digest;
use tokio::time::{Instant, timeout_at};

use super::extract::Segment;
use crate::server::NodeServer;
use crate::server::guests::with_sources;
use crate::server::problem::{Code, Problem};

/// Takes a component: whole, with the digest that the path names, and fit to run. Otherwise nothing is kept.
pub async fn upload(
    State(server): State<Arc<NodeServer>>,
    Segment(sha256): Segment,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let wanted: Digest =
        sha256.parse().map_err(|error| Problem::new(Code::BadRequest, format!("{error}")))?;
    let bytes_max = server.limits.component_bytes_max;
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large(bytes_max));
    }
    if server.fabric.view().is_full_here() {
        return Err(no_room());
    }
    // An upload is held in memory until it is admitted, so there is room for few of them.
    let Ok(_room) = server.uploads.try_acquire() else {
        return Err(Problem::new(Code::Overloaded, "other uploads are under way on this node"));
    };
    let deadline = Instant::now() + server.deploy_deadline();
    let bytes = timeout_at(deadline, read(request.into_body(), bytes_max, wanted))
        .await
        .map_err(|_| Problem::new(Code::BadRequest, "the component did not arrive in time"))??;
    let admitted = timeout_at(deadline, server.guests.host().admit(&bytes))
        .await
        .map_err(|_| Problem::new(Code::BadRequest, "the component did not compile in time"))?
        .map_err(|error| not_admitted(&error, bytes_max))?;
    let reply = json!({ "sha256": wanted, "bytes": bytes.len(), "world": admitted.world });
    Ok((StatusCode::CREATED, Json(reply)))
}

/// Sends a component, wherever in the cluster it is.
pub async fn download(
    State(server): State<Arc<NodeServer>>,
    Segment(sha256): Segment,
) -> Result<Response, Problem> {
    let wanted: Digest =
        sha256.parse().map_err(|error| Problem::new(Code::BadRequest, format!("{error}")))?;
    let bytes = server.guests.bytes(&wanted).await;
    let bytes =
        bytes.map_err(|error| Problem::new(Code::NotFound, error.to_string()).executed(Executed::No))?;
    Ok(([(header::CONTENT_TYPE, "application/wasm")], bytes).into_response())
}

async fn read(mut body: Body, bytes_max: u64, wanted: Digest) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let mut hash = Sha256::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::new(
                Code::BadRequest,
                format!("the upload broke off after {} bytes: {error}", bytes.len()),
            )
        })?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() as u64 + data.len() as u64 > bytes_max {
            return Err(too_large(bytes_max));
        }
        hash.update(data);
        bytes.extend_from_slice(data);
    }
    let found = Digest(hash.finalize().into());
    if found != wanted {
        let detail = format!("the {} bytes that arrived have the sha256 {found}, not {wanted}", bytes.len());
        return Err(Problem::new(Code::BadRequest, detail));
    }
    Ok(bytes)
}

fn too_large(bytes_max: u64) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("a component may have at most {bytes_max} bytes"))
}

fn no_room() -> Problem {
    Problem::new(
        Code::DiskFull,
        "this node's disk has no room for the component: make some, or upload it to another node",
    )
}

fn not_admitted(error: &AdmitError, bytes_max: u64) -> Problem {
    match error {
        AdmitError::Compile(CompileError::Refused(Refusal::TooLarge { .. })) => too_large(bytes_max),
        AdmitError::Directory(source) if source.kind() == std::io::ErrorKind::StorageFull => no_room(),
        error if error.is_retryable() => {
            let reason = with_sources(error);
            tracing::error!(reason, "a component could not be admitted");
            Problem::new(Code::Internal, reason).executed(Executed::No)
        }
        error => Problem::new(Code::BadRequest, with_sources(error)),
    }
}
