//! `shardloom shards`: who owns what.

use clap::Args;

use super::Global;
use super::replies::{ShardReply, typed};
use super::table::{Align, Table};

/// List the shards with owner, replicas, epoch and state.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom shards
  shardloom shards --state unavailable
  shardloom shards --node 3f09b1c2d4e5f607 --json")]
pub(super) struct Shards {
    /// Only shards in this state: served, resharding or unavailable.
    #[arg(long)]
    state: Option<String>,
    /// Only shards that this node owns or holds a replica of.
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
}

impl Shards {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
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
