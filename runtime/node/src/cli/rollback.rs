//! `shardloom rollback`: back to an earlier version, at once.

use clap::Args;
use serde_json::Value;
use ureq::http::Method;

use super::Global;
use super::client::SLOW;
use super::replies::{VersionChangeReply, typed};
use super::segment::segment;

/// End the canary of a workload; where there is none, make an earlier version current again, on all nodes at once.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom rollback shop
  shardloom rollback shop --to 3")]
pub(super) struct Rollback {
    /// The workload's name.
    name: String,
    /// One of the versions that `shardloom workloads NAME` lists; left out, the one that was current before.
    #[arg(long, value_name = "VERSION")]
    to: Option<u64>,
}

impl Rollback {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let to = self.to.map(|to| format!("?to={to}")).unwrap_or_default();
        let path = format!("/v1/workloads/{}/rollback{to}", segment(&self.name));
        let reply = global.client()?.write(Method::POST, &path, &Value::Null, SLOW)?;
        global.output().print(&reply, |reply| {
            let VersionChangeReply { name, version, before, canary } = typed(reply)?;
            Ok(match canary {
                Some(canary) => {
                    format!("the canary {canary} of {name} has ended; version {version} is on all shards")
                }
                None => format!("{name} is back at version {version}, from {before}"),
            })
        })
    }
}
