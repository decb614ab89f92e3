//! The built-in shard functions: pinned for ever, in range, and even.

use proptest::prelude::*;
use shardloom_sharding::key::{shard_of_bytes, shard_of_i64, shard_of_str, shard_of_u64};

const SHARDS: u32 = 10_000;

/// A shard function that answers differently would look for every key in the wrong place.
const STRINGS: [(&str, u32); 10] = [
    ("", 5895),
    ("a", 8539),
    ("ab", 1545),
    ("abc", 4832),
    ("user-17", 928),
    ("12345678", 2427),
    ("größer", 3282),
    ("0123456789abcdef", 4670),
    ("0123456789abcdefg", 3526),
    ("the quick brown fox jumps over the lazy dog", 426),
];
const INTEGERS: [(i64, u32); 8] = [
    (0, 0),
    (1, 6180),
    (-1, 3819),
    (2, 2360),
    (10_000, 3398),
    (1 << 40, 2909),
    (i64::MIN, 5000),
    (i64::MAX, 8819),
];

#[test]
fn shards_of_keys_are_the_same_for_ever() {
    for (key, shard) in STRINGS {
        assert_eq!(shard_of_str(key, SHARDS).0, shard, "{key:?}");
    }
    for (key, shard) in INTEGERS {
        assert_eq!(shard_of_i64(key, SHARDS).0, shard, "{key}");
    }
    let long: Vec<u8> = (0..100_000u32).map(|n| n.wrapping_mul(n) as u8).collect();
    assert_eq!(shard_of_bytes(&long, 65_536).0, 13147);
}

/// Every length up to three blocks, so that no path through the hash is left out.
#[test]
fn shards_of_all_lengths_are_the_same_for_ever() {
    let key: Vec<u8> = (0..49u8).map(|n| n.wrapping_mul(151).wrapping_add(7)).collect();
    let shards: Vec<u32> = (0..=48).map(|length| shard_of_bytes(&key[..length], u32::MAX).0).collect();
    let digest = shards.iter().fold(0u64, |digest, shard| digest.rotate_left(7) ^ u64::from(*shard));
    assert_eq!(digest, 1938183430329143992);
}

proptest! {
    #[test]
    fn a_key_has_one_shard_below_the_count(
        key in prop::collection::vec(any::<u8>(), 0..100),
        number in any::<i64>(),
        shards in 1..=65_536u32,
    ) {
        prop_assert!(shard_of_bytes(&key, shards).0 < shards);
        prop_assert!(shard_of_i64(number, shards).0 < shards);
        prop_assert_eq!(shard_of_u64(number as u64, shards), shard_of_i64(number, shards));
        if let Ok(text) = std::str::from_utf8(&key) {
            prop_assert_eq!(shard_of_str(text, shards), shard_of_bytes(&key, shards));
        }
    }
}

/// The fullest shard's load in percent of the mean, and how many shards are empty.
fn spread(shards: u32, keys: impl Iterator<Item = u32>) -> (u32, usize) {
    let mut counts = vec![0u32; shards as usize];
    let mut total = 0;
    for shard in keys {
        counts[shard as usize] += 1;
        total += 1;
    }
    let fullest = counts.iter().max().copied().unwrap_or(0);
    (fullest * 100 * shards / total, counts.iter().filter(|count| **count == 0).count())
}

#[test]
fn integers_in_sequence_spread_evenly() {
    for start in [0, -50_000, 1 << 40, i64::MAX - 100_000] {
        for shards in [16, 1_000, 1_024, 10_000] {
            let keys = (0..100_000).map(|step| shard_of_i64(start + step, shards).0);
            let (fullest, empty) = spread(shards, keys);
            assert!(fullest <= 130 && empty == 0, "from {start} over {shards}: {fullest} %, {empty} empty");
        }
    }
}

#[test]
fn integers_in_usual_steps_spread_evenly() {
    for step in [
        2,
        3,
        7,
        8,
        10,
        16,
        60,
        64,
        100,
        128,
        256,
        1_000,
        1_024,
        3_600,
        4_096,
        65_536,
        86_400,
        1_000_000,
        1 << 22,
        1 << 32,
    ] {
        let keys = (0..100_000).map(|number| shard_of_i64(number * step, 1_000).0);
        let (fullest, empty) = spread(1_000, keys);
        assert!(fullest <= 150 && empty == 0, "steps of {step}: {fullest} %, {empty} empty");
    }
}

#[test]
fn strings_spread_as_random_numbers_would() {
    // Means of 100: a shard of the thousand has more than 150 once in two thousand runs.
    for name in ["user-{}", "{}", "tenant/{}/orders", "a-rather-long-prefix-that-is-the-same-for-all-{}"] {
        let keys = (0..100_000).map(|number| shard_of_str(&name.replace("{}", &number.to_string()), 1_000).0);
        let (fullest, empty) = spread(1_000, keys);
        assert!(fullest <= 150 && empty == 0, "{name}: {fullest} %, {empty} empty");
    }
    let short = (0..=u16::MAX).map(|number| shard_of_bytes(&number.to_be_bytes(), 100).0);
    let (fullest, empty) = spread(100, short);
    assert!(fullest <= 120 && empty == 0, "two bytes: {fullest} %");
}
