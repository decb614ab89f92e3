//! `shardloom rebalance`: have a plan carried out, and pause what the leader does by itself.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use ureq::http::Method;

use super::Global;
use super::client::QUICK;

/// Level the load now, by a plan that was shown or a fresh one; or pause and resume levelling.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom rebalance now --plan 3f09b1c2d4e5f607
  shardloom rebalance pause")]
pub(super) struct Rebalance {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Move shards now; without a plan, whatever levels the load, however little it is out of balance.
    #[command(after_help = "Examples:
  shardloom rebalance now
  shardloom rebalance now --plan 3f09b1c2d4e5f607")]
    Now {
        /// Just what this plan says, as `shardloom plan` has shown it; refused if the map has changed since.
        #[arg(long, value_name = "ID")]
        plan: Option<String>,
    },
    /// Let no shard move to level the load. Lost replicas are still made anew, and nodes drained.
    #[command(after_help = "Example:
  shardloom rebalance pause")]
    Pause,
    /// Let shards move again to level the load.
    #[command(after_help = "Example:
  shardloom rebalance resume")]
    Resume,
}

impl Rebalance {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let set = |levelling: &str| {
            client.write(Method::PUT, "/v1/admin/settings", &json!({ "levelling": levelling }), QUICK)
        };
        let (reply, text): (Value, fn(&Value) -> String) = match self.action {
            Action::Now { plan } => {
                let wanted = json!({ "plan": plan });
                (client.write(Method::POST, "/v1/admin/rebalance", &wanted, QUICK)?, ordered)
            }
            Action::Pause => (set("off")?, |_| "no shard moves any more to level the load".into()),
            Action::Resume => (set("on")?, |_| "shards move again to level the load".into()),
        };
        global.output().print(&reply, |reply| Ok(text(reply)))
    }
}

fn ordered(reply: &Value) -> String {
    match reply["moves"].as_u64() {
        Some(0) => "nothing is to be moved".into(),
        moves => {
            format!(
                "{} shard(s) are to move: `shardloom status` shows how far it is",
                moves.unwrap_or_default()
            )
        }
    }
}
