//! Guests beside each other: none holds a thread, none pays for another.

use std::time::{Duration, Instant};

use shardloom_host::{CallError, Limits, TimeoutKind};

use crate::fixture::{Fixture, far, request, text};
use crate::state::State;

#[tokio::test(flavor = "current_thread")]
async fn a_guest_that_never_ends_leaves_its_thread_to_others() {
    let fixture = Fixture::new();
    let mut endless =
        fixture.instance_within("faulty", Limits { deadline_ms: 300, ..Limits::default() }).await;
    let mut quick = fixture.instance("word-count").await;
    let mut calls = 0;
    let state = State::default();
    let ended = endless.call(request("k", "loop", ""), far(), State::default().view());
    let others = async {
        loop {
            state.ask(&mut quick, "k", "", "").await;
            calls += 1;
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::select! {
        ended = ended => ended.result,
        never = others => never,
    };
    assert_eq!(ended, Err(CallError::Timeout(TimeoutKind::RunTime(300))));
    // One for each of its ticks, or nearly.
    assert!(calls >= 50, "{calls} calls beside 300 ms of loop");
}

#[tokio::test(flavor = "current_thread")]
async fn only_its_own_run_time_counts_against_a_guest() {
    const GUESTS: u32 = 8;
    let fixture = Fixture::new();
    let mut alone =
        fixture.instance_within("faulty", Limits { deadline_ms: 60_000, ..Limits::default() }).await;
    let started = Instant::now();
    State::default().ask(&mut alone, "k", "slow", "50").await;
    let alone = started.elapsed();

    let deadline_ms = u32::try_from(alone.as_millis()).unwrap().max(20) * 3;
    let started = Instant::now();
    let mut instances = Vec::new();
    for _ in 0..GUESTS {
        instances.push(fixture.instance_within("faulty", Limits { deadline_ms, ..Limits::default() }).await);
    }
    let view = || State::default().view();
    let calls = instances.iter_mut().map(|instance| instance.call(request("k", "slow", "50"), far(), view()));
    for end in futures::future::join_all(calls).await {
        text(end.result);
    }
    // All on one thread: each waited for the others longer than it may run.
    assert!(started.elapsed() > Duration::from_millis(u64::from(deadline_ms)), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faulty_guests_on_every_thread_leave_their_neighbours_right() {
    const FAULTS: [&str; 5] = ["loop", "alloc", "recurse", "trap", "log-flood"];
    let fixture = Fixture::new();
    let handler = fixture.handler("faulty").await;
    let limits = Limits { deadline_ms: 50, ..Limits::default() };
    let mut tasks = tokio::task::JoinSet::new();
    for method in FAULTS {
        let mut instance = fixture.instantiate(&handler, &limits).await.unwrap();
        tasks.spawn(async move {
            assert!(State::default().call(&mut instance, "k", method, "").await.is_err());
            assert!(instance.is_dead());
        });
    }
    for _ in 0..4 {
        let mut neighbour = fixture.instance("word-count").await;
        tasks.spawn(async move {
            let state = State::default();
            for total in 1..=500 {
                assert_eq!(state.ask(&mut neighbour, "k", "", "").await, total.to_string());
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn the_clock_wakes_again_after_a_long_rest() {
    let fixture = Fixture::with(|options| options.tick = Duration::from_millis(1));
    for _ in 0..3 {
        let mut endless =
            fixture.instance_within("faulty", Limits { deadline_ms: 20, ..Limits::default() }).await;
        let ended = State::default().call(&mut endless, "k", "loop", "").await;
        assert_eq!(ended, Err(CallError::Timeout(TimeoutKind::RunTime(20))));
        // More than the ticks after which the clock rests.
        tokio::time::timeout(Duration::from_millis(150), std::future::pending::<()>()).await.unwrap_err();
    }
}

#[tokio::test]
async fn instances_outlive_the_host_that_made_them() {
    let fixture = Fixture::new();
    let mut instance =
        fixture.instance_within("faulty", Limits { deadline_ms: 50, ..Limits::default() }).await;
    drop(fixture);
    assert_eq!(State::default().ask(&mut instance, "k", "ok", "alive").await, "alive");
    let ended = State::default().call(&mut instance, "k", "loop", "").await;
    assert_eq!(ended, Err(CallError::Timeout(TimeoutKind::RunTime(50))));
}
