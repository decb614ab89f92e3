//! `faulty`: each bad behaviour costs its caller an error, and only what went over the line kills the instance.

use std::time::{Duration, Instant};

use shardloom_host::{CallError, Failure, HandlerInstance, LimitHit, Limits, Reply, Request, TimeoutKind};

use crate::fixture::{Fixture, far, request, text};
use crate::state::State;

const MIB: u64 = 1 << 20;

async fn call(instance: &mut HandlerInstance, method: &str, body: &str) -> Result<Reply, CallError> {
    State::default().call(instance, "k", method, body).await
}

/// Calls one method of a fresh instance and expects the instance to be dead, and to say so.
async fn fatal(limits: Limits, method: &str, body: &str) -> CallError {
    let fixture = Fixture::new();
    let mut instance = fixture.instance_within("faulty", limits).await;
    let error = call(&mut instance, method, body).await.unwrap_err();
    assert!(instance.is_dead(), "{error}");
    assert_eq!(call(&mut instance, "ok", "").await, Err(CallError::Dead));
    assert_eq!(text(call(&mut fixture.instance("faulty").await, "ok", "again").await), "again");
    error
}

#[tokio::test]
async fn refusals_carry_the_guests_words_and_leave_it_alive() {
    let fixture = Fixture::new();
    let mut instance = fixture.instance("faulty").await;
    let words = "no such thing".to_owned();
    for (method, failure) in [
        ("invalid", Failure::Invalid(words.clone())),
        ("not-found", Failure::NotFound(words.clone())),
        ("conflict", Failure::Conflict(words.clone())),
        ("failed", Failure::Failed(words.clone())),
    ] {
        assert_eq!(call(&mut instance, method, &words).await, Err(CallError::Failure(failure)));
    }
    let unknown = call(&mut instance, "nonsense", "").await;
    assert!(matches!(unknown, Err(CallError::Failure(Failure::Invalid(_)))), "{unknown:?}");
    assert_eq!(text(call(&mut instance, "ok", "alive").await), "alive");
}

