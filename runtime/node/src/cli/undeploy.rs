//! `shardloom undeploy`: a workload goes.

use clap::Args;
use serde_json::Value;
use ureq::http::Method;

use super::Global;
use super::client::SLOW;
use super::segment::segment;

/// Remove a workload; calls to it are then answered with an error.
#[derive(Args)]
#[command(after_help = "Example:
  shardloom undeploy word-count")]
pub(super) struct Undeploy {
    /// The workload's name.
    name: String,
}

impl Undeploy {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let path = format!("/v1/workloads/{}", segment(&self.name));
        let reply = global.client()?.write(Method::DELETE, &path, &Value::Null, SLOW)?;
        global.output().print(&reply, |_| Ok(format!("{} is gone", self.name)))
    }
}
