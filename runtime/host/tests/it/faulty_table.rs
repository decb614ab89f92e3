//! `faulty-table`: tables without end end with the limit.

use shardloom_host::{CallError, LimitHit};

use crate::fixture::Fixture;
use crate::state::State;

#[tokio::test]
async fn a_table_that_grows_without_end_ends_with_the_limit() {
    let fixture = Fixture::new();
    let mut instance = fixture.instance("faulty-table").await;
    let ended = State::default().call(&mut instance, "k", "", "").await;
    assert_eq!(ended, Err(CallError::Limit(LimitHit::Tables(100_000))));
    assert!(instance.is_dead());
}
