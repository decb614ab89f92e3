//! `shardloom repair`: the way back after the loss of too many disks, which may lose data and says so.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

use super::client::{Client, SLOW};
use super::replies::{ShardReply, typed};
use super::table::{Align, Table};
use super::{Global, progress};
use shardloom_cluster::raft::StoppedNode;

/// What a control group may lose that goes on from one of its nodes.
const CONTROL_LOSS: &str = "deploys, members, settings and owners of shards that the lost voters agreed on and this node had not heard of; \
     and, where owners changed so, what was written to those shards since";
/// How long repaired shards are waited for.
const SERVED_MAX: Duration = Duration::from_secs(60);
/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(300);

/// Bring back what has lost too many disks, and may lose acknowledged writes by that.
#[derive(Args)]
#[command(after_help = "Example:
  shardloom repair shards
  shardloom repair control --data d1")]
pub(super) struct Repair {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Shards(Shards),
    Control(Control),
}

/// Make a stopped node the only voter of the control group, when a majority of the voters is lost for good.
#[derive(Args)]
#[command(
    after_help = "Stop all nodes that are left, look at each of them, and repair the one whose control log ends highest, by term, then by entry. Then start
it, and after it the others, from their own disks: they follow it, and keep the shards that they have. Never start
a lost node from its old disk again: several of them could make up the old majority. Remove them with
`shardloom node remove ID --force`, and see `shardloom repair shards` for shards that lost too many replicas.

Examples:
  shardloom repair control --data d1
  shardloom repair control --data d1 --accept-data-loss"
)]
struct Control {
    /// The data directory of the stopped node.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Do it, and accept that what only the lost voters have agreed on is lost.
    #[arg(long)]
    accept_data_loss: bool,
}

/// Recover shards from the replicas that are left, though they are too few to be sure of every acknowledged write.
#[derive(Args)]
#[command(
    after_help = "Without --accept-data-loss it only shows which shards there are, which replicas are left of each, and what may be
lost. Try to bring lost nodes back first: with enough of them a shard heals by itself, and loses nothing. Nodes that
are given up here may come back later, but what only they held stays lost.

Examples:
  shardloom repair shards
  shardloom repair shards --shard 7 --accept-data-loss
  shardloom repair shards --unavailable --accept-data-loss"
)]
struct Shards {
    /// This shard; may be repeated.
    #[arg(long, value_name = "N", conflicts_with = "unavailable")]
    shard: Vec<u32>,
    /// All shards that have lost too many replicas.
    #[arg(long)]
    unavailable: bool,
    /// Do it, and accept that writes which only the lost replicas hold are lost.
    #[arg(long)]
    accept_data_loss: bool,
    /// Let shards of which no replica is left begin anew, empty.
    #[arg(long, requires = "accept_data_loss")]
    accept_empty: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Damage {
    shard: u32,
    replicas: Vec<String>,
    survivors: Vec<Survivor>,
    may_be_lost: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Survivor {
    node: String,
    epoch: u64,
    position: u64,
}

impl Repair {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self.what {
            What::Shards(shards) => shards.run(global),
            What::Control(control) => control.run(global),
        }
    }
}

impl Control {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let (survey, goes_on) = runtime.block_on(async {
            let stopped = StoppedNode::open(&self.data).await?;
            let survey = stopped.survey();
            let goes_on = match self.accept_data_loss {
                true => Some(stopped.become_sole_voter().await?),
                false => None,
            };
            anyhow::Ok((survey, goes_on))
        })?;
        let reply = json!({
            "node": survey.node,
            "last_term": survey.last_term,
            "last_index": survey.last_index,
            "voters": survey.voters,
            "members": survey.members,
            "goes_on_after": goes_on,
            "may_be_lost": CONTROL_LOSS,
        });
        global.output().print(&reply, |_| {
            let voters: Vec<String> = survey.voters.iter().map(ToString::to_string).collect();
            let found = format!(
                "node {}: its control log ends in term {} at entry {}; {} of {} members vote: {}\nmay be lost: {CONTROL_LOSS}",
                survey.node,
                survey.last_term,
                survey.last_index,
                voters.len(),
                survey.members.len(),
                voters.join(", ")
            );
            Ok(match goes_on {
                None => format!(
                    "{found}\nNothing was changed. If no node that is left has a higher control log, add --accept-data-loss."
                ),
                Some(index) => format!(
                    "{found}\nIt is the only voter now, and its control log goes on after {index}. Start it, then the others."
                ),
            })
        })
    }
}

