//! `word-count`: totals per key, in memory.

use shardloom_host::{CallError, Failure};

use crate::fixture::{Fixture, far, request, text};

#[tokio::test]
async fn totals_are_counted_per_key() {
    let fixture = Fixture::new();
    let mut instance = fixture.instance("word-count").await;
    let mut answers = Vec::new();
    for (key, method, body) in [
        ("a", "", ""),
        ("a", "add", "41"),
        ("b", "add", " 5\n"),
        ("a", "get", ""),
        ("b", "get", ""),
        ("c", "get", ""),
    ] {
        answers.push(text(instance.call(request(key, method, body), far()).await));
    }
    assert_eq!(answers, ["1", "42", "5", "42", "5", "0"]);
}

#[tokio::test]
async fn bad_bodies_and_methods_are_invalid_and_count_nothing() {
    let fixture = Fixture::new();
    let mut instance = fixture.instance("word-count").await;
    for (method, body) in [("add", "x"), ("", "-1"), ("", "+1"), ("", "18446744073709551616"), ("remove", "")]
    {
        let answer = instance.call(request("a", method, body), far()).await;
        assert!(
            matches!(answer, Err(CallError::Failure(Failure::Invalid(_)))),
            "{method} {body}: {answer:?}"
        );
    }
    assert_eq!(
        text(instance.call(request("a", "add", "18446744073709551615"), far()).await),
        "18446744073709551615"
    );
    let over = instance.call(request("a", "", ""), far()).await;
    assert!(matches!(over, Err(CallError::Failure(Failure::Invalid(_)))), "{over:?}");
    assert!(!instance.is_dead());
    assert_eq!(text(instance.call(request("a", "get", ""), far()).await), "18446744073709551615");
}

#[tokio::test]
async fn instances_share_nothing() {
    let fixture = Fixture::new();
    let mut one = fixture.instance("word-count").await;
    let mut other = fixture.instance("word-count").await;
    assert_eq!(text(one.call(request("a", "", ""), far()).await), "1");
    assert_eq!(text(other.call(request("a", "get", ""), far()).await), "0");
}
