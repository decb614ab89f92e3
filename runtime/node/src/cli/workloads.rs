//! `shardloom workloads`: what is deployed, and how the versions of one workload fare.

use clap::Args;
use serde_json::Value;
use shardloom_protocol::workload::{Bodies, HttpSpec, Reuse};

use super::Global;
use super::replies::{WorkloadReply, typed};
use super::segment::segment;
use super::table::{Align, Table};

/// How much of a digest a table shows.
const DIGEST_SHOWN: usize = 12;

/// How many shards of a canary are named.
const SHARDS_SHOWN: usize = 8;

/// List the deployed workloads, or the versions of one.
#[derive(Args)]
#[command(
    after_help = "Calls, errors and latencies of one workload are counted by all nodes since the last deploy, canary, promote or rollback of it.
A call is timed from the moment that its shard turns to it until its answer may leave. Errors are traps, limits, timeouts, what the guest calls
failed, and HTTP answers from 500 on.

Examples:
  shardloom workloads
  shardloom workloads shop"
)]
pub(super) struct Workloads {
    /// One workload, with its versions and how they fare.
    name: Option<String>,
}

impl Workloads {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        match &self.name {
            None => global.output().print(&client.read("/v1/workloads")?, all),
            Some(name) => {
                let reply = client.read(&format!("/v1/workloads/{}", segment(name)))?;
                global.output().print(&reply, one)
            }
        }
    }
}

fn all(reply: &Value) -> anyhow::Result<String> {
    let mut table = Table::new(&[
        ("WORKLOAD", Align::Left),
        ("VERSION", Align::Right),
        ("COMPONENT", Align::Left),
        ("SHARD FUNCTION", Align::Left),
        ("HTTP", Align::Left),
        ("CANARY", Align::Left),
        ("CONFIG", Align::Left),
    ]);
    for workload in typed::<Vec<WorkloadReply>>(reply)? {
        let function = workload.shard_function.as_deref().map_or("built in".into(), shortened);
        let canary = workload.canary.map(|canary| format!("{} on {}", canary.version, canary.share));
        table.row([
            workload.name,
            workload.version.to_string(),
            shortened(&workload.component),
            function,
            workload.http.map_or_else(|| "-".to_owned(), |http| by_http(&http)),
            canary.unwrap_or_default(),
            settings(&workload.config),
        ]);
    }
    Ok(table.to_string())
}

fn one(reply: &Value) -> anyhow::Result<String> {
    let workload: WorkloadReply = typed(reply)?;
    let mut table = Table::new(&[
        ("VERSION", Align::Right),
        ("STATE", Align::Left),
        ("SHARDS", Align::Right),
        ("CALLS", Align::Right),
        ("ERRORS", Align::Right),
        ("RATE", Align::Right),
        ("P50", Align::Right),
        ("P99", Align::Right),
        ("COMPONENT", Align::Left),
        ("CONFIG", Align::Left),
    ]);
    let ms = |ms: Option<f64>| ms.map(|ms| format!("{ms:.1} ms")).unwrap_or_default();
    for version in workload.versions {
        let runs = version.shards > 0;
        let count = |count: u64| if runs { count.to_string() } else { String::new() };
        table.row([
            version.version.to_string(),
            version.state,
            count(version.shards),
            count(version.calls),
            count(version.errors),
            version.error_rate.map(|rate| format!("{:.1} %", rate * 100.0)).unwrap_or_default(),
            ms(version.p50_ms),
            ms(version.p99_ms),
            shortened(&version.component),
            settings(&version.config),
        ]);
    }
    let (name, current, since) = (&workload.name, workload.version, workload.since);
    let mut text = format!("{name}: version {current} is current since entry {since} of the control log\n");
    if let Some(canary) = &workload.canary {
        let named =
            canary.shards.iter().take(SHARDS_SHOWN).map(u32::to_string).collect::<Vec<_>>().join(", ");
        let more = if canary.shards.len() > SHARDS_SHOWN { ", ..." } else { "" };
        text.push_str(&format!(
            "version {} is a canary on {}: {} of {} shards ({named}{more})\n",
            canary.version,
            canary.share,
            canary.shards.len(),
            workload.shard_count
        ));
    }
    text.push_str(&format!("calls are counted since entry {}", workload.counted_since));
    if !workload.not_counted_on.is_empty() {
        text.push_str(&format!(
            ", but for what ran on {}, which did not tell",
            workload.not_counted_on.join(", ")
        ));
    }
    Ok(format!("{text}\n\n{table}"))
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
