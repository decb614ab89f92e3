//! `shardloom undeploy`: a workload goes.

use clap::Args;
use serde_json::Value;
use ureq::http::Method;

use super::Global;
use super::client::SLOW;
use super::segment::segment;

/// Remove a workload; calls to it are then answered with an error. What it keeps stays for whoever deploys the name again.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom undeploy word-count
  shardloom undeploy word-count --delete-state")]
pub(super) struct Undeploy {
    /// The workload's name.
    name: String,
    /// Also delete all that it keeps, for good; also of a workload that was removed before.
    #[arg(long)]
    delete_state: bool,
}

impl Undeploy {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let path = format!("/v1/workloads/{}?delete_state={}", segment(&self.name), self.delete_state);
        let reply = global.client()?.write(Method::DELETE, &path, &Value::Null, SLOW)?;
        global.output().print(&reply, |reply| {
            Ok(match reply["rows_deleted"].as_u64() {
                Some(rows) => format!("{} is gone, and {rows} row(s) of its state with it", self.name),
                None => format!("{} is gone; what it keeps stays", self.name),
            })
        })
    }
}
