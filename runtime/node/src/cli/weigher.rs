//! `shardloom weigher`: what says how heavy shards are.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use ureq::http::Method;

use super::Global;
use super::client::{Client, SLOW};
use super::deploy::upload;
use super::replies::{WeigherReply, WeigherRunReply, WeightsReply, typed};
use super::table::{Align, Table};
use crate::server::built_in_weighers::BuiltInWeigher;

const PATH: &str = "/v1/admin/weigher";
/// Shards that a dry run shows for people, those that change most; programs get all.
const SHOWN_MAX: usize = 20;

/// Level the shards by a judgement of their load: a component's, or a built-in one.
#[derive(Args)]
#[command(after_help = "Example:
  shardloom weigher set --built-in by-load")]
pub(super) struct Weigher {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Put a weigher in, and run it once. It runs again every 30 seconds.
    #[command(after_help = "Examples:
  shardloom weigher set target/guests/by-busy-time.wasm
  shardloom weigher set --built-in by-load")]
    Set {
        #[command(flatten)]
        choice: Choice,
    },
    /// Take the weigher out; every shard weighs the same again.
    #[command(after_help = "Example:
  shardloom weigher unset")]
    Unset,
    /// Show which weigher is in and what it last said.
    #[command(after_help = "Example:
  shardloom weigher show --json")]
    Show,
    /// Weigh the shards now.
    #[command(after_help = "Examples:
  shardloom weigher run
  shardloom weigher run --dry
  shardloom weigher run --dry target/guests/by-state-size.wasm
  shardloom weigher run --dry --built-in by-load --json")]
    Run {
        /// Show the weights, and what would change; write nothing. It takes any weigher, not only the one that is in.
        #[arg(long)]
        dry: bool,
        #[command(flatten)]
        choice: Choice,
    },
}

/// A weigher by its file, or by its name.
#[derive(Args)]
struct Choice {
    /// The component.
    file: Option<PathBuf>,
    /// In place of a component: uniform (every shard weighs the same) or by-load (calls and busy time).
    #[arg(long, alias = "builtin", value_name = "NAME", conflicts_with = "file")]
    built_in: Option<BuiltInWeigher>,
}

impl Choice {
    /// What the API takes; null where none is named.
    fn manifest(&self, client: &Client) -> anyhow::Result<Value> {
        Ok(match (&self.file, self.built_in) {
            (Some(file), _) => json!({ "component": upload(client, file)? }),
            (None, Some(weigher)) => json!({ "built_in": weigher }),
            (None, None) => Value::Null,
        })
    }
}

impl Weigher {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let output = global.output();
        match self.action {
            Action::Set { choice } => {
                let manifest = choice.manifest(&client)?;
                anyhow::ensure!(
                    !manifest.is_null(),
                    "give the file of a component, or --built-in uniform|by-load"
                );
                let reply = client.write(Method::POST, PATH, &manifest, SLOW)?;
                output.print(&reply, weighed)
            }
            Action::Unset => {
                let reply = client.write(Method::DELETE, PATH, &Value::Null, SLOW)?;
                output.print(&reply, |_| Ok("every shard weighs the same again".into()))
            }
            Action::Show => output.print(&client.read(PATH)?, shown),
            Action::Run { dry, choice } => {
                let manifest = choice.manifest(&client)?;
                anyhow::ensure!(
                    dry || manifest.is_null(),
                    "only a dry run takes another weigher than the one that is in: add --dry, or use `shardloom weigher set`"
                );
                let path = format!("{PATH}/run?dry={dry}");
                let reply = client.write(Method::POST, &path, &manifest, SLOW)?;
                output.print(&reply, if dry { would_be } else { weighed })
            }
        }
    }
}

fn outline(weights: &WeightsReply) -> String {
    format!("weights from {} to {}, {} in all", weights.min, weights.max, weights.sum)
}

fn weighed(reply: &Value) -> anyhow::Result<String> {
    Ok(outline(&typed::<WeigherRunReply>(reply)?.weights))
}

