//! `shardloom promote`: a canary becomes the version of all shards.

use clap::Args;
use serde_json::Value;
use ureq::http::Method;

use super::Global;
use super::client::SLOW;
use super::replies::{VersionChangeReply, typed};
use super::segment::segment;

/// Put the canary of a workload on all shards.
#[derive(Args)]
#[command(after_help = "Example:
  shardloom promote shop")]
pub(super) struct Promote {
    /// The workload's name.
    name: String,
}

impl Promote {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let path = format!("/v1/workloads/{}/promote", segment(&self.name));
        let reply = global.client()?.write(Method::POST, &path, &Value::Null, SLOW)?;
        global.output().print(&reply, |reply| {
            let VersionChangeReply { name, version, before, .. } = typed(reply)?;
            Ok(format!("{name} version {version} is current on all shards; `shardloom rollback {name}` goes back to {before}"))
        })
    }
}
