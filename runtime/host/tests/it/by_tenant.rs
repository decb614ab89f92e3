//! `by-tenant`: a tenant's keys are on one shard, and tenants spread.

use std::collections::BTreeSet;

use crate::fixture::Fixture;

#[tokio::test]
async fn keys_of_a_tenant_are_on_one_shard() {
    let fixture = Fixture::new();
    let function = fixture.host.shard_function(&fixture.admit("by-tenant").await).await.unwrap();
    for count in [1, 2, 1024, 10_000, u32::MAX] {
        for tenant in ["acme", "", "é", "a b"] {
            let shards: BTreeSet<u32> = ["", ":", ":1", "/1", ":1/2", "/1:2", "/orders/17"]
                .iter()
                .map(|rest| function.shard_of(&format!("{tenant}{rest}"), count).unwrap())
                .collect();
            assert_eq!(shards.len(), 1, "{tenant} of {count}");
            assert!(shards.iter().all(|shard| *shard < count));
        }
    }
}

#[tokio::test]
async fn tenants_spread_over_the_shards() {
    let fixture = Fixture::new();
    let function = fixture.host.shard_function(&fixture.admit("by-tenant").await).await.unwrap();
    let mut counts = [0_u32; 16];
    for tenant in 0..16_000 {
        counts[function.shard_of(&format!("tenant-{tenant}:key"), 16).unwrap() as usize] += 1;
    }
    // 1,000 each, with a standard deviation of 31.
    assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn answers_are_pinned() {
    let fixture = Fixture::new();
    let function = fixture.host.shard_function(&fixture.admit("by-tenant").await).await.unwrap();
    let answers = ["", "acme", "globex:1", "é/2"].map(|key| function.shard_of(key, 1024).unwrap());
    assert_eq!(answers, PINNED, "keys would move: a new answer is a new component");
}

/// Worked out apart, from the description of the hash.
const PINNED: [u32; 4] = [959, 232, 181, 629];

#[tokio::test]
async fn many_threads_ask_at_once() {
    let fixture = Fixture::new();
    let function = fixture.host.shard_function(&fixture.admit("by-tenant").await).await.unwrap();
    let expected: Vec<u32> = (0..200).map(|key| function.shard_of(&key.to_string(), 1024).unwrap()).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for (key, shard) in expected.iter().enumerate() {
                    assert_eq!(function.shard_of(&key.to_string(), 1024).unwrap(), *shard);
                }
            });
        }
    });
}
