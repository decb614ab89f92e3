//! `/v1/admin/repair/shards`: what can be done about shards that have lost too many replicas, and doing it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use shardloom_sharding::ids::ShardId;
use shardloom_sharding::protocol::control::NothingLeft;

use super::auth::Caller;
use super::extract::Manifest;
use crate::server::problem::{Code, Problem};
use crate::server::repair::{self, Damage};
use crate::server::{NodeServer, view::View};

type Server = State<Arc<NodeServer>>;

/// What is to be repaired, and what may be lost by that.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repair {
    /// These shards; all that are damaged, if none is named.
    #[serde(default)]
    shards: Vec<u32>,
    #[serde(default)]
    accept_data_loss: bool,
    #[serde(default)]
    accept_empty: bool,
}

/// `GET /v1/admin/repair/shards`
pub async fn show(State(server): Server) -> Result<Json<Value>, Problem> {
    let survey = repair::survey(&server, &[]).await?;
    Ok(Json(rows(&server.fabric.view(), &survey.damaged)))
}

/// `POST /v1/admin/repair/shards`
pub async fn repair(
    State(server): Server,
    Caller(by): Caller,
    Manifest(wanted): Manifest<Repair>,
) -> Result<Json<Value>, Problem> {
    if !wanted.accept_data_loss {
        return Err(Problem::new(
            Code::BadRequest,
            "a repair may lose acknowledged writes: look at `shardloom repair shards` first, then accept that",
        ));
    }
    let shards: Vec<ShardId> = wanted.shards.into_iter().map(ShardId).collect();
    let nothing_left = if wanted.accept_empty { NothingLeft::BeginEmpty } else { NothingLeft::Refuse };
    let repaired = repair::repair(&server, by, &shards, nothing_left).await?;
    Ok(Json(rows(&server.fabric.view(), &repaired)))
}

fn rows(view: &View, damaged: &[Damage]) -> Value {
    let row = |damage: &Damage| {
        let survivors: Vec<Value> = damage
            .survivors
            .iter()
            .map(|(replica, tail)| {
                json!({ "node": replica.node, "epoch": tail.stamp, "position": tail.position.0 })
            })
            .collect();
        let lost = match damage.survivors.first() {
            Some((_, tail)) => format!(
                "writes that only the lost replicas hold: none up to entry {} of epoch {}",
                tail.position, tail.stamp
            ),
            None => "everything: no replica is left".to_owned(),
        };
        json!({
            "shard": damage.shard,
            "owner": view.map.owner(damage.shard),
            "replicas": damage.replicas.iter().map(|replica| replica.node).collect::<Vec<_>>(),
            "survivors": survivors,
            "may_be_lost": lost,
        })
    };
    damaged.iter().map(row).collect()
}
