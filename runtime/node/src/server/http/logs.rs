//! `GET /v1/logs?workload=NAME&tail=N&follow=true`: what the guests of this node say, one JSON object a line.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use shardloom_sharding::ids::NodeId;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::server::NodeServer;
use crate::server::guest_lines::{KEPT_MAX, Line};
use crate::server::problem::{Code, Problem};

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Only lines of this workload.
    workload: Option<String>,
    /// How many of the lines that are kept; all of them where nothing is said.
    tail: Option<usize>,
    /// Whether the lines to come are wanted too.
    #[serde(default)]
    follow: bool,
}

/// The lines that are still to be sent.
struct Rest {
    node: NodeId,
    workload: Option<String>,
    kept: VecDeque<Arc<Line>>,
    coming: Option<broadcast::Receiver<Arc<Line>>>,
    server: Arc<NodeServer>,
}

/// `GET /v1/logs`
pub async fn logs(
    State(server): State<Arc<NodeServer>>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::new(Code::BadRequest, error.body_text()))?;
    let Wanted { workload, tail, follow } = wanted;
    let is_wanted = |line: &Line| workload.as_deref().is_none_or(|name| *line.workload == *name);
    let (kept, coming) = server.guests.lines().follow(tail.unwrap_or(KEPT_MAX), is_wanted);
    let rest = Rest {
        node: server.fabric.view().this_node,
        kept: kept.into(),
        coming: follow.then_some(coming),
        workload,
        server,
    };
    let lines = stream::unfold(rest, async |mut rest| {
        let line = rest.next().await?;
        Some((Ok::<Bytes, Infallible>(Bytes::from(format!("{line}\n"))), rest))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

impl Rest {
    async fn next(&mut self) -> Option<Value> {
        if let Some(line) = self.kept.pop_front() {
            return Some(self.shown(&line));
        }
        let closing = self.server.closing().clone();
        loop {
            let coming = self.coming.as_mut()?;
            let received = tokio::select! {
                received = coming.recv() => received,
                () = closing.cancelled() => return None,
            };
            match received {
                Ok(line) if self.workload.as_deref().is_none_or(|name| *line.workload == *name) => {
                    return Some(self.shown(&line));
                }
                Ok(_) => {}
                // Whoever reads too slowly is told so.
                Err(RecvError::Lagged(missed)) => {
                    return Some(json!({ "node": self.node, "missed": missed }));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn shown(&self, line: &Line) -> Value {
        let mut shown = json!(line);
        shown["node"] = json!(self.node);
        shown
    }
}
