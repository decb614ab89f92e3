//! Weighers that need no component. In the control log each stands under the digest of its name, where a component would stand under that of its
//! bytes: so everything that holds for weighers holds for these.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shardloom_host as host;
use shardloom_protocol::digest::Digest;
use shardloom_sharding::plan::WEIGHT_MAX;

/// What each busy millisecond per second adds; each call per second adds 1, since a call costs its node about a tenth of a millisecond beside the
/// guest's own time.
const PER_BUSY_MS: f64 = 10.0;
/// All idle shards together weigh this part of the whole load: they are spread as well, and do not hide the load where there are many.
const IDLE_PART: f64 = 0.25;
/// But at least this, a tenth of a processor: where all do less, there is nothing to level.
const IDLE_ALL_MIN: f64 = 1_000.0;
/// And each at most this, a millisecond per second.
const IDLE_EACH_MAX: f64 = 10.0;
/// Weights are integers: so many of them make a load of 1.
const SCALE: f64 = 100.0;
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
            BuiltInWeigher::ByLoad => by_load(loads),
        }
    }
}

fn by_load(loads: &[host::ShardLoad]) -> Vec<u32> {
    let load = |load: &host::ShardLoad| load.calls_per_second + PER_BUSY_MS * load.busy_ms_per_second;
    let all: f64 = loads.iter().map(load).sum();
    let idle = ((IDLE_PART * all).max(IDLE_ALL_MIN) / loads.len().max(1) as f64).min(IDLE_EACH_MAX);
    let weigh = |one: &host::ShardLoad| {
        let weight = SCALE * (idle + load(one));
        let old = f64::from(one.weight);
        if (weight - old).abs() <= STEADY_PART * old {
            return one.weight;
        }
        weight.round().clamp(1.0, f64::from(WEIGHT_MAX)) as u32
    };
    loads.iter().map(weigh).collect()
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
        let loads = [load(0.0, 0.0, 1), load(100.0, 50.0, 1), load(110.0, 50.0, 60_000), load(0.0, 2e9, 1)];
        assert_eq!(BuiltInWeigher::ByLoad.weigh(&loads), [1_000, 61_000, 60_000, WEIGHT_MAX]);
        assert_eq!(BuiltInWeigher::Uniform.weigh(&loads), [1, 1, 1, 1]);
    }

    #[test]
    fn by_load_many_idle_shards_do_not_hide_the_load_of_few() {
        let mut loads = vec![load(0.0, 0.0, 1); 10_000];
        for busy in loads.iter_mut().take(10) {
            busy.busy_ms_per_second = 100.0;
        }
        let weights = BuiltInWeigher::ByLoad.weigh(&loads);
        let sum = |weights: &[u32]| weights.iter().map(|weight| u64::from(*weight)).sum::<u64>();
        assert!(sum(&weights[..10]) > 3 * sum(&weights[10..]), "{:?}", &weights[..11]);
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
