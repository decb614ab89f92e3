//! What the demo prints about words, shards and nodes.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use shardloom_harness::http::Status;

use super::stream::Counted;

/// How many of the commonest words are shown.
const SHOWN: usize = 10;

/// The commonest words, with shard and node.
pub(crate) fn commonest(counted: &BTreeMap<String, Counted>, status: &Status) -> Result<String> {
    let mut words: Vec<(&String, &Counted)> = counted.iter().collect();
    words.sort_by_key(|(word, counted)| (std::cmp::Reverse(counted.total), *word));
    let mut text = format!("{:<16} {:>7} {:>6}  node\n", "word", "count", "shard");
    for (word, Counted { total, stamp }) in words.into_iter().take(SHOWN) {
        let node = status.nodes.iter().find(|node| node.id == stamp.node);
        let node = node.with_context(|| format!("{} answered and is no member", stamp.node))?;
        text.push_str(&format!("{word:<16} {total:>7} {:>6}  {} ({})\n", stamp.shard, node.id, node.http));
    }
    Ok(text)
}

/// How shards and calls spread over the nodes.
pub(crate) fn spread(calls: &BTreeMap<String, u64>, status: &Status) -> String {
    let mut text = format!("\n{:<16} {:>7} {:>8}\n", "node", "shards", "calls");
    for node in &status.nodes {
        let ran = calls.get(&node.id).copied().unwrap_or_default();
        text.push_str(&format!("{:<16} {:>7} {ran:>8}\n", node.id, node.shards_owned));
    }
    text
}
