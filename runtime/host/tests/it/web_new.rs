//! `web-new`: wasi:http 0.3.

use crate::fixture::Fixture;
use crate::state::State;
use crate::web::{send, web};

#[tokio::test]
async fn requests_of_the_newer_interface_are_answered_and_counted() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut first = fixture.instance("web-new").await;
    assert_eq!(send(&state, &mut first, web("POST", "/a", "body")).await, (200, "1\nbody".into()));
    assert_eq!(send(&state, &mut first, web("POST", "/a", "")).await, (200, "2\n".into()));
    let mut second = fixture.instance("web-new").await;
    let long = "x".repeat(300_000);
    assert_eq!(send(&state, &mut second, web("POST", "/a", &long)).await, (200, format!("3\n{long}")));
}

#[tokio::test]
async fn what_a_task_writes_after_the_response_has_begun_is_of_the_call() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("web-new").await;
    for count in 1..=2 {
        let said = send(&state, &mut instance, web("GET", "/late", "")).await;
        assert_eq!(said, (200, format!("late\n{count}\n")));
    }
    let counts: Vec<_> = state.rows().into_iter().map(|(_, value)| value).collect();
    assert_eq!(counts, ["2"]);
}
