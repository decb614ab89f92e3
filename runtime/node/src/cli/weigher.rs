//! `shardloom weigher`: the component that says how heavy shards are.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use ureq::http::Method;

use super::Global;
use super::client::SLOW;
use super::deploy::upload;

const PATH: &str = "/v1/admin/weigher";

/// Level the shards by a component's judgement of their load.
#[derive(Args)]
#[command(after_help = "Example:
  shardloom weigher set target/guests/by-busy-time.wasm")]
pub(super) struct Weigher {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Put a weigher in, and run it once.
    #[command(after_help = "Example:
  shardloom weigher set target/guests/by-busy-time.wasm")]
    Set {
        /// The component.
        file: PathBuf,
    },
    /// Take the weigher out; every shard weighs the same again.
    #[command(after_help = "Example:
  shardloom weigher unset")]
    Unset,
    /// Show which weigher is in and what it last said.
    #[command(after_help = "Example:
  shardloom weigher show --json")]
    Show,
    /// Weigh the shards now.
    #[command(after_help = "Example:
  shardloom weigher run")]
    Run,
}

impl Weigher {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let output = global.output();
        match self.action {
            Action::Set { file } => {
                let component = upload(&client, &file)?;
                let reply = client.write(Method::POST, PATH, &json!({ "component": component }), SLOW)?;
                output.print(&reply, weighed)
            }
            Action::Unset => {
                let reply = client.write(Method::DELETE, PATH, &Value::Null, SLOW)?;
                output.print(&reply, |_| Ok("every shard weighs the same again".into()))
            }
            Action::Show => output.print(&client.read(PATH)?, shown),
            Action::Run => {
                let reply = client.write(Method::POST, "/v1/admin/weigher/run", &Value::Null, SLOW)?;
                output.print(&reply, weighed)
            }
        }
    }
}

fn weighed(reply: &Value) -> anyhow::Result<String> {
    let weights = &reply["weights"];
    Ok(format!("weights from {} to {}, {} in all", weights["min"], weights["max"], weights["sum"]))
}

fn shown(reply: &Value) -> anyhow::Result<String> {
    let Some(component) = reply["component"].as_str() else {
        return Ok("no weigher: every shard weighs the same".into());
    };
    let mut text = format!("component  {component}\nweights    ");
    text.push_str(if reply["weights_set"] == true { "set\n" } else { "not yet set\n" });
    if !reply["last_run"].is_null() {
        text.push_str(&format!("last run   {}\n", reply["last_run"]));
    }
    if let Some(alarm) = reply["alarm"].as_str() {
        text.push_str(&format!("alarm      {alarm}\n"));
    }
    Ok(text)
}
