//! `shardloom endpoints`: every address of every node.

use clap::Args;

use super::Global;
use super::replies::{EndpointReply, typed};
use super::table::{Align, Table};

/// List the addresses that nodes offer, by name.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom endpoints
  shardloom endpoints --name http")]
pub(super) struct Endpoints {
    /// Only endpoints of this name, such as http, peer or gossip.
    #[arg(long)]
    name: Option<String>,
}

impl Endpoints {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let mut reply = global.client()?.read("/v1/endpoints")?;
        if let (Some(endpoints), Some(name)) = (reply.as_array_mut(), &self.name) {
            endpoints.retain(|endpoint| endpoint["name"] == name.as_str());
        }
        global.output().print(&reply, |reply| {
            let mut table =
                Table::new(&[("NODE", Align::Left), ("NAME", Align::Left), ("ADDRESS", Align::Left)]);
            for endpoint in typed::<Vec<EndpointReply>>(reply)? {
                table.row([endpoint.node, endpoint.name, endpoint.address]);
            }
            Ok(table.to_string())
        })
    }
}
