//! `shardloom plan`: what would move, and why.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanBytes;
use serde::Deserialize;
use serde_json::Value;

use super::Global;
use super::client::{Client, Outgoing, SLOW};
use super::deploy::upload;
use super::replies::typed;
use super::table::{Align, Table};
use crate::server::built_in_weighers::BuiltInWeigher;

/// Moves that are shown to people; programs get all.
const SHOWN_MAX: usize = 40;

/// Show which shards would move, why, and what would be copied; nothing is changed.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom plan
  shardloom plan --weigher target/guests/by-state-size.wasm
  shardloom plan --built-in by-load --with-nodes 2
  shardloom plan --without 3f09b1c2d4e5f607 --json")]
pub(super) struct Plan {
    /// Suppose that this weigher had weighed the shards.
    #[arg(long, value_name = "FILE")]
    weigher: Option<PathBuf>,
    /// In place of a component: uniform or by-load.
    #[arg(long, alias = "builtin", value_name = "NAME", conflicts_with = "weigher")]
    built_in: Option<BuiltInWeigher>,
    /// Suppose that this node drained; may be repeated.
    #[arg(long, value_name = "NODE")]
    without: Vec<String>,
    /// Suppose that so many empty nodes of the mean capacity had joined.
    #[arg(long, value_name = "N", default_value_t = 0)]
    with_nodes: u32,
}

impl Plan {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let path = self.path(&client)?;
        let reply = client.json(Outgoing::new(ureq::http::Method::GET, path).deadline(SLOW))?;
        global.output().print(&reply, text)
    }

    fn path(&self, client: &Client) -> anyhow::Result<String> {
        let mut path = format!("/v1/admin/plan?with_nodes={}", self.with_nodes);
        if !self.without.is_empty() {
            if let Some(bad) = self.without.iter().find(|id| !id.chars().all(|c| c.is_ascii_hexdigit())) {
                anyhow::bail!("{bad:?} is no node: `shardloom nodes` lists them");
            }
            path.push_str(&format!("&without={}", self.without.join(",")));
        }
        if let Some(file) = &self.weigher {
            path.push_str(&format!("&component={}", upload(client, file)?));
        }
        if let Some(weigher) = self.built_in {
            path.push_str(&format!("&built_in={weigher}"));
        }
        Ok(path)
    }
}

/// `GET /v1/admin/plan`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PlanReply {
    plan: String,
    why_not: Option<String>,
    levelling: String,
    resting: u64,
    under_way: u64,
    balance_threshold: Option<u64>,
    copies: u64,
    copy_bytes: u64,
    unknown_sizes: u64,
    busiest_before: Option<f64>,
    busiest_after: Option<f64>,
    moves: Vec<PlannedReply>,
    nodes: Vec<OutlookReply>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PlannedReply {
    shard: u32,
    from: Option<String>,
    to: String,
    gains: Vec<String>,
    loses: Vec<String>,
    why: String,
    copy_bytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OutlookReply {
    node: String,
    capacity: u64,
    before: CarriedReply,
    after: CarriedReply,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CarriedReply {
    owned: u64,
    owned_weight: u64,
    held: u64,
    load: Option<f64>,
}

fn text(reply: &Value) -> anyhow::Result<String> {
    let plan: PlanReply = typed(reply)?;
    let mut text = format!(
        "moves      {} shard(s), {} replica(s) to copy, {} in all{}\n",
        plan.moves.len(),
        plan.copies,
        HumanBytes(plan.copy_bytes),
        match plan.unknown_sizes {
            0 => String::new(),
            unknown => format!(" and what {unknown} shard(s) hold whose owner does not say"),
        },
    );
    if let (Some(before), Some(after)) = (plan.busiest_before, plan.busiest_after) {
        let percent = |load: f64| load * 100.0;
        text.push_str(&format!(
            "busiest    a node that owns {:.0} % of its share, {:.0} % then\n",
            percent(before),
            percent(after)
        ));
    }
    if plan.under_way > 0 {
        text.push_str(&format!("under way  {} move(s); this comes on top\n", plan.under_way));
    }
    if plan.resting > 0 {
        text.push_str(&format!(
            "resting    {} shard(s) that have moved lately: see the setting cool_down\n",
            plan.resting
        ));
    }
    if plan.levelling == "paused" {
        text.push_str("levelling  paused: the leader does not do it by itself\n");
    }
    if let Some(threshold) = level_enough(&plan) {
        text.push_str(&format!(
            "balance    every node is within {threshold} % of its share (the setting balance_threshold), so nothing moves; `shardloom rebalance \
             now` levels beyond that\n"
        ));
    }
    text.push_str(&moves(&plan.moves));
    text.push_str(&nodes(&plan.nodes));
    text.push_str(&match (&plan.why_not, plan.moves.is_empty()) {
        (Some(why_not), _) => format!("\nplan {} cannot be carried out, since {why_not}\n", plan.plan),
        (None, true) => String::new(),
        (None, false) => format!("\nto carry it out: shardloom rebalance now --plan {}\n", plan.plan),
    });
    Ok(text)
}

/// The threshold, in percent, if it alone is why nothing would move: some node is off its share by more than whole numbers make it.
fn level_enough(plan: &PlanReply) -> Option<u64> {
    let threshold = plan.balance_threshold?;
    if !plan.moves.is_empty() || plan.resting > 0 || plan.under_way > 0 || plan.why_not.is_some() {
        return None;
    }
    let loads =
        || plan.nodes.iter().filter_map(|node| Some((node.after.owned_weight as f64, node.after.load?)));
    let within = loads().all(|(_, load)| (load - 1.0).abs() * 100.0 <= threshold as f64);
    let off = loads().any(|(weight, load)| load > 0.0 && (weight - weight / load).abs() >= 1.0);
    (within && off).then_some(threshold)
}

fn moves(moves: &[PlannedReply]) -> String {
    if moves.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("SHARD", Align::Right),
        ("FROM", Align::Left),
        ("TO", Align::Left),
        ("GAINS", Align::Left),
        ("LOSES", Align::Left),
        ("COPY", Align::Right),
        ("WHY", Align::Left),
    ]);
    for one in moves.iter().take(SHOWN_MAX) {
        table.row([
            one.shard.to_string(),
            one.from.clone().unwrap_or_default(),
            one.to.clone(),
            one.gains.join(","),
            one.loses.join(","),
            one.copy_bytes.map(|bytes| HumanBytes(bytes).to_string()).unwrap_or_default(),
            one.why.clone(),
        ]);
    }
    let more = moves.len().saturating_sub(SHOWN_MAX);
    let more = if more > 0 { format!("and {more} more: --json has all\n") } else { String::new() };
    format!("\n{table}{more}")
}

