//! `by-busy-time`: weights from busy milliseconds.

use shardloom_host::{ShardLoad, WeigherError};

use crate::fixture::Fixture;

pub(crate) fn load(shard: u32, busy_ms_per_second: f64) -> ShardLoad {
    ShardLoad { shard, calls_per_second: 10.0, busy_ms_per_second, state_bytes: 0, queue_depth: 0, weight: 1 }
}

#[tokio::test]
async fn weights_follow_the_busy_time() {
    let fixture = Fixture::new();
    let weigher = fixture.host.weigher(&fixture.admit("by-busy-time").await).await.unwrap();
    let loads = [load(0, 0.0), load(1, 0.4), load(2, 250.0), load(3, 1_000.0), load(4, f64::INFINITY)];
    assert_eq!(weigher.weigh(&loads).await, Ok(vec![1, 1, 251, 1_001, 1_000_001]));
    assert_eq!(weigher.weigh(&[]).await, Ok(Vec::new()));
}

#[tokio::test]
async fn ten_thousand_shards_are_weighed_within_the_fuel() {
    let fixture = Fixture::new();
    let weigher = fixture.host.weigher(&fixture.admit("by-busy-time").await).await.unwrap();
    let loads: Vec<ShardLoad> = (0..10_000).map(|shard| load(shard, f64::from(shard % 100))).collect();
    let weights = weigher.weigh(&loads).await.unwrap();
    assert!(
        weights.iter().zip(&loads).all(|(weight, load)| f64::from(*weight) == load.busy_ms_per_second + 1.0)
    );
}

#[tokio::test]
async fn a_busy_time_that_is_no_number_is_refused_in_words() {
    let fixture = Fixture::new();
    let weigher = fixture.host.weigher(&fixture.admit("by-busy-time").await).await.unwrap();
    let refused = weigher.weigh(&[load(5, f64::NAN)]).await;
    assert_eq!(refused, Err(WeigherError::Refused("shard 5 is busy NaN ms per second".to_owned())));
}
