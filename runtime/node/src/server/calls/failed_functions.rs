//! Shard functions that fail on this node: for some keys there is no shard, and an operator should know.
//!
//! The last failure is remembered for each workload. One that nobody meets again is forgotten after a while, and so is all of it with the node's process:
//! it is news, not state.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::FunctionAlarm;
use tokio::time::Instant;

use crate::server::view::{View, Workload};

/// How long a failure is an alarm.
const RAISED_FOR: Duration = Duration::from_secs(600);
/// Characters of a key that are kept, and told in errors: callers choose it.
const KEY_CHARS_MAX: usize = 64;

#[derive(Debug)]
struct Failing {
    /// Another function starts anew.
    function: Option<Digest>,
    calls: u64,
    key: String,
    reason: String,
    at: Instant,
}

/// The shard functions that have failed on this node of late, one entry at most for each workload.
#[derive(Debug, Default)]
pub struct FailedFunctions(Mutex<BTreeMap<String, Failing>>);

impl FailedFunctions {
    /// Takes note that a call got no shard.
    pub fn note(&self, workload: &Workload, key: &str, reason: &str) {
        let function = workload.spec.shard_function;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = all
            .get(&workload.name)
            .filter(|failing| failing.function == function && failing.at.elapsed() < RAISED_FOR)
            .map_or(0, |failing| failing.calls);
        if calls == 0 {
            tracing::warn!(workload = workload.name, key = short(key), reason, "a shard function has failed");
        }
        let failing = Failing {
            function,
            calls: calls + 1,
            key: short(key),
            reason: reason.to_owned(),
            at: Instant::now(),
        };
        all.insert(workload.name.clone(), failing);
    }

    /// Those that still hold: seen of late, of functions that are deployed still. The others are forgotten.
    pub fn raised(&self, view: &View) -> Vec<FunctionAlarm> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|workload, failing| {
            let deployed = view.workloads.get(workload).map(|workload| workload.spec.shard_function);
            failing.at.elapsed() < RAISED_FOR && deployed == Some(failing.function)
        });
        let alarm = |(workload, failing): (&String, &Failing)| FunctionAlarm {
            workload: workload.clone(),
            calls: failing.calls,
            key: failing.key.clone(),
            reason: failing.reason.clone(),
            seconds_ago: u32::try_from(failing.at.elapsed().as_secs()).unwrap_or(u32::MAX),
        };
        all.iter().map(alarm).collect()
    }
}

/// A key as it is shown to people.
pub fn short(key: &str) -> String {
    match key.char_indices().nth(KEY_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &key[..end]),
        None => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_cut_between_characters() {
        assert_eq!(short("é"), "é");
        assert_eq!(short(&"é".repeat(64)), "é".repeat(64));
        assert_eq!(short(&"é".repeat(65)), format!("{}...", "é".repeat(64)));
    }
}
