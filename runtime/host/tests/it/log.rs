//! `log`: lines in the order in which they were appended.

use shardloom_host::Failure;

use crate::fixture::Fixture;
use crate::state::State;

#[tokio::test]
async fn lines_come_back_in_order_however_many_there_are() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("log").await;
    let lines: Vec<String> = (1..=1_200).map(|number| format!("line {number}")).collect();
    assert_eq!(state.ask(&mut instance, "a", "get", "").await, "");
    for (count, line) in (1..).zip(&lines) {
        assert_eq!(state.ask(&mut instance, "a", "append", line).await, format!("{count}"));
    }
    assert_eq!(state.ask(&mut instance, "a", "get", "").await, lines.join("\n") + "\n");
}

#[tokio::test]
async fn logs_whose_keys_begin_alike_are_apart() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("log").await;
    for key in ["", "a", "aa", "a\0", "a\u{1}"] {
        for count in 1..=2 {
            let line = format!("{key:?}");
            assert_eq!(state.ask(&mut instance, key, "append", &line).await, count.to_string());
        }
    }
    for key in ["", "a", "aa", "a\0", "a\u{1}"] {
        assert_eq!(state.ask(&mut instance, key, "get", "").await, format!("{key:?}\n{key:?}\n"));
    }
}

#[tokio::test]
async fn what_is_no_single_line_is_invalid() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("log").await;
    for (method, body) in [("append", "a\nb"), ("append", "a\n"), ("", "a")] {
        let refusal = state.refusal(&mut instance, "a", method, body).await;
        assert!(matches!(refusal, Failure::Invalid(_)), "{method} {body:?}: {refusal:?}");
    }
    assert_eq!(state.ask(&mut instance, "a", "append", "").await, "1");
    assert_eq!(state.ask(&mut instance, "a", "get", "").await, "\n");
}

#[tokio::test]
async fn a_full_log_takes_no_more_and_can_be_read() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("log").await;
    let line = "x".repeat(40_000);
    let mut lines = 0;
    let refusal = loop {
        match state.call(&mut instance, "a", "append", &line).await {
            Ok(_) => lines += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.to_string(), "failed: the log is full: it may have 4194304 bytes");
    assert_eq!(state.ask(&mut instance, "a", "get", "").await.len(), lines * 40_001);
}
