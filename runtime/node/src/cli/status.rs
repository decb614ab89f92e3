//! `shardloom status`: the cluster at a glance.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use super::client::Client;
use super::replies::{FormatsReply, StatusCanaryReply, StatusReply, typed};
use super::{Global, certificates, moves, nodes, progress};

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(200);

/// Show how the cluster fares: leader, nodes, shards, warnings.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom status
  shardloom status --wait 60 --json")]
pub(super) struct Status {
    /// Wait up to this many seconds until every shard is served.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
}

impl Status {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let reply = match self.wait {
            Some(seconds) => all_served(&client, Duration::from_secs(seconds))?,
            None => client.read("/v1/status")?,
        };
        global.output().print(&reply, text)
    }
}

/// Waits until every shard is served, and returns the status that says so.
pub(super) fn all_served(client: &Client, within: Duration) -> anyhow::Result<Value> {
    let end = Instant::now() + within;
    let mut bar = None;
    loop {
        let asked = client.read("/v1/status");
        let late = Instant::now() >= end;
        match asked {
            Err(error) if late => return Err(error.into()),
            Err(_) => {}
            Ok(reply) => {
                let shards = typed::<StatusReply>(&reply)?.shards;
                let bar = bar.get_or_insert_with(|| progress::count("shards served", shards.total));
                bar.set_position(shards.served);
                if shards.total > 0 && shards.served == shards.total {
                    bar.finish_and_clear();
                    return Ok(reply);
                }
                if late {
                    bar.finish_and_clear();
                    bail!("only {} of {} shards are served after {within:?}", shards.served, shards.total);
                }
            }
        }
        thread::sleep(POLL);
    }
}

fn text(reply: &Value) -> anyhow::Result<String> {
    let status: StatusReply = typed(reply)?;
    let mut text = format!(
        "cluster    {}\nleader     {}{}\nepoch      {} (term {})\nshards     {} in all, {} served, {} unavailable; \
         {}\nworkloads  {}\n",
        status.cluster_id,
        status.leader.as_deref().unwrap_or("none: waiting for an election"),
        elected(status.last_election_seconds_ago),
        status.epoch,
        status.term,
        status.shards.total,
        status.shards.served,
        status.shards.unavailable,
        replicas(status.replicas, status.replicas_possible),
        status.workloads,
    );
    for StatusCanaryReply { workload, version, share } in &status.canaries {
        let percent = share.trim_end_matches('%');
        text.push_str(&format!("canary     of {workload}: version {version} on {percent} % of the shards\n"));
    }
    if status.levelling == "paused" {
        text.push_str(
            "levelling  paused: no shard moves to level the load until `shardloom rebalance resume`\n",
        );
    }
    text.push_str(&formats(status.formats.as_ref()));
    if let Some(rotation) = &status.certificate_rotation {
        text.push_str(&format!("rotation   of certificates {}\n", certificates::line(rotation)));
    }
    text.push_str(&moves::line(&status.moves));
    for warning in &status.warnings {
        text.push_str(&format!("warning    {warning}\n"));
    }
    text.push('\n');
    text.push_str(&nodes::table(&status.nodes));
    text.push_str(&moves::table(&status.moves));
    Ok(text)
}

/// Which formats the nodes write, while that is less than what the one that answers could.
fn formats(formats: Option<&FormatsReply>) -> String {
    let Some(formats) = formats else { return String::new() };
    let FormatsReply { level, readable, waits_for } = formats;
    match waits_for.as_slice() {
        [] => format!("formats    level {level}\n"),
        nodes => {
            format!("formats    level {level}; level {readable} waits for all nodes: {}\n", nodes.join(", "))
        }
    }
}

/// When the last election was, on the clock of the node that answered.
fn elected(seconds_ago: Option<u64>) -> String {
    match seconds_ago {
        None => String::new(),
        Some(seconds @ 0..120) => format!(" (last election {seconds} s ago)"),
        Some(seconds @ 120..7_200) => format!(" (last election {} min ago)", seconds / 60),
        Some(seconds) => format!(" (last election {} h ago)", seconds / 3_600),
    }
}

fn replicas(wanted: u32, possible: Option<u32>) -> String {
    match possible.filter(|possible| *possible < wanted) {
        Some(possible) => format!("{wanted} replicas wanted, {possible} possible"),
        None => format!("{wanted} replica(s) each"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_a_line_of_its_own() {
        let canary = serde_json::json!({ "workload": "words", "version": 2, "share": "5%" });
        let shown = text(&serde_json::json!({ "canaries": [canary] })).unwrap();
        assert!(shown.contains("\ncanary     of words: version 2 on 5 % of the shards\n"), "{shown}");
    }

    #[test]
    fn people_read_how_long_ago_the_last_election_was() {
        let told = [0, 119, 120, 7_199, 7_200].map(|seconds| elected(Some(seconds)));
        let ago =
            ["0 s", "119 s", "2 min", "119 min", "2 h"].map(|ago| format!(" (last election {ago} ago)"));
        assert_eq!(told, ago);
        assert_eq!(elected(None), "");
    }
}