fn shown(reply: &Value) -> anyhow::Result<String> {
    let weigher: WeigherReply = typed(reply)?;
    let mut text = match (weigher.component, weigher.built_in) {
        (Some(component), _) => format!("component  {component}\n"),
        (None, Some(name)) => format!("built in   {name}\n"),
        (None, None) => return Ok("no weigher: every shard weighs the same".into()),
    };
    let weights = weigher.weights.as_ref().map_or_else(|| "not yet set".to_owned(), outline);
    text.push_str(&format!("weights    {}\n", weights.trim_start_matches("weights ")));
    if let Some(run) = weigher.last_run {
        text.push_str(&format!("written    entry {} of the control log\n", run.index));
    }
    if let Some(alarm) = weigher.alarm {
        text.push_str(&format!("alarm      {alarm}; the old weights stay\n"));
    }
    Ok(text)
}

/// What a dry run has found.
fn would_be(reply: &Value) -> anyhow::Result<String> {
    let mut run: WeigherRunReply = typed(reply)?;
    let mut text = format!("would be   {}; nothing was written\n", outline(&run.weights));
    text.push_str(&format!("changes    {} shard(s)\n", run.changes.len()));
    if !run.changes.is_empty() {
        run.changes.sort_by_key(|change| std::cmp::Reverse(change.would_be.abs_diff(change.weight)));
        let mut table = Table::new(&[
            ("SHARD", Align::Right),
            ("OWNER", Align::Left),
            ("WEIGHT", Align::Right),
            ("WOULD BE", Align::Right),
            ("CALLS/S", Align::Right),
            ("BUSY MS/S", Align::Right),
            ("STATE BYTES", Align::Right),
            ("QUEUED", Align::Right),
        ]);
        let more = run.changes.len().saturating_sub(SHOWN_MAX);
        for change in run.changes.into_iter().take(SHOWN_MAX) {
            table.row([
                change.shard.to_string(),
                change.owner.unwrap_or_default(),
                change.weight.to_string(),
                change.would_be.to_string(),
                format!("{:.1}", change.calls_per_second),
                format!("{:.1}", change.busy_ms_per_second),
                change.state_bytes.to_string(),
                change.queue_depth.to_string(),
            ]);
        }
        text.push_str(&format!("\n{table}"));
        if more > 0 {
            text.push_str(&format!("and {more} more: --json has all\n"));
        }
    }
    let mut nodes =
        Table::new(&[("NODE", Align::Left), ("WEIGHT", Align::Right), ("WOULD BE", Align::Right)]);
    for node in run.nodes {
        nodes.row([node.node, node.weight.to_string(), node.would_be.to_string()]);
    }
    text.push_str(&format!("\n{nodes}"));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_shows_what_would_change_and_what_nodes_would_carry() {
        let reply = json!({
            "weights": { "min": 1, "max": 90, "sum": 92 },
            "changes": [
                { "shard": 1, "owner": "aa", "weight": 1, "would_be": 2, "busy_ms_per_second": 0.5 },
                { "shard": 7, "owner": "bb", "weight": 1, "would_be": 90, "calls_per_second": 80.04, "state_bytes": 12 },
            ],
            "nodes": [{ "node": "aa", "weight": 1, "would_be": 2 }, { "node": "bb", "weight": 1, "would_be": 90 }],
        });
        let text = would_be(&reply).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "would be   weights from 1 to 90, 92 in all; nothing was written");
        assert!(lines[4].trim_start().starts_with("7  bb") && lines[4].contains("80.0"), "{text}");
        assert!(lines.last().unwrap().starts_with("bb"), "{text}");
    }

    #[test]
    fn what_is_shown_names_the_weigher_and_its_alarm() {
        let reply = json!({ "built_in": "by-load", "weights": { "min": 1, "max": 2, "sum": 3 }, "last_run": { "index": 9 },
            "alarm": "the weigher trapped" });
        let text = shown(&reply).unwrap();
        assert_eq!(
            text,
            "built in   by-load\nweights    from 1 to 2, 3 in all\nwritten    entry 9 of the control log\n\
             alarm      the weigher trapped; the old weights stay\n"
        );
        assert_eq!(shown(&json!({ "component": null })).unwrap(), "no weigher: every shard weighs the same");
    }
}
