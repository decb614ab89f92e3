//! `counter`: totals per key.

use shardloom_host::Failure;

use crate::fixture::Fixture;
use crate::state::State;

#[tokio::test]
async fn totals_are_added_up_per_key() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("counter").await;
    let mut totals = Vec::new();
    for (key, method, body) in
        [("a", "get", ""), ("a", "add", "41"), ("b", "add", "5"), ("a", "add", " 1\n"), ("a", "get", "")]
    {
        totals.push(state.ask(&mut instance, key, method, body).await);
    }
    assert_eq!(totals, ["0", "41", "5", "42", "42"]);
}

#[tokio::test]
async fn what_is_no_decimal_is_invalid_and_adds_nothing() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("counter").await;
    state.ask(&mut instance, "a", "add", "18446744073709551615").await;
    for (method, body) in [("add", ""), ("add", "x"), ("add", "-1"), ("add", "+1"), ("add", "1"), ("", "1")] {
        let refusal = state.refusal(&mut instance, "a", method, body).await;
        assert!(matches!(refusal, Failure::Invalid(_)), "{method} {body}: {refusal:?}");
    }
    assert_eq!(state.ask(&mut instance, "a", "get", "").await, "18446744073709551615");
}