impl Shards {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        if !self.accept_data_loss {
            let mut found = client.read("/v1/admin/repair/shards")?;
            if let (Value::Array(rows), false) = (&mut found, self.shard.is_empty()) {
                rows.retain(|row| self.shard.iter().any(|shard| row["shard"] == *shard));
            }
            return global.output().print(&found, |found| {
                let damaged: Vec<Damage> = typed(found)?;
                if damaged.is_empty() {
                    return Ok("every shard has enough replicas: there is nothing to repair".into());
                }
                let count = damaged.len();
                Ok(format!(
                    "{}\n{count} shard(s) have too few replicas left. To recover them all the same, and lose what only \
                     the lost ones hold, add --accept-data-loss.",
                    table(damaged)
                ))
            });
        }
        if self.shard.is_empty() && !self.unavailable {
            bail!("say which shards: --shard N, or --unavailable for all that have too few replicas left");
        }
        let wanted =
            json!({ "shards": self.shard, "accept_data_loss": true, "accept_empty": self.accept_empty });
        let repaired = client.write(Method::POST, "/v1/admin/repair/shards", &wanted, SLOW)?;
        let damaged: Vec<Damage> = typed(&repaired)?;
        served(&client, &damaged)?;
        global.output().print(&repaired, |_| {
            let count = damaged.len();
            Ok(match count {
                0 => "every shard has enough replicas: nothing was done".into(),
                _ => format!(
                    "{}\n{count} shard(s) were recovered from what was left, and are served.",
                    table(damaged)
                ),
            })
        })
    }
}

fn table(damaged: Vec<Damage>) -> Table {
    let mut table = Table::new(&[
        ("SHARD", Align::Right),
        ("REPLICAS", Align::Right),
        ("LEFT (NODE: EPOCH, ENTRY)", Align::Left),
        ("MAY BE LOST", Align::Left),
    ]);
    for Damage { shard, replicas, survivors, may_be_lost } in damaged {
        let left = |one: &Survivor| format!("{}: {}, {}", one.node, one.epoch, one.position);
        let left: Vec<String> = survivors.iter().map(left).collect();
        let left = if left.is_empty() { "none".to_owned() } else { left.join("; ") };
        table.row([shard.to_string(), replicas.len().to_string(), left, may_be_lost]);
    }
    table
}

/// Waits until the shards are served.
fn served(client: &Client, damaged: &[Damage]) -> anyhow::Result<()> {
    let end = Instant::now() + SERVED_MAX;
    let bar = progress::count("shards served", damaged.len() as u64);
    loop {
        let shards: Vec<ShardReply> = typed(&client.read("/v1/shards")?)?;
        let is_served = |damage: &&Damage| {
            shards.iter().any(|shard| shard.shard == damage.shard && shard.state == "served")
        };
        let count = damaged.iter().filter(is_served).count();
        bar.set_position(count as u64);
        if count == damaged.len() {
            bar.finish_and_clear();
            return Ok(());
        }
        if Instant::now() >= end {
            bar.finish_and_clear();
            bail!(
                "{} of {} shard(s) are not served after {SERVED_MAX:?}: see `shardloom shards`, and run this again",
                damaged.len() - count,
                damaged.len()
            );
        }
        thread::sleep(POLL);
    }
}
