//! `faulty-weigher`: no weights, and a reason.

use shardloom_host::WeigherError;

use crate::by_busy_time::load;
use crate::fixture::Fixture;

#[tokio::test]
async fn every_fault_has_its_error_and_the_next_run_is_not_affected() {
    let fixture = Fixture::with(|options| options.weigher_fuel = 10_000_000);
    let weigher = fixture.host.weigher(&fixture.admit("faulty-weigher").await).await.unwrap();
    let loads: Vec<_> = (0..6).map(|shard| load(shard, 1.0)).collect();
    for shards in 1..=6 {
        let answer = weigher.weigh(&loads[..shards]).await;
        match shards {
            1 => assert!(matches!(answer, Err(WeigherError::Trap(_))), "{answer:?}"),
            2 => assert_eq!(answer, Err(WeigherError::Fuel(10_000_000))),
            3 => assert_eq!(answer, Err(WeigherError::Length { weights: 2, shards: 3 })),
            4 => assert_eq!(answer, Err(WeigherError::Refused("four is too many".to_owned()))),
            5 => assert_eq!(answer, Err(WeigherError::Range { shard: 0, weight: u32::MAX })),
            _ => assert_eq!(answer, Ok(vec![7; 6])),
        }
    }
}
