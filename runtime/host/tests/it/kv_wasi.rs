//! `kv-wasi`: both drafts of `wasi:keyvalue`, over the same state.

use shardloom_host::{Failure, Limits};

use crate::fixture::Fixture;
use crate::state::State;

const DRAFTS: [&str; 2] = ["draft", "draft2"];

fn failed(words: &str) -> Failure {
    Failure::Failed(words.to_owned())
}

#[tokio::test]
async fn a_bucket_keeps_values_in_either_draft() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("kv-wasi").await;
    for (writer, reader) in [("draft", "draft2"), ("draft2", "draft")] {
        for (draft, operation, body, answer) in [
            (reader, "get", "k", "none"),
            (reader, "exists", "k", "false"),
            (writer, "set", "k v", "ok"),
            (reader, "get", "k", "v"),
            (reader, "exists", "k", "true"),
            (writer, "delete", "k", "ok"),
            (writer, "delete", "k", "ok"),
            (reader, "get", "k", "none"),
        ] {
            let method = format!("{draft} {operation}");
            assert_eq!(state.ask(&mut instance, "b", &method, body).await, answer, "{method} {body}");
        }
    }
    assert!(state.is_empty());
}

#[tokio::test]
async fn buckets_and_the_plain_store_are_apart() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("kv-wasi").await;
    let mut scripted = fixture.instance("scripted").await;
    for (bucket, key) in [("", "bk"), ("b", "k"), ("bk", "")] {
        let body = format!("{key}={bucket}-{key}");
        state.ask(&mut instance, bucket, "draft2 set-many", &body).await;
    }
    state.ask(&mut scripted, "k", "", "set bk plain").await;
    for (bucket, key) in [("", "bk"), ("b", "k"), ("bk", "")] {
        let list = state.ask(&mut instance, bucket, "draft2 keys", "").await;
        assert_eq!(list, format!("1 in 1: Some({key:?})..Some({key:?})"));
    }
    assert_eq!(state.ask(&mut instance, "b", "draft get", "k").await, "b-k");
    assert_eq!(state.ask(&mut scripted, "k", "", "scan - - 10").await, "bk=plain\n");
}

#[tokio::test]
async fn a_failed_call_takes_its_writes_back() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("kv-wasi").await;
    for draft in DRAFTS {
        let method = format!("{draft} set-and-fail");
        // The call read its own write.
        assert_eq!(state.refusal(&mut instance, "b", &method, "k v").await, failed("v"));
        assert!(state.is_empty());
    }
}

#[tokio::test]
async fn numbers_are_incremented() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("kv-wasi").await;
    for (method, body, sum) in [
        ("draft increment", "n 5", "5"),
        ("draft2 increment", "n -7", "-2"),
        ("draft2 increment", "n 9223372036854775807", "9223372036854775805"),
        ("draft increment", "n 9223372036854775807", "18446744073709551612"),
    ] {
        assert_eq!(state.ask(&mut instance, "b", method, body).await, sum);
    }
    let no_number = failed("the value of the key is no number of this kind, in decimal");
    assert_eq!(state.refusal(&mut instance, "b", "draft2 increment", "n 1").await, no_number);
    let over = failed("the sum would not fit 64 bits");
    assert_eq!(state.refusal(&mut instance, "b", "draft increment", "n 4").await, over);
    assert_eq!(state.ask(&mut instance, "b", "draft get", "n").await, "18446744073709551612");
}

#[tokio::test]
async fn batches_set_read_and_delete() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("kv-wasi").await;
    for (draft, found) in [("draft", "a=1 none c=3"), ("draft2", "a=1 b=none c=3")] {
        for (operation, body, answer) in [
            ("set-many", "a=1 c=3", "ok"),
            ("get-many", "a b c", found),
            ("delete-many", "a b c", "ok"),
            ("get-many", "", ""),
        ] {
            let method = format!("{draft} {operation}");
            assert_eq!(state.ask(&mut instance, "b", &method, body).await, answer, "{method}");
        }
    }
    assert!(state.is_empty());
}

