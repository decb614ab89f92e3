//! `GET /v1/events?since=INDEX`: what happens in the cluster, as server-sent events.
//!
//! The id of an event is its index in the control log, the same on every node: a client that has lost its node goes on at another with the last id
//! that it has seen, in `last-event-id` or `since`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use shardloom_cluster::control::{Event, EventsAfter, MemberStanding, ShardRange};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use crate::server::NodeServer;
use crate::server::problem::{Code, Problem};

/// After how long without an event a comment is sent, so that either side notices a connection that is dead.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Events that are taken out of the ring at once.
const EVENTS_AT_ONCE: usize = 64;
/// What a client sends that lost its connection.
const LAST_EVENT_ID: &str = "last-event-id";

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Only events after this index; all that are kept where nothing is said.
    since: Option<u64>,
    /// Whether those to come are wanted too.
    #[serde(default = "yes")]
    follow: bool,
}

fn yes() -> bool {
    true
}

/// The events that are still to be sent.
struct Rest {
    server: Arc<NodeServer>,
    at: u64,
    /// Whether the client must be told of events that are gone: it names an index only if it knows those before.
    continues: bool,
    follow: bool,
    changed: watch::Receiver<u64>,
    heartbeat: Instant,
    _room: OwnedSemaphorePermit,
}

/// `GET /v1/events`
pub async fn events(
    State(server): State<Arc<NodeServer>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(Wanted { since, follow }) =
        wanted.map_err(|error| Problem::new(Code::BadRequest, error.body_text()))?;
    // A client that comes again repeats its query, and says by the header how far it has come since.
    let since = last_event_id(&headers)?.or(since);
    let Ok(room) = Arc::clone(&server.event_streams).try_acquire_owned() else {
        let detail = "as many follow the events of this node as it serves: ask another node";
        return Err(Problem::new(Code::Overloaded, detail));
    };
    let rest = Rest {
        at: since.unwrap_or(0),
        continues: since.is_some(),
        follow,
        changed: server.fabric.changed(),
        heartbeat: Instant::now() + HEARTBEAT,
        server,
        _room: room,
    };
    let texts = stream::unfold(rest, async |mut rest| {
        let text = rest.next().await?;
        Some((Ok::<Bytes, Infallible>(Bytes::from(text)), rest))
    });
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, Body::from_stream(texts)).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let index = value.to_str().ok().and_then(|value| value.parse().ok());
    let bad = || Problem::new(Code::BadRequest, "last-event-id is the id of an event: an index of the log");
    index.map(Some).ok_or_else(bad)
}

impl Rest {
    async fn next(&mut self) -> Option<String> {
        let closing = self.server.closing().clone();
        loop {
            if let Some(text) = self.take() {
                self.heartbeat = Instant::now() + HEARTBEAT;
                return Some(text);
            }
            if !self.follow {
                return None;
            }
            tokio::select! {
                changed = self.changed.changed() => changed.ok()?,
                () = sleep_until(self.heartbeat) => {
                    self.heartbeat = Instant::now() + HEARTBEAT;
                    return Some(":\n\n".to_owned());
                }
                () = closing.cancelled() => return None,
            }
        }
    }

    /// What is there to send now.
    fn take(&mut self) -> Option<String> {
        let EventsAfter { gap, events } = self.server.fabric.events(self.at, EVENTS_AT_ONCE);
        let mut text = String::new();
        if let Some(gap) = gap.filter(|_| self.continues) {
            let about = json!({ "index": gap, "type": "gap", "since": self.at });
            text.push_str(&framed(gap, "gap", &about));
        }
        for (index, event) in &events {
            text.push_str(&framed(*index, event.name(), &told(*index, event)));
            self.at = *index;
        }
        self.at = self.at.max(gap.unwrap_or(0));
        self.continues = true;
        (!text.is_empty()).then_some(text)
    }
}

fn framed(index: u64, name: &str, data: &Value) -> String {
    format!("id: {index}\nevent: {name}\ndata: {data}\n\n")
}

/// An event for programs.
fn told(index: u64, event: &Event) -> Value {
    let mut told = match event {
        Event::Founded { shard_count } => json!({ "shard_count": shard_count }),
        Event::MemberJoined { node, standing } | Event::MemberStanding { node, standing } => {
            json!({ "node": node, "standing": standing_name(*standing) })
        }
        Event::MemberChanged { node } | Event::MemberRemoved { node } | Event::NodeReleased { node } => {
            json!({ "node": node })
        }
        Event::NodeQuarantined { node, reason } => json!({ "node": node, "reason": reason }),
        Event::LeaderChanged { leader, term } => json!({ "leader": leader, "term": term }),
        Event::VotersChanged { voters } => json!({ "voters": voters }),
        Event::ShardsProposed { epoch, shards } | Event::ShardsRepaired { epoch, shards } => {
            json!({ "epoch": epoch, "shards": listed(shards), "count": count(shards) })
        }
        Event::ShardsMoved { epoch, moves } => {
            let all: Vec<Value> = moves
                .iter()
                .map(|moved| {
                    json!({
                        "from": moved.from,
                        "to": moved.to,
                        "shards": listed(&moved.shards),
                        "count": count(&moved.shards),
                    })
                })
                .collect();
            json!({ "epoch": epoch, "moves": all })
        }
        Event::Deployed { name, version, component } => {
            json!({ "name": name, "version": version, "component": component })
        }
        Event::CanaryDeployed { name, version, component, share } => {
            json!({ "name": name, "version": version, "component": component, "share": share.to_string() })
        }
        Event::Promoted { name, version } | Event::RolledBack { name, version } => {
            json!({ "name": name, "version": version })
        }
        Event::Undeployed { name } | Event::TokenRevoked { name } => json!({ "name": name }),
        Event::WeigherSet { component } | Event::WeightsSet { component } => {
            json!({ "component": component })
        }
        Event::WeigherUnset => json!({}),
        Event::WeigherFailed { component, reason } => json!({ "component": component, "reason": reason }),
        Event::SettingsChanged { values } => {
            let values: serde_json::Map<String, Value> =
                values.iter().map(|(setting, value)| (setting.name().to_owned(), json!(value))).collect();
            json!({ "values": values })
        }
        Event::CertificatesRotating { authority, phase } => {
            json!({ "authority": authority, "phase": phase.name() })
        }
        Event::CertificatesRotated { authority } => json!({ "authority": authority }),
        Event::TokenCreated { name, role } => json!({ "name": name, "role": role.name() }),
        Event::FormatsRaised { level } => json!({ "level": level }),
    };
    told["index"] = json!(index);
    told["type"] = json!(event.name());
    told
}

fn standing_name(standing: MemberStanding) -> &'static str {
    match standing {
        MemberStanding::Pending => "pending",
        MemberStanding::Active => "active",
        MemberStanding::Draining => "draining",
    }
}

/// Ranges as people write them: `0-5,9`.
fn listed(ranges: &[ShardRange]) -> String {
    let shown = ranges.iter().map(|range| match range.first == range.last {
        true => range.first.to_string(),
        false => format!("{}-{}", range.first, range.last),
    });
    shown.collect::<Vec<String>>().join(",")
}

fn count(ranges: &[ShardRange]) -> u32 {
    ranges.iter().map(|range| range.last.0 - range.first.0 + 1).sum()
}
