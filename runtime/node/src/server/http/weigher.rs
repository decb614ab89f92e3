//! `/v1/admin/weigher`: what weighs shards.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::WeightsOutline;
use shardloom_sharding::ids::NodeId;

use super::auth::Caller;
use super::extract::Manifest;
use crate::server::built_in_weighers::BuiltInWeigher;
use crate::server::fabric::ControlCommand;
use crate::server::problem::{Code, Problem};
use crate::server::weigh::{Choice, Weighed};
use crate::server::{NodeServer, deploy, weigh};

type Server = State<Arc<NodeServer>>;

/// Which weigher it is to be: a component that was uploaded, or a built-in one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeigherManifest {
    component: Option<Digest>,
    built_in: Option<BuiltInWeigher>,
}

impl WeigherManifest {
    /// The one that is named; none where none is.
    fn choice(&self) -> Result<Option<Choice>, Problem> {
        match (self.component, self.built_in) {
            (None, None) => Ok(None),
            (Some(component), None) => Ok(Some(Choice::Component(component))),
            (None, Some(weigher)) => Ok(Some(Choice::BuiltIn(weigher))),
            (Some(_), Some(_)) => {
                Err(Problem::new(Code::BadRequest, "name a component or a built-in weigher, not both"))
            }
        }
    }
}

/// `GET /v1/admin/weigher`
pub async fn show(State(server): Server) -> Json<Value> {
    let view = server.fabric.view();
    let weigher = view.weigher.as_ref();
    let mut shown = named(weigher.map(|weigher| Choice::of(weigher.component)));
    shown["weights_set"] = json!(view.weights.is_some());
    shown["weights"] = json!(view.weights.as_ref().map(|weights| outline(weigh::outline(weights))));
    shown["last_run"] =
        json!(weigher.and_then(|weigher| weigher.last_run).map(|index| json!({ "index": index })));
    shown["alarm"] = json!(weigher.and_then(|weigher| weigher.alarm.as_deref()));
    Json(shown)
}

/// `POST /v1/admin/weigher`
pub async fn set(
    State(server): Server,
    Caller(by): Caller,
    Manifest(manifest): Manifest<WeigherManifest>,
) -> Result<Json<Value>, Problem> {
    let none = || Problem::new(Code::BadRequest, "name a component, or a built-in weigher");
    let choice = manifest.choice()?.ok_or_else(none)?;
    let weights = weigh::set(&server, by, choice).await?;
    let mut reply = named(Some(choice));
    reply["weights"] = outline(weights);
    Ok(Json(reply))
}

/// How the weigher is to run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Only to be seen: nothing is written.
    #[serde(default)]
    dry: bool,
}

/// `POST /v1/admin/weigher/run?dry=BOOL`: the body may name a weigher that is to be tried.
pub async fn run(
    State(server): Server,
    Caller(by): Caller,
    run: Result<Query<Run>, QueryRejection>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let Query(Run { dry }) = run.map_err(|error| Problem::new(Code::BadRequest, error.body_text()))?;
    let manifest: WeigherManifest = match body.trim_ascii() {
        b"" | b"null" => WeigherManifest::default(),
        text => {
            serde_json::from_slice(text).map_err(|error| Problem::new(Code::BadRequest, error.to_string()))?
        }
    };
    let choice = manifest.choice()?;
    if !dry && choice.is_some() {
        let detail = "only a dry run takes another weigher than the one that is set: add dry=true, or set it";
        return Err(Problem::new(Code::BadRequest, detail));
    }
    let set = || server.fabric.view().weigher.as_ref().map(|weigher| Choice::of(weigher.component));
    let mut reply = named(choice.or_else(set));
    reply["dry"] = json!(dry);
    if dry {
        tell(&mut reply, &weigh::try_run(&server, choice).await?);
    } else {
        let weighed = weigh::run(&server).await;
        let refused = weighed.as_ref().err().map(|problem| problem.detail.clone());
        let component = choice.or_else(set).map(Choice::digest);
        deploy::note(&server, by, ("run the weigher".into(), component), refused).await;
        reply["weights"] = outline(weighed?);
    }
    Ok(Json(reply))
}

/// `DELETE /v1/admin/weigher`
pub async fn unset(State(server): Server, Caller(by): Caller) -> Result<Json<Value>, Problem> {
    deploy::write_everywhere(&server, by, ControlCommand::UnsetWeigher).await?;
    Ok(Json(json!({})))
}

fn named(choice: Option<Choice>) -> Value {
    let (component, built_in) = match choice {
        None => (None, None),
        Some(Choice::Component(component)) => (Some(component), None),
        Some(Choice::BuiltIn(weigher)) => (None, Some(weigher)),
    };
    json!({ "component": component, "built_in": built_in })
}

fn outline(WeightsOutline { min, max, sum }: WeightsOutline) -> Value {
    json!({ "min": min, "max": max, "sum": sum })
}

/// What a dry run has found: the weights, the shards whose weight would change, and what each node would carry with the shards that it owns now.
fn tell(reply: &mut Value, rows: &[Weighed]) {
    let weights: Vec<u32> = rows.iter().map(|row| row.weight).collect();
    let changed = rows.iter().filter(|row| row.weight != row.load.weight);
    let changes: Vec<Value> = changed
        .map(|Weighed { load, owner, weight }| {
            json!({
                "shard": load.shard,
                "owner": owner,
                "weight": load.weight,
                "would_be": weight,
                "calls_per_second": load.calls_per_second,
                "busy_ms_per_second": load.busy_ms_per_second,
                "state_bytes": load.state_bytes,
                "queue_depth": load.queue_depth,
            })
        })
        .collect();
    let mut nodes: BTreeMap<NodeId, (u64, u64)> = BTreeMap::new();
    for row in rows {
        if let Some(owner) = row.owner {
            let sums = nodes.entry(owner).or_default();
            sums.0 += u64::from(row.load.weight);
            sums.1 += u64::from(row.weight);
        }
    }
    let node = |(node, (now, would_be)): (NodeId, (u64, u64))| json!({ "node": node, "weight": now, "would_be": would_be });
    reply["weights"] = outline(weigh::outline(&weights));
    reply["weight_of_shards"] = json!(weights);
    reply["changes"] = json!(changes);
    reply["nodes"] = json!(nodes.into_iter().map(node).collect::<Vec<Value>>());
}
