//! `kv`: registers with compare-and-set.

use shardloom_host::{Failure, Request};

use crate::fixture::{Fixture, far, request};
use crate::state::State;

#[tokio::test]
async fn values_are_put_read_and_deleted() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("kv").await;
    let none = Failure::NotFound("\"a\" has no value".to_owned());
    assert_eq!(state.refusal(&mut instance, "a", "get", "").await, none);
    assert_eq!(state.ask(&mut instance, "a", "put", "1").await, "");
    assert_eq!(state.ask(&mut instance, "a", "get", "").await, "1");
    assert_eq!(state.ask(&mut instance, "a", "delete", "").await, "");
    assert_eq!(state.ask(&mut instance, "a", "delete", "").await, "");
    assert_eq!(state.refusal(&mut instance, "a", "get", "").await, none);
}

#[tokio::test]
async fn any_bytes_are_a_value() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("kv").await;
    for value in [Vec::new(), (0..=255).collect()] {
        let put = Request { body: value.clone(), ..request("a", "put", "") };
        state.run(&mut instance, put, far()).await.unwrap();
        let found = state.call(&mut instance, "a", "get", "").await.unwrap();
        assert_eq!(found.body, value);
    }
}

#[tokio::test]
async fn a_swap_expects_the_value_that_is_there() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("kv").await;
    let conflict = |words: &str| Failure::Conflict(words.to_owned());
    let swap = |expect: &str, value: &str| format!(r#"{{"expect": {expect}, "value": "{value}"}}"#);
    let refusal = state.refusal(&mut instance, "a", "cas", &swap("\"x\"", "1")).await;
    assert_eq!(refusal, conflict("there is no value"));
    assert_eq!(state.ask(&mut instance, "a", "cas", &swap("null", "1")).await, "");
    assert_eq!(
        state.refusal(&mut instance, "a", "cas", &swap("null", "2")).await,
        conflict("the value is \"1\"")
    );
    assert_eq!(state.ask(&mut instance, "a", "cas", &swap("\"1\"", "2")).await, "");
    assert_eq!(state.ask(&mut instance, "a", "get", "").await, "2");
}

#[tokio::test]
async fn bad_requests_are_invalid() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("kv").await;
    let long = "v".repeat(50_000);
    for (key, method, body) in [
        ("a", "swap", ""),
        ("a", "", ""),
        ("a", "cas", ""),
        ("a", "cas", "{}"),
        ("a", "cas", r#"{"value": "1"}"#),
        ("a", "cas", r#"{"expect": 1, "value": "1"}"#),
        ("a", "cas", r#"{"expect": null, "value": null}"#),
        ("a", "cas", r#"{"expect": null, "value": "1", "ttl": 5}"#),
        ("a", "put", &long),
        (&"k".repeat(1_025), "put", "1"),
    ] {
        let refusal = state.refusal(&mut instance, key, method, body).await;
        assert!(matches!(refusal, Failure::Invalid(_)), "{method} {body}: {refusal:?}");
    }
    assert!(state.is_empty());
}
