//! `eager`: there is no state outside of a call.

use shardloom_host::{InstantiateError, Limits};

use crate::fixture::Fixture;

#[tokio::test]
async fn a_guest_that_reads_state_as_it_starts_is_not_made() {
    let fixture = Fixture::new();
    let handler = fixture.handler("eager").await;
    match fixture.instantiate(&handler, &Limits::default()).await {
        Err(InstantiateError::Trap(trap)) => {
            assert_eq!(trap.reason, "the shard's state can be used within a call only");
        }
        other => panic!("{other:?}"),
    }
}
