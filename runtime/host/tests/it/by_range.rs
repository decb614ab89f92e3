//! `by-range`: keys keep their order.

use crate::fixture::Fixture;

#[tokio::test]
async fn shards_follow_the_order_of_keys_and_are_below_the_count() {
    let fixture = Fixture::new();
    let function = fixture.host.shard_function(&fixture.admit("by-range").await).await.unwrap();
    let keys = [
        "",
        "\u{1}",
        "0",
        "00z",
        "17",
        "9",
        "99:",
        "a",
        "aa",
        "aardvark",
        "abacus",
        "b",
        "Bz",
        "m",
        "mzz",
        "n",
        "z",
        "zebra",
        "zzzzzzz",
        "é",
        "\u{1f980}",
    ];
    for count in [1, 2, 38, 1_024, 65_536, u32::MAX] {
        let shards: Vec<u32> = keys.iter().map(|key| function.shard_of(key, count).unwrap()).collect();
        assert!(shards.is_sorted(), "{count}: {shards:?}");
        assert!(shards.iter().all(|shard| *shard < count), "{count}: {shards:?}");
    }
}

#[tokio::test]
async fn keys_that_begin_alike_are_together_and_capitals_make_no_difference() {
    let fixture = Fixture::new();
    let function = fixture.host.shard_function(&fixture.admit("by-range").await).await.unwrap();
    let shard = |key: &str| function.shard_of(key, 1_024).unwrap();
    assert_eq!(shard("muller-anna"), shard("Muller-Zoe"));
    assert_eq!(shard("2026-11-26"), shard("2026-11-27"));
    assert!(shard("anna") < shard("zoe"));
}

#[tokio::test]
async fn answers_are_pinned() {
    let fixture = Fixture::new();
    let function = fixture.host.shard_function(&fixture.admit("by-range").await).await.unwrap();
    let answers = ["", "0", "a", "acme", "m", "zz", "é"].map(|key| function.shard_of(key, 1_024).unwrap());
    assert_eq!(answers, PINNED, "keys would move: a new answer is a new component");
}

/// Worked out apart, from the description: 1,024 times the fraction that the first six letters are in base 38.
const PINNED: [u32; 7] = [0, 26, 296, 306, 619, 995, 1023];
