//! Weighers that need no component. In the control log each stands under the digest of its name, where a component would stand under that of its
//! bytes: so everything that holds for weighers holds for these.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shardloom_host as host;
use shardloom_protocol::digest::Digest;
use shardloom_sharding::plan::WEIGHT_MAX;

/// What an idle shard weighs by load: a millisecond per second, so that idle shards are spread as well.
const IDLE: f64 = 10.0;
/// What each busy millisecond per second adds; each call per second adds 1, since a call costs its node about a tenth of a millisecond beside the
/// guest's own time.
const PER_BUSY_MS: f64 = 10.0;
/// A shard whose load has changed by less than this part keeps the weight that it has: moves for less are not worth their pause.
const STEADY_PART: f64 = 0.2;

/// A built-in weigher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuiltInWeigher {
    /// Every shard weighs the same.
    Uniform,
    /// A shard weighs as much as it is used.
    ByLoad,
}

/// There is no built-in weigher of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no built-in weigher: uniform and by-load are")]
pub struct NoBuiltInWeigher(String);

impl BuiltInWeigher {
    /// All of them.
    pub const ALL: [BuiltInWeigher; 2] = [BuiltInWeigher::Uniform, BuiltInWeigher::ByLoad];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            BuiltInWeigher::Uniform => "uniform",
            BuiltInWeigher::ByLoad => "by-load",
        }
    }

    /// What it stands under in the control log.
    pub fn digest(self) -> Digest {
        Digest(host::Digest::of(format!("shardloom: weigher {}", self.name()).as_bytes()).0)
    }

    /// The one that stands under this digest; none for a component's.
    pub fn of(digest: &Digest) -> Option<BuiltInWeigher> {
        BuiltInWeigher::ALL.into_iter().find(|weigher| weigher.digest() == *digest)
    }

    /// One weight for each load, in the same order.
    pub fn weigh(self, loads: &[host::ShardLoad]) -> Vec<u32> {
        match self {
            BuiltInWeigher::Uniform => vec![1; loads.len()],
            BuiltInWeigher::ByLoad => loads.iter().map(by_load).collect(),
        }
    }
}

fn by_load(load: &host::ShardLoad) -> u32 {
    let weight = IDLE + load.calls_per_second + PER_BUSY_MS * load.busy_ms_per_second;
    let old = f64::from(load.weight);
    if (weight - old).abs() <= STEADY_PART * old {
        return load.weight;
    }
    weight.round().min(f64::from(WEIGHT_MAX)) as u32
}

impl fmt::Display for BuiltInWeigher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BuiltInWeigher {
    type Err = NoBuiltInWeigher;

    fn from_str(text: &str) -> Result<BuiltInWeigher, NoBuiltInWeigher> {
        let found = BuiltInWeigher::ALL.into_iter().find(|weigher| weigher.name() == text);
        found.ok_or_else(|| NoBuiltInWeigher(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(calls_per_second: f64, busy_ms_per_second: f64, weight: u32) -> host::ShardLoad {
        host::ShardLoad {
            shard: 0,
            calls_per_second,
            busy_ms_per_second,
            state_bytes: 0,
            queue_depth: 0,
            weight,
        }
    }

    #[test]
    fn by_load_a_busy_shard_weighs_more_and_a_small_change_changes_nothing() {
        let loads = [load(0.0, 0.0, 1), load(100.0, 50.0, 1), load(110.0, 50.0, 600), load(0.0, 2e9, 1)];
        assert_eq!(BuiltInWeigher::ByLoad.weigh(&loads), [10, 610, 600, WEIGHT_MAX]);
        assert_eq!(BuiltInWeigher::Uniform.weigh(&loads), [1, 1, 1, 1]);
    }

    #[test]
    fn each_is_known_by_its_name_and_by_its_digest() {
        for weigher in BuiltInWeigher::ALL {
            assert_eq!(weigher.name().parse(), Ok(weigher));
            assert_eq!(BuiltInWeigher::of(&weigher.digest()), Some(weigher));
        }
        assert_eq!(BuiltInWeigher::of(&Digest([0; 32])), None);
        assert!("by-weight".parse::<BuiltInWeigher>().is_err());
    }

    #[test]
    fn the_digests_are_fixed_since_they_are_in_control_logs() {
        assert!(BuiltInWeigher::Uniform.digest().to_string().starts_with("843ff32e449a9f62"));
        assert!(BuiltInWeigher::ByLoad.digest().to_string().starts_with("24c10878d31096b1"));
    }
}
