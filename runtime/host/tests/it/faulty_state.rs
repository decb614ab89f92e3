//! `faulty` with state: whatever goes wrong in a call, nothing of it remains; each bound is told to the guest.

use std::sync::Arc;

use shardloom_host::{CallEnd, CallError, Failure, Limits, TimeoutKind};

use crate::fixture::{Fixture, far, request};
use crate::state::{Broken, State};

fn failed(words: &str) -> Failure {
    Failure::Failed(words.to_owned())
}

#[tokio::test]
async fn a_failure_a_trap_and_a_timeout_leave_nothing() {
    let (fixture, state) = (Fixture::new(), State::default());
    let limits = Limits { deadline_ms: 100, ..Limits::default() };
    for method in ["write-then-fail", "write-then-trap", "write-then-loop"] {
        let mut instance = fixture.instance_within("faulty", limits.clone()).await;
        let CallEnd { result, writes } =
            instance.call(request("k", method, "new"), far(), state.view()).await;
        match (method, result.unwrap_err()) {
            // The call saw its own write before it refused.
            ("write-then-fail", CallError::Failure(failure)) => assert_eq!(failure, failed("new")),
            ("write-then-trap", CallError::Trap(_)) => {}
            ("write-then-loop", CallError::Timeout(TimeoutKind::RunTime(100))) => {}
            (_, other) => panic!("{method}: {other:?}"),
        }
        assert_eq!(writes, []);
        let mut next = fixture.instance("faulty").await;
        assert_eq!(state.ask(&mut next, "k", "written", "").await, "nothing");
    }
}

#[tokio::test]
async fn an_instance_that_refused_begins_its_next_call_anew() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("faulty").await;
    assert_eq!(state.refusal(&mut instance, "k", "write-then-fail", "new").await, failed("new"));
    assert_eq!(state.ask(&mut instance, "k", "written", "").await, "nothing");
    assert_eq!(state.ask(&mut instance, "k", "write-blindly", "kept").await, "written");
    assert_eq!(state.ask(&mut instance, "k", "written", "").await, "kept");
}

#[tokio::test]
async fn a_reply_over_its_limit_leaves_nothing() {
    let (fixture, state) = (Fixture::new(), State::default());
    let limits = Limits { reply_bytes: 3, ..Limits::default() };
    let mut instance = fixture.instance_within("faulty", limits).await;
    let end = instance.call(request("k", "write-blindly", "x"), far(), state.view()).await;
    assert!(matches!(end.result, Err(CallError::Limit(_))), "{end:?}");
    assert_eq!(end.writes, []);
}

#[tokio::test]
async fn each_bound_is_told_to_the_guest_by_its_name() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("faulty").await;
    for (method, body, words) in [
        ("big-key", "1025", "the key has 1025 bytes; key_bytes allows 1024"),
        ("big-value", "49153", "the value has 49153 bytes; value_bytes allows 49152"),
        ("big-batch", "", "the changes of this call have 1080135 bytes; batch_bytes allows 1048576"),
        ("many-changes", "", "the call changes more keys than changes allows, 1000"),
    ] {
        assert_eq!(state.refusal(&mut instance, "k", method, body).await, failed(words), "{method}");
    }
    assert!(state.is_empty());
    for (method, body) in [("big-key", "1024"), ("big-value", "49152")] {
        assert_eq!(state.ask(&mut instance, "k", method, body).await, "taken");
    }
}

#[tokio::test]
async fn a_workload_may_have_tighter_bounds() {
    let (fixture, state) = (Fixture::new(), State::default());
    let tight = Limits { value_bytes: 10, changes: 2, state_bytes: 100, ..Limits::default() };
    let mut instance = fixture.instance_within("faulty", tight).await;
    for (method, body, words) in [
        ("big-value", "11", "the value has 11 bytes; value_bytes allows 10"),
        ("many-changes", "", "the call changes more keys than changes allows, 2"),
    ] {
        assert_eq!(state.refusal(&mut instance, "k", method, body).await, failed(words), "{method}");
    }
}

#[tokio::test]
async fn a_state_over_its_quota_takes_no_more() {
    let (fixture, state) = (Fixture::new(), State::default());
    let limits = Limits { state_bytes: 1_000, ..Limits::default() };
    let mut instance = fixture.instance_within("faulty", limits).await;
    assert_eq!(state.refusal(&mut instance, "k", "quota", "100").await, failed("quota exceeded"));
    assert!(state.is_empty());
}

#[tokio::test]
async fn a_value_too_large_to_take_over_ends_the_call() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("faulty").await;
    let ended = state.call(&mut instance, "k", "big-value", &(20 << 20).to_string()).await;
    assert!(matches!(ended, Err(CallError::Limit(_))), "{ended:?}");
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_the_hosts_failure() {
    let fixture = Fixture::new();
    let mut instance = fixture.instance("faulty").await;
    let end = instance.call(request("k", "written", ""), far(), Arc::new(Broken)).await;
    let words = "the shard's state cannot be read: input/output error".to_owned();
    assert_eq!(end, CallEnd { result: Err(CallError::Host(words)), writes: Vec::new() });
    assert!(instance.is_dead());
}

#[tokio::test]
async fn a_write_reads_nothing() {
    let fixture = Fixture::new();
    let mut instance = fixture.instance("faulty").await;
    let end = instance.call(request("k", "write-blindly", "x"), far(), Arc::new(Broken)).await;
    assert_eq!(end.writes.len(), 1, "{end:?}");
}
