//! `shardloom nodes`: the members.

use clap::Args;

use super::Global;
use super::replies::{BuildReply, NodeReply, typed};
use super::table::{Align, Table};

/// List the nodes, their state and how many shards each owns.
#[derive(Args)]
#[command(after_help = "Example:
  shardloom nodes --json")]
pub(super) struct Nodes {}

impl Nodes {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let reply = global.client()?.read("/v1/nodes")?;
        global.output().print(&reply, |reply| Ok(table(&typed::<Vec<NodeReply>>(reply)?)))
    }
}

/// The table that `status` shows too.
pub(super) fn table(nodes: &[NodeReply]) -> String {
    let mut table = Table::new(&[
        ("NODE", Align::Left),
        ("STATE", Align::Left),
        ("ROLE", Align::Left),
        ("SHARDS", Align::Right),
        ("CAPACITY", Align::Right),
        ("ZONE", Align::Left),
        ("LABELS", Align::Left),
        ("BUILD", Align::Left),
        ("HTTP", Align::Left),
        ("PEER", Align::Left),
    ]);
    for node in nodes {
        table.row([
            node.id.clone(),
            node.state.clone(),
            node.role.clone(),
            node.shards_owned.to_string(),
            node.capacity.to_string(),
            node.zone.clone(),
            labels(node),
            build(node.build.as_ref()),
            node.http.clone(),
            node.peer.clone(),
        ]);
    }
    table.to_string()
}

/// Its version and the level of formats that it reads: `0.1.0/2`.
fn build(build: Option<&BuildReply>) -> String {
    let Some(build) = build else { return String::new() };
    format!("{}/{}", build.version.as_deref().unwrap_or("?"), build.formats)
}

fn labels(node: &NodeReply) -> String {
    node.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}
