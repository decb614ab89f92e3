//! `word-count`: totals per key, in the shard's state.

use shardloom_host::{CallError, Failure};

use crate::fixture::Fixture;
use crate::state::State;

#[tokio::test]
async fn totals_are_counted_per_key() {
    let fixture = Fixture::new();
    let mut instance = fixture.instance("word-count").await;
    let (state, mut answers) = (State::default(), Vec::new());
    for (key, method, body) in [
        ("a", "", ""),
        ("a", "add", "41"),
        ("b", "add", " 5\n"),
        ("a", "get", ""),
        ("b", "get", ""),
        ("c", "get", ""),
    ] {
        answers.push(state.ask(&mut instance, key, method, body).await);
    }
    assert_eq!(answers, ["1", "42", "5", "42", "5", "0"]);
}

#[tokio::test]
async fn bad_bodies_and_methods_are_invalid_and_count_nothing() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("word-count").await;
    for (method, body) in [("add", "x"), ("", "-1"), ("", "+1"), ("", "18446744073709551616"), ("remove", "")]
    {
        let answer = state.call(&mut instance, "a", method, body).await;
        assert!(
            matches!(answer, Err(CallError::Failure(Failure::Invalid(_)))),
            "{method} {body}: {answer:?}"
        );
    }
    assert_eq!(state.ask(&mut instance, "a", "add", "18446744073709551615").await, "18446744073709551615");
    let over = state.call(&mut instance, "a", "", "").await;
    assert!(matches!(over, Err(CallError::Failure(Failure::Invalid(_)))), "{over:?}");
    assert!(!instance.is_dead());
    assert_eq!(state.ask(&mut instance, "a", "get", "").await, "18446744073709551615");
}

#[tokio::test]
async fn totals_outlive_the_instance() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut one = fixture.instance("word-count").await;
    assert_eq!(state.ask(&mut one, "a", "", "").await, "1");
    drop(one);
    let mut next = fixture.instance("word-count").await;
    assert_eq!(state.ask(&mut next, "a", "", "").await, "2");
    assert_eq!(State::default().ask(&mut next, "a", "get", "").await, "0", "another shard");
}
