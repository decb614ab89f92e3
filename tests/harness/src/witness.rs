//! What may never be seen in any order of replies: two owners under one epoch, or an old epoch after a newer one.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::http::Reply;

/// Notes who answered what and when, and finds contradictions.
#[derive(Default)]
pub struct Witness {
    owners: BTreeMap<(u32, u64), String>,
    seen: BTreeMap<u32, Vec<Sight>>,
}

/// One reply about one shard.
#[derive(Clone, Copy, Debug)]
struct Sight {
    sent: Instant,
    answered: Instant,
    epoch: u64,
}

impl Witness {
    /// Takes note of a reply. Replies without the headers of a shard say nothing.
    ///
    /// # Errors
    /// If another node has answered under the same epoch of the same shard.
    pub fn note(&mut self, reply: &Reply) -> Result<()> {
        let Some(stamp) = reply.stamp() else { return Ok(()) };
        let first = self.owners.entry((stamp.shard, stamp.epoch)).or_insert_with(|| stamp.node.clone());
        ensure!(*first == stamp.node, "{first} has answered under the same epoch: {stamp:?}");
        let sight = Sight { sent: reply.sent, answered: reply.answered, epoch: stamp.epoch };
        self.seen.entry(stamp.shard).or_default().push(sight);
        Ok(())
    }

    /// Takes note of all that another one has seen.
    ///
    /// # Errors
    /// If the two contradict each other about an owner.
    pub fn join(&mut self, other: Self) -> Result<()> {
        for ((shard, epoch), node) in other.owners {
            let first = self.owners.entry((shard, epoch)).or_insert_with(|| node.clone());
            ensure!(*first == node, "{first} and {node} both answered for shard {shard} under epoch {epoch}");
        }
        for (shard, sights) in other.seen {
            self.seen.entry(shard).or_default().extend(sights);
        }
        Ok(())
    }

    /// How many replies were noted.
    pub fn count(&self) -> usize {
        self.seen.values().map(Vec::len).sum()
    }

    /// Holds all replies against each other.
    ///
    /// # Errors
    /// If a request was answered under an older epoch than a reply that was there before it was sent.
    pub fn verdict(&self) -> Result<()> {
        for (shard, sights) in &self.seen {
            let mut asked = sights.clone();
            asked.sort_by_key(|sight| sight.sent);
            let mut answered = sights.clone();
            answered.sort_by_key(|sight| sight.answered);
            let (mut answers, mut newest) = (answered.iter().peekable(), 0);
            for request in &asked {
                while let Some(answer) = answers.next_if(|answer| answer.answered < request.sent) {
                    newest = newest.max(answer.epoch);
                }
                ensure!(
                    request.epoch >= newest,
                    "shard {shard}: a request sent after a reply under epoch {newest} was answered under {}",
                    request.epoch
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ureq::http::{HeaderMap, HeaderValue};

    use super::*;

    fn reply(start: Instant, sent_ms: u64, answered_ms: u64, node: &str, epoch: u64) -> Reply {
        let mut headers = HeaderMap::new();
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        headers.insert("shardloom-node", value(node));
        headers.insert("shardloom-shard", value("7"));
        headers.insert("shardloom-epoch", value(&epoch.to_string()));
        let at = |ms| start + Duration::from_millis(ms);
        Reply { status: 200, headers, body: vec![], sent: at(sent_ms), answered: at(answered_ms) }
    }

    #[test]
    fn two_owners_under_one_epoch_are_a_contradiction() {
        let (mut witness, start) = (Witness::default(), Instant::now());
        witness.note(&reply(start, 0, 1, "a", 5)).unwrap();
        witness.note(&reply(start, 2, 3, "b", 6)).unwrap();
        assert!(witness.note(&reply(start, 4, 5, "b", 5)).is_err());
    }

    #[test]
    fn an_old_epoch_after_a_newer_one_is_a_contradiction_in_any_order_of_notes() {
        let start = Instant::now();
        let (newer, late) = (reply(start, 0, 10, "b", 6), reply(start, 11, 12, "a", 5));
        for order in [[&newer, &late], [&late, &newer]] {
            let mut witness = Witness::default();
            order.into_iter().for_each(|reply| witness.note(reply).unwrap());
            assert!(witness.verdict().is_err());
        }
    }

    #[test]
    fn an_old_epoch_beside_a_newer_one_is_none() {
        let (mut witness, start) = (Witness::default(), Instant::now());
        witness.note(&reply(start, 0, 10, "b", 6)).unwrap();
        witness.note(&reply(start, 9, 12, "a", 5)).unwrap();
        assert!(witness.verdict().is_ok());
    }
}
