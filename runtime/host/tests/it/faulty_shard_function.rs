//! `faulty-shard-function`: no shard, and a reason; other keys are served on.

use shardloom_host::{LimitHit, ShardFunctionError};

use crate::fixture::Fixture;

#[tokio::test]
async fn every_fault_has_its_error_and_the_next_key_is_served() {
    let fixture = Fixture::new();
    let function = fixture.host.shard_function(&fixture.admit("faulty-shard-function").await).await.unwrap();
    for key in ["loop", "trap", "out-of-range", "alloc"] {
        let answer = function.shard_of(key, 1024);
        match key {
            "loop" => assert_eq!(answer, Err(ShardFunctionError::Fuel(5_000_000))),
            "trap" => assert!(matches!(answer, Err(ShardFunctionError::Trap(_))), "{answer:?}"),
            "alloc" => assert_eq!(answer, Err(ShardFunctionError::Limit(LimitHit::Memory(64 << 20)))),
            _ => assert_eq!(answer, Err(ShardFunctionError::OutOfRange { answer: 1024, count: 1024 })),
        }
        assert_eq!(function.shard_of("fine", 1024), Ok(0));
    }
}
