//! `shardloom node add|drain|remove|quarantine|release`: who is a member, and who may own shards.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};
use ureq::http::Method;

use super::client::{Client, SLOW};
use super::replies::{NodeReply, typed};
use super::segment::segment;
use super::{Global, progress};

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(300);
/// How long a drain is waited for.
const DRAIN_SECONDS: u64 = 600;

/// What an administrator does to a member.
#[derive(Subcommand)]
pub(super) enum Member {
    /// Let a node in that waits under the manual join policy, or take one back that was drained.
    #[command(after_help = "Example:
  shardloom node add 3f09b1c2d4e5f607")]
    Add {
        /// The node's id, as `shardloom nodes` shows it.
        id: String,
    },
    /// Move everything off a node, and wait until it can be stopped: it owns nothing, and holds no copy that the others need.
    #[command(after_help = "Example:
  shardloom node drain 3f09b1c2d4e5f607")]
    Drain {
        /// The node's id.
        id: String,
        /// How long to wait, in seconds; 0 does not wait.
        #[arg(long, value_name = "SECONDS", default_value_t = DRAIN_SECONDS)]
        wait: u64,
    },
    /// Remove a node for good. Refused where it would orphan data.
    #[command(after_help = "Example:
  shardloom node remove 3f09b1c2d4e5f607")]
    Remove {
        /// The node's id.
        id: String,
        /// Remove it even if that loses the last copies of a shard.
        #[arg(long)]
        force: bool,
    },
    /// Keep a node from owning shards until it is released: it keeps its copies and its vote. The leader does so by itself with a node that ends again
    /// and again (`shardloom settings`: flap_limit, flap_window).
    #[command(after_help = "Examples:
  shardloom node quarantine 3f09b1c2d4e5f607
  shardloom node quarantine 3f09b1c2d4e5f607 --reason 'memory errors in its log'")]
    Quarantine {
        /// The node's id.
        id: String,
        /// Why: `status`, `nodes` and the audit show it.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let a node that is in quarantine own shards again.
    #[command(after_help = "Example:
  shardloom node release 3f09b1c2d4e5f607")]
    Release {
        /// The node's id.
        id: String,
    },
}

impl Member {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let act_with = |id: &str, act: &str, body: &Value| {
            let path = format!("/v1/admin/nodes/{}/{act}", segment(id));
            client.write(Method::POST, &path, body, SLOW)
        };
        let act = |id: &str, act: &str| act_with(id, act, &Value::Null);
        let mut note = "";
        let reply = match &self {
            Self::Add { id } => act(id, "add")?,
            Self::Drain { id, wait } => {
                let reply = act(id, "drain")?;
                if *wait > 0 {
                    drained(&client, id, Duration::from_secs(*wait))?;
                    note = "; nothing is on it any more, so it can be stopped and removed (`shardloom node add` takes it back)";
                }
                reply
            }
            Self::Quarantine { id, reason } => {
                note = "; it hands over what it owns, and `shardloom node release` ends it";
                act_with(id, "quarantine", &json!({ "reason": reason }))?
            }
            Self::Release { id } => act(id, "release")?,
            Self::Remove { id, force: true } => act(id, "remove?force=true")?,
            Self::Remove { id, force: false } => act(id, "remove")?,
        };
        global.output().print(&reply, |reply| {
            Ok(format!(
                "{}: {}{note}",
                reply["id"].as_str().unwrap_or_default(),
                reply["state"].as_str().unwrap_or("done")
            ))
        })
    }
}

/// Waits until a node owns no shard and holds no replica.
fn drained(client: &Client, id: &str, within: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + within;
    let mut bar = None;
    loop {
        let nodes: Vec<NodeReply> = typed(&client.read("/v1/nodes")?)?;
        let left = nodes.iter().find(|node| node.id == id);
        let (owned, held) = left.map_or((0, 0), |node| (node.shards_owned, node.shards_held));
        let (bar, first) =
            bar.get_or_insert_with(|| (progress::count("shards moved off the node", held), held));
        bar.set_position(first.saturating_sub(held));
        if owned == 0 && held == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        if Instant::now() >= end {
            bar.finish_and_clear();
            bail!(
                "{id} still owns {owned} shard(s) and has copies of {held} after {within:?}, so do not stop it yet; it goes on, see \
                 `shardloom status` and `shardloom nodes`"
            );
        }
        thread::sleep(POLL);
    }
}