#[tokio::test]
async fn a_refusal_of_a_megabyte_is_cut() {
    let fixture = Fixture::new();
    let mut instance = fixture.instance("faulty").await;
    match call(&mut instance, "big-failure", "").await {
        Err(CallError::Failure(Failure::Failed(words))) => assert_eq!(words.len(), 8 << 10),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_trap_comes_with_the_guests_backtrace() {
    for method in ["trap", "panic"] {
        match fatal(Limits::default(), method, "").await {
            CallError::Trap(trap) => {
                assert_eq!(trap.reason, "wasm `unreachable` instruction executed");
                assert!(trap.backtrace.contains("faulty"), "{}", trap.backtrace);
            }
            other => panic!("{method}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_endless_loop_ends_with_its_run_time() {
    let started = Instant::now();
    let limits = Limits { deadline_ms: 100, ..Limits::default() };
    assert_eq!(fatal(limits, "loop", "").await, CallError::Timeout(TimeoutKind::RunTime(100)));
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn an_endless_loop_ends_with_the_deadline_of_its_request() {
    let fixture = Fixture::new();
    let mut instance =
        fixture.instance_within("faulty", Limits { deadline_ms: 60_000, ..Limits::default() }).await;
    let deadline = Instant::now() + Duration::from_millis(100);
    let ended = State::default().run(&mut instance, request("k", "loop", ""), deadline).await;
    assert_eq!(ended, Err(CallError::Timeout(TimeoutKind::Deadline)));
    assert!(Instant::now() >= deadline);
    assert!(instance.is_dead());
}

#[tokio::test]
async fn memory_without_end_ends_with_the_limit() {
    assert_eq!(fatal(Limits::default(), "alloc", "").await, CallError::Limit(LimitHit::Memory(64 * MIB)));
}

#[tokio::test]
async fn a_guest_that_is_refused_memory_may_cope_with_it() {
    let fixture = Fixture::new();
    let mut instance = fixture.instance("faulty").await;
    assert_eq!(text(call(&mut instance, "alloc-and-cope", "").await), "no room");
    assert_eq!(text(call(&mut instance, "ok", "alive").await), "alive");
}

#[tokio::test]
async fn endless_recursion_ends_with_the_stack() {
    assert_eq!(fatal(Limits::default(), "recurse", "").await, CallError::Limit(LimitHit::Stack(512 << 10)));
}

#[tokio::test]
async fn a_reply_of_a_gigabyte_ends_with_the_memory() {
    assert_eq!(fatal(Limits::default(), "big-reply", "").await, CallError::Limit(LimitHit::Memory(64 * MIB)));
}

#[tokio::test]
async fn a_reply_over_its_limit_is_not_taken_over() {
    let over = (8 * MIB + 1).to_string();
    assert_eq!(
        fatal(Limits::default(), "big-reply", &over).await,
        CallError::Limit(LimitHit::Reply(8 * MIB))
    );
    let far_over = (40 * MIB).to_string();
    assert_eq!(
        fatal(Limits::default(), "big-reply", &far_over).await,
        CallError::Limit(LimitHit::Reply(8 * MIB))
    );
    let fixture = Fixture::new();
    let mut instance = fixture.instance("faulty").await;
    let just = call(&mut instance, "big-reply", &(8 * MIB).to_string()).await.unwrap();
    assert_eq!(just.body.len() as u64, 8 * MIB);
}

#[tokio::test]
async fn headers_over_their_limits_are_not_passed_on() {
    let many = fatal(Limits::default(), "many-headers", "").await;
    assert_eq!(many, CallError::Limit(LimitHit::ReplyHeaders(64)));
    let big = fatal(Limits::default(), "big-headers", "").await;
    assert_eq!(big, CallError::Limit(LimitHit::ReplyHeaderBytes(16 << 10)));
}

#[tokio::test]
async fn a_flood_of_log_is_held_to_its_rate() {
    let fixture = Fixture::new();
    let limits = Limits { deadline_ms: 100, log_bytes_per_s: 20_000, ..Limits::default() };
    let mut instance = fixture.instance_within("faulty", limits).await;
    let started = Instant::now();
    let ended = call(&mut instance, "log-flood", "").await;
    assert_eq!(ended, Err(CallError::Timeout(TimeoutKind::RunTime(100))));
    let bytes: usize = fixture.lines.lock().unwrap().iter().map(|(line, _)| line.len()).sum();
    let allowed = 20_000.0 * (1.0 + started.elapsed().as_secs_f64());
    assert!((bytes as f64) <= allowed, "{bytes} bytes, {allowed} allowed");
}

#[tokio::test]
async fn slow_but_lawful_work_is_done() {
    let fixture = Fixture::new();
    let mut instance =
        fixture.instance_within("faulty", Limits { deadline_ms: 30_000, ..Limits::default() }).await;
    assert!(!text(call(&mut instance, "slow", "").await).is_empty());
    assert!(!instance.is_dead());
}

#[tokio::test]
async fn imports_tell_place_and_config_and_take_log() {
    let fixture = Fixture::new();
    let mut instance = fixture.instance("faulty").await;
    let place = text(call(&mut instance, "place", "").await);
    assert_eq!(place, "3 of 16 epoch 7 on 00000000000000ab as tested v2");
    instance.set_epoch(shardloom_sharding::ids::Epoch(9));
    let place = text(call(&mut instance, "place", "").await);
    assert_eq!(place, "3 of 16 epoch 9 on 00000000000000ab as tested v2");
    assert_eq!(text(call(&mut instance, "config", "").await), "colour=blue true\n");
    call(&mut instance, "log", "hello").await.unwrap();
    assert_eq!(*fixture.lines.lock().unwrap(), [("Info faulty hello".to_owned(), 0)]);
}

#[tokio::test]
async fn a_guest_that_starts_over_its_limit_is_not_made() {
    let fixture = Fixture::new();
    let handler = fixture.handler("faulty").await;
    let error = fixture.instantiate(&handler, &Limits { memory_bytes: 1 << 16, ..Limits::default() }).await;
    let error = error.unwrap_err();
    assert_eq!(error, shardloom_host::InstantiateError::Limit(LimitHit::Memory(1 << 16)));
    let error = fixture.instantiate(&handler, &Limits { table_elements: 0, ..Limits::default() }).await;
    let error = error.unwrap_err();
    assert_eq!(error, shardloom_host::InstantiateError::Limit(LimitHit::Tables(0)));
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_the_instance_dead() {
    let fixture = Fixture::new();
    let mut instance =
        fixture.instance_within("faulty", Limits { deadline_ms: 60_000, ..Limits::default() }).await;
    let endless: Request = request("k", "loop", "");
    let endless = instance.call(endless, far(), State::default().view());
    let dropped = tokio::time::timeout(Duration::from_millis(50), endless).await;
    assert!(dropped.is_err());
    assert!(instance.is_dead());
    assert_eq!(call(&mut instance, "ok", "").await, Err(CallError::Dead));
}
