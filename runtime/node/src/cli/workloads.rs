//! `shardloom workloads`: what is deployed.

use clap::Args;
use serde_json::Value;
use shardloom_protocol::workload::{Bodies, HttpSpec, Reuse};

use super::Global;
use super::replies::{WorkloadReply, typed};
use super::table::{Align, Table};

/// How much of a digest a table shows.
const DIGEST_SHOWN: usize = 12;

/// List the deployed workloads.
#[derive(Args)]
#[command(after_help = "Example:
  shardloom workloads")]
pub(super) struct Workloads {}

impl Workloads {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let reply = global.client()?.read("/v1/workloads")?;
        global.output().print(&reply, |reply| {
            let mut table = Table::new(&[
                ("WORKLOAD", Align::Left),
                ("VERSION", Align::Right),
                ("COMPONENT", Align::Left),
                ("SHARD FUNCTION", Align::Left),
                ("HTTP", Align::Left),
                ("CONFIG", Align::Left),
            ]);
            for workload in typed::<Vec<WorkloadReply>>(reply)? {
                let function = workload.shard_function.as_deref().map_or("built in".into(), shortened);
                table.row([
                    workload.name,
                    workload.version.to_string(),
                    shortened(&workload.component),
                    function,
                    workload.http.map_or_else(|| "-".to_owned(), |http| by_http(&http)),
                    settings(&workload.config),
                ]);
            }
            Ok(table.to_string())
        })
    }
}

fn shortened(digest: &str) -> String {
    digest.chars().take(DIGEST_SHOWN).collect()
}

/// Where its requests' keys are, and what is not as it is by default.
fn by_http(http: &HttpSpec) -> String {
    let reuse = if http.reuse == Reuse::Always { ", reuse" } else { "" };
    let bodies = if http.bodies == Bodies::Streamed { ", stream" } else { "" };
    format!("{}{reuse}{bodies}", http.key_from)
}

fn settings(config: &Value) -> String {
    let shown = |(key, value): (&String, &Value)| match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    };
    config.as_object().map(|all| all.iter().map(shown).collect::<Vec<_>>().join(" ")).unwrap_or_default()
}