fn nodes(nodes: &[OutlookReply]) -> String {
    let mut table = Table::new(&[
        ("NODE", Align::Left),
        ("CAPACITY", Align::Right),
        ("OWNS", Align::Right),
        ("THEN", Align::Right),
        ("WEIGHT", Align::Right),
        ("THEN", Align::Right),
        ("OF SHARE", Align::Right),
        ("THEN", Align::Right),
        ("HOLDS", Align::Right),
        ("THEN", Align::Right),
    ]);
    let percent = |load: Option<f64>| load.map(|load| format!("{:.0} %", load * 100.0)).unwrap_or_default();
    for OutlookReply { node, capacity, before, after } in nodes {
        table.row([
            node.clone(),
            capacity.to_string(),
            before.owned.to_string(),
            after.owned.to_string(),
            before.owned_weight.to_string(),
            after.owned_weight.to_string(),
            percent(before.load),
            percent(after.load),
            before.held.to_string(),
            after.held.to_string(),
        ]);
    }
    format!("\n{table}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_says_what_moves_why_and_how_to_have_it_done() {
        let carried =
            |owned, load| json!({ "owned": owned, "owned_weight": owned, "held": owned, "load": load });
        let mut reply = json!({
            "plan": "00000000000000aa", "levelling": "paused", "copies": 1, "copy_bytes": 4096,
            "busiest_before": 1.5, "busiest_after": 1.0,
            "moves": [{ "shard": 7, "from": "aa", "to": "new-1", "gains": ["new-1"], "loses": ["aa"], "why": "node new-1 holds nothing yet",
                        "copy_bytes": 4096 }],
            "nodes": [{ "node": "aa", "capacity": 100, "before": carried(3, 1.5), "after": carried(2, 1.0) }],
        });
        let shown = text(&reply).unwrap();
        for part in [
            "1 shard(s), 1 replica(s) to copy, 4.00 KiB",
            "150 % of its share, 100 %",
            "paused",
            "holds nothing yet",
            "rebalance now --plan 00000000000000aa",
        ] {
            assert!(shown.contains(part), "{part:?} is not in {shown}");
        }
        let still = json!({ "balance_threshold": 10, "nodes": [
            { "node": "aa", "before": carried(107, 1.07), "after": carried(107, 1.07) },
            { "node": "bb", "before": carried(93, 0.93), "after": carried(93, 0.93) },
        ]});
        let level = text(&still).unwrap();
        assert!(level.contains("within 10 % of its share") && level.contains("rebalance now"), "{level}");
        assert!(!shown.contains("balance_threshold"), "{shown}");
        reply["why_not"] = json!("it supposes nodes that are not there");
        let shown = text(&reply).unwrap();
        assert!(shown.contains("cannot be carried out") && !shown.contains("rebalance now"), "{shown}");
    }
}
