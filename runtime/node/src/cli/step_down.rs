//! `shardloom step-down`: another node leads.

use clap::Args;
use serde_json::Value;
use ureq::http::Method;

use super::Global;
use super::client::QUICK;

/// Make the leader give up its lead, and wait for the next one.
#[derive(Args)]
#[command(after_help = "Example:
  shardloom step-down")]
pub(super) struct StepDown {}

impl StepDown {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let reply = global.client()?.write(Method::POST, "/v1/admin/step-down", &Value::Null, QUICK)?;
        global.output().print(&reply, |reply| {
            Ok(format!("{} leads now", reply["leader"].as_str().unwrap_or("nobody yet")))
        })
    }
}
