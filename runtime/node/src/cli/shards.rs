//! `shardloom shards`: who owns what.

use anyhow::ensure;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::Global;
use super::client::Client;
use super::replies::{BusyShardReply, NodeReply, ShardReply, typed};
use super::table::{Align, Table};

/// List the shards with owner, replicas, epoch and state.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom shards
  shardloom shards --state unavailable
  shardloom shards --busiest 20
  shardloom shards --node 3f09b1c2d4e5f607 --json")]
pub(super) struct Shards {
    /// Only shards in this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only shards that this node owns or holds a replica of.
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Only so many shards, those that keep their owners busiest, with their loads.
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "10", conflicts_with_all = ["state", "node"],
          value_parser = clap::value_parser!(u32).range(1..))]
    busiest: Option<u32>,
}

/// How a shard fares.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    /// Its owner serves it.
    Served,
    /// It is being handed over.
    Resharding,
    /// It cannot be served.
    Unavailable,
}

impl State {
    /// Its name in replies.
    fn name(self) -> &'static str {
        match self {
            State::Served => "served",
            State::Resharding => "resharding",
            State::Unavailable => "unavailable",
        }
    }
}

impl Shards {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        if let Some(count) = self.busiest {
            let reply = global.client()?.read(&format!("/v1/shards?busiest={count}"))?;
            return global.output().print(&reply, busiest);
        }
        let client = global.client()?;
        let mut reply = client.read("/v1/shards")?;
        if let Some(id) = &self.node {
            check_node(&client, id, &reply)?;
        }
        if let Some(shards) = reply.as_array_mut() {
            shards.retain(|shard| {
                self.state.is_none_or(|state| shard["state"] == state.name())
                    && self.node.as_ref().is_none_or(|id| is_of(shard, id))
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

/// Whether a node owns the shard or holds a replica of it.
fn is_of(shard: &Value, node: &str) -> bool {
    let holds = shard["replicas"].as_array().is_some_and(|all| all.iter().any(|one| one == node));
    shard["owner"] == node || holds
}

/// Looks whether there is such a node: a member, or one that was removed and has shards still.
fn check_node(client: &Client, id: &str, shards: &Value) -> anyhow::Result<()> {
    if shards.as_array().is_some_and(|all| all.iter().any(|shard| is_of(shard, id))) {
        return Ok(());
    }
    let members: Vec<NodeReply> = typed(&client.read("/v1/nodes")?)?;
    ensure!(
        members.iter().any(|member| member.id == id),
        "no node {id} in this cluster: `shardloom nodes` lists them"
    );
    Ok(())
}

/// Shards with their loads, the busiest first.
fn busiest(reply: &Value) -> anyhow::Result<String> {
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
