//! From a key to its shard, as far as replies have shown how: nobody without a token is told how many shards there are.
//!
//! The built-in shard function rises with the number of shards. So each reply, which names the shard of its key, leaves an interval of
//! numbers that it may be; a few replies leave one. Where none is left, the workload has a shard function of its own, and
//! the shards of single keys are remembered.

use std::collections::BTreeMap;

use shardloom_sharding::ids::ShardId;
use shardloom_sharding::key::shard_of_str;
use shardloom_sharding::map::SHARD_COUNT_MAX;

/// Keys of one workload that are remembered; when there are more, all are forgotten. About 1 MB.
const KEYS_MAX: usize = 10_000;

/// How a workload's keys are spread over shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Placement {
    /// By the built-in function, over at least `fewest` and at most `most` shards.
    BuiltIn {
        /// The fewest shards that fit all replies.
        fewest: u32,
        /// The most shards that fit all replies.
        most: u32,
    },
    /// By a function of the workload's own.
    Own(BTreeMap<String, ShardId>),
}

impl Placement {
    /// Nothing is known.
    pub(crate) fn unknown() -> Placement {
        Placement::BuiltIn { fewest: 1, most: SHARD_COUNT_MAX }
    }

    /// The number of shards is known.
    pub(crate) fn of_count(shard_count: u32) -> Placement {
        Placement::BuiltIn { fewest: shard_count, most: shard_count }
    }

    /// The shard of a key, where all that fits agrees on it.
    pub(crate) fn shard(&self, key: &str) -> Option<ShardId> {
        match self {
            Placement::BuiltIn { fewest, most } => {
                let shard = shard_of_str(key, *fewest);
                (shard == shard_of_str(key, *most)).then_some(shard)
            }
            Placement::Own(keys) => keys.get(key).copied(),
        }
    }

    /// Takes note of the shard that a reply has named.
    pub(crate) fn observe(&mut self, key: &str, shard: ShardId) {
        match self {
            Placement::BuiltIn { fewest, most } => {
                let from = first(*fewest, *most, |count| shard_of_str(key, count) >= shard);
                let until = first(*fewest, *most, |count| shard_of_str(key, count) > shard);
                *self = match from < until {
                    true => Placement::BuiltIn { fewest: from, most: until - 1 },
                    false => Placement::Own(BTreeMap::from([(key.to_owned(), shard)])),
                };
            }
            Placement::Own(keys) => {
                if keys.len() >= KEYS_MAX && !keys.contains_key(key) {
                    keys.clear();
                }
                keys.insert(key.to_owned(), shard);
            }
        }
    }
}

/// The first of `low..=high` that fits, and `high + 1` where none does; all after one that fits do, too.
fn first(low: u32, high: u32, fits: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (low, high + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> String {
        format!("key {number}")
    }

    #[test]
    fn some_replies_tell_the_number_of_shards() {
        for shard_count in [1, 7, 1024, 10_000, SHARD_COUNT_MAX] {
            let mut placement = Placement::unknown();
            let enough = (0..).find(|number| {
                placement.observe(&key(*number), shard_of_str(&key(*number), shard_count));
                placement == Placement::of_count(shard_count)
            });
            assert!(enough.unwrap() < 100, "{shard_count} shards: {enough:?} replies");
        }
    }

    #[test]
    fn what_is_foretold_of_a_built_in_placement_is_right_from_the_first_reply_on() {
        let mut placement = Placement::unknown();
        for number in 0..1_000 {
            let shard = shard_of_str(&key(number), 1024);
            assert!(placement.shard(&key(number)).is_none_or(|foretold| foretold == shard), "{number}");
            placement.observe(&key(number), shard);
            assert_eq!(placement.shard(&key(number)), Some(shard), "{placement:?}");
        }
    }

    #[test]
    fn keys_of_another_function_are_remembered_one_by_one_and_not_without_end() {
        let mut placement = Placement::of_count(1024);
        let elsewhere = ShardId(shard_of_str("a", 1024).0 ^ 1);
        placement.observe("a", elsewhere);
        assert_eq!(placement.shard("a"), Some(elsewhere));
        assert_eq!(placement.shard("b"), None);
        for number in 0..KEYS_MAX as u32 {
            placement.observe(&key(number), ShardId(number % 7));
        }
        let Placement::Own(keys) = &placement else { panic!("{placement:?}") };
        assert!(keys.len() <= KEYS_MAX);
        assert_eq!(placement.shard(&key(9_999)), Some(ShardId(9_999 % 7)));
    }
}