#[tokio::test]
async fn a_batch_is_bounded() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("kv-wasi").await;
    let keys = |count: usize| (0..count).map(|key| format!("{key:04}")).collect::<Vec<_>>().join(" ");
    for draft in DRAFTS {
        for operation in ["get-many", "set-many", "delete-many"] {
            let method = format!("{draft} {operation}");
            let refusal = state.refusal(&mut instance, draft, &method, &keys(1_001)).await;
            assert_eq!(refusal, failed("a batch of 1001 keys; at most 1000 are taken"));
            state.call(&mut instance, draft, &method, &keys(1_000)).await.unwrap();
        }
        for key in 0..27 {
            let body = format!("{key:04} {}", "v".repeat(40_000));
            state.ask(&mut instance, draft, &format!("{draft} set"), &body).await;
        }
        let refusal = state.refusal(&mut instance, draft, &format!("{draft} get-many"), &keys(27)).await;
        assert_eq!(refusal, failed("the values have more than 1048576 bytes: ask for fewer"));
    }
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let (fixture, state) = (Fixture::new(), State::default());
    let limits = Limits { changes: 3_000, ..Limits::default() };
    let mut instance = fixture.instance_within("kv-wasi", limits).await;
    assert_eq!(state.ask(&mut instance, "b", "draft keys", "").await, "0 in 1: None..None");
    state.ask(&mut instance, "b", "draft numbers", "2500").await;
    for draft in DRAFTS {
        let list = state.ask(&mut instance, "b", &format!("{draft} keys"), "").await;
        assert_eq!(list, r#"2500 in 3: Some("00000")..Some("02499")"#);
    }
}

#[tokio::test]
async fn a_numbered_cursor_holds_for_its_call() {
    let (fixture, state) = (Fixture::new(), State::default());
    let limits = Limits { changes: 3_000, ..Limits::default() };
    let mut instance = fixture.instance_within("kv-wasi", limits).await;
    state.ask(&mut instance, "b", "draft numbers", "1500").await;
    assert_eq!(state.ask(&mut instance, "b", "draft keep-cursor", "").await, "true");
    let late = state.refusal(&mut instance, "b", "draft use-cursor", "").await;
    assert_eq!(late, failed("there is no such cursor: it holds within one call"));
}

#[tokio::test]
async fn a_value_is_compared_and_set() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("kv-wasi").await;
    assert_eq!(state.ask(&mut instance, "b", "draft2 cas", "k 1").await, "none");
    assert_eq!(state.ask(&mut instance, "b", "draft2 cas", "k 2").await, "1");
    assert_eq!(state.ask(&mut instance, "b", "draft2 get", "k").await, "2");
    // Even a write of the same value comes between.
    assert_eq!(state.ask(&mut instance, "b", "draft2 cas-lost", "k 3 2").await, "found 2, then 3");
    assert_eq!(state.ask(&mut instance, "b", "draft2 keep-cas", "k").await, "ok");
    let late = state.refusal(&mut instance, "b", "draft2 use-cas", "4").await;
    assert_eq!(late, Failure::Conflict("another value came first".to_owned()));
    assert_eq!(state.ask(&mut instance, "b", "draft get", "k").await, "3");
}

#[tokio::test]
async fn names_and_open_buckets_are_bounded() {
    let (fixture, state) = (Fixture::new(), State::default());
    let limits = Limits { handles: 100, ..Limits::default() };
    let mut instance = fixture.instance_within("kv-wasi", limits).await;
    let longest = "b".repeat(255);
    assert_eq!(state.ask(&mut instance, &longest, "draft set", "k v").await, "ok");
    assert_eq!(state.ask(&mut instance, &longest, "draft2 get", "k").await, "v");
    for draft in DRAFTS {
        let method = format!("{draft} get");
        let refusal = state.refusal(&mut instance, &"b".repeat(256), &method, "k").await;
        assert_eq!(refusal, failed("the bucket's name has 256 bytes; at most 255 are taken"));
        let body = format!("{} v", "k".repeat(1_025));
        let refusal = state.refusal(&mut instance, "b", &format!("{draft} set"), &body).await;
        assert_eq!(refusal, failed("the key has 1025 bytes; key_bytes allows 1024"));
    }
    assert_eq!(state.ask(&mut instance, "b", "draft2 open-many", "90").await, "90");
    let over = state.call(&mut instance, "b", "draft2 open-many", "101").await;
    assert!(over.is_err(), "{over:?}");
}
