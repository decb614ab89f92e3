//! `shardloom shards`: who owns what.

use clap::Args;

use super::Global;
use super::replies::{BusyShardReply, ShardReply, typed};
use super::table::{Align, Table};

/// List the shards with owner, replicas, epoch and state.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom shards
  shardloom shards --state unavailable
  shardloom shards --busiest 20
  shardloom shards --node 3f09b1c2d4e5f607 --json")]
pub(super) struct Shards {
    /// Only shards in this state: served, resharding or unavailable.
    #[arg(long)]
    state: Option<String>,
    /// Only shards that this node owns or holds a replica of.
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Only so many shards, those that keep their owners busiest, with their loads.
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "10", conflicts_with_all = ["state", "node"])]
    busiest: Option<u32>,
}

impl Shards {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        if let Some(count) = self.busiest {
            let reply = global.client()?.read(&format!("/v1/shards?busiest={count}"))?;
            return global.output().print(&reply, busiest);
        }
        let mut reply = global.client()?.read("/v1/shards")?;
        if let Some(shards) = reply.as_array_mut() {
            let of_node = |shard: &serde_json::Value, id: &str| {
                let holds = shard["replicas"].as_array().is_some_and(|all| all.iter().any(|one| one == id));
                shard["owner"] == id || holds
            };
            shards.retain(|shard| {
                self.state.as_ref().is_none_or(|state| shard["state"] == state.as_str())
                    && self.node.as_ref().is_none_or(|id| of_node(shard, id))
            });
        }
        global.output().print(&reply, |reply| {
            let mut table = Table::new(&[
                ("SHARD", Align::Right),
                ("STATE", Align::Left),
                ("OWNER", Align::Left),
                ("EPOCH", Align::Right),
                ("WEIGHT", Align::Right),
                ("REPLICAS", Align::Left),
            ]);
            for shard in typed::<Vec<ShardReply>>(reply)? {
                table.row([
                    shard.shard.to_string(),
                    shard.state,
                    shard.owner.unwrap_or_default(),
                    shard.epoch.to_string(),
                    shard.weight.to_string(),
                    shard.replicas.join(","),
                ]);
            }
            Ok(table.to_string())
        })
    }
}

/// Shards with their loads, the busiest first.
fn busiest(reply: &serde_json::Value) -> anyhow::Result<String> {
    let mut table = Table::new(&[
        ("SHARD", Align::Right),
        ("OWNER", Align::Left),
        ("WEIGHT", Align::Right),
        ("BUSY MS/S", Align::Right),
        ("CALLS/S", Align::Right),
        ("WAITING", Align::Right),
        ("STATE BYTES", Align::Right),
    ]);
    for shard in typed::<Vec<BusyShardReply>>(reply)? {
        let told = |shown: String| if shard.load_told { shown } else { String::new() };
        table.row([
            shard.shard.to_string(),
            shard.owner.unwrap_or_default(),
            shard.weight.to_string(),
            told(format!("{:.1}", shard.busy_ms_per_second)),
            told(format!("{:.1}", shard.calls_per_second)),
            told(shard.queue_depth.to_string()),
            told(shard.state_bytes.to_string()),
        ]);
    }
    Ok(table.to_string())
}
