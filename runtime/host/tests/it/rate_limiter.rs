//! `rate-limiter`, the example: what it counts is tested beside it, natively; here is that it is a component that runs.

use shardloom_host::Failure;

use crate::fixture::Fixture;
use crate::state::State;

#[tokio::test]
async fn a_limiter_without_its_settings_says_which_are_missing() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("rate-limiter").await;
    let refusal = state.refusal(&mut instance, "ada", "take", "1700000000000").await;
    let words = "capacity and per_second must be set, each from 1 to 1000000";
    assert_eq!(refusal, Failure::Failed(words.to_owned()));
    assert!(state.is_empty());
    assert_eq!(state.ask(&mut instance, "ada", "reset", "").await, "");
}
