//! `/v1/admin/settings`: what operators set for the whole cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use shardloom_cluster::control::{BadSetting, Setting, Settings};

use super::auth::Caller;
use super::extract::Manifest;
use crate::server::fabric::ControlCommand;
use crate::server::problem::{Code, Problem};
use crate::server::{NodeServer, deploy};

type Server = State<Arc<NodeServer>>;

/// A value: a number counts the setting's unit, a text may say its own.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Given {
    /// In the setting's unit.
    Number(u64),
    /// As people write it: `32MiB/s`, `10m`.
    Text(String),
}

/// `GET /v1/admin/settings`
pub async fn show(State(server): Server) -> Json<Value> {
    Json(list(&server.fabric.view().settings))
}

/// `PUT /v1/admin/settings`
pub async fn set(
    State(server): Server,
    Caller(by): Caller,
    Manifest(given): Manifest<BTreeMap<String, Given>>,
) -> Result<Json<Value>, Problem> {
    let values: Result<Vec<(Setting, u64)>, BadSetting> = given.into_iter().map(read).collect();
    let values = values.map_err(|bad| Problem::new(Code::BadRequest, bad.to_string()))?;
    if values.is_empty() {
        return Err(Problem::new(Code::BadRequest, "no setting is named: send one at least"));
    }
    deploy::write_everywhere(&server, by, ControlCommand::SetSettings(values)).await?;
    Ok(Json(list(&server.fabric.view().settings)))
}

fn read((name, given): (String, Given)) -> Result<(Setting, u64), BadSetting> {
    let setting = Setting::of(&name)?;
    let value = match given {
        Given::Number(value) => setting.check(value).map(|()| value)?,
        Given::Text(text) => setting.parse(&text)?,
    };
    Ok((setting, value))
}

fn list(settings: &Settings) -> Value {
    let rows = Setting::ALL.into_iter().map(|setting| {
        let value = settings.value(setting);
        json!({
            "name": setting.name(),
            "value": value,
            "text": setting.show(value),
            "default": setting.default_value(),
            "default_text": setting.show(setting.default_value()),
            "unit": setting.unit().name(),
            "least": setting.least(),
            "most": setting.most(),
            "about": setting.about(),
        })
    });
    rows.collect()
}
