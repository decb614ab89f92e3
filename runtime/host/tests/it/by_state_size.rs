//! `by-state-size`: weights from bytes.

use shardloom_host::ShardLoad;

use crate::by_busy_time::load;
use crate::fixture::Fixture;

#[tokio::test]
async fn weights_follow_the_size_of_the_state_in_steps_and_nothing_else() {
    let fixture = Fixture::new();
    let weigher = fixture.host.weigher(&fixture.admit("by-state-size").await).await.unwrap();
    let sizes = [0, 1, 32 << 10, (96 << 10) - 1, 96 << 10, 1 << 20, 256 << 20, u64::MAX];
    let loads: Vec<ShardLoad> =
        sizes.iter().map(|bytes| ShardLoad { state_bytes: *bytes, ..load(0, 700.0) }).collect();
    assert_eq!(weigher.weigh(&loads).await, Ok(vec![1, 1, 2, 2, 3, 17, 4_097, 1_000_000_000]));
}
