//! `web-stream`, and bodies that are not held whole at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use shardloom_host::{
    BodyError, Broken, CallEnd, CallError, HandlerInstance, IncomingBody, Part, Streams, TimeoutKind,
};
use tokio::sync::{mpsc, oneshot};

use crate::fixture::{Fixture, far};
use crate::state::State;
use crate::web::web;

/// More than a request or a response may have that is held whole.
const LARGE_PARTS: u64 = 512;
const PART_BYTES: usize = 64 << 10;
/// What may be on its way through the host at once, far below all of it.
const ON_THE_WAY_MAX: u64 = 4 << 20;
/// Longer than anything takes that goes on.
const IDLE_MAX: Duration = Duration::from_secs(60);

fn nothing() -> IncomingBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A large body; counts the bytes that are taken of it.
fn large(taken: Arc<AtomicU64>) -> IncomingBody {
    let frames = (0..LARGE_PARTS).map(move |_| {
        taken.fetch_add(PART_BYTES as u64, Ordering::Relaxed);
        Ok::<_, BodyError>(Frame::data(Bytes::from_static(&[b'x'; PART_BYTES])))
    });
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

/// What comes of a call.
struct Ended {
    head: CallEnd,
    /// The response's body, and whether it came to its end.
    body: Vec<u8>,
    whole: bool,
    result: Result<(), Broken>,
}

/// Runs a call on a state, and reads its response; `read` sees how much has come, and says whether to go on.
async fn run(
    state: &State,
    instance: &mut HandlerInstance,
    (path, body, idle_max, deadline): (&str, IncomingBody, Duration, Instant),
    mut read: impl FnMut(u64) -> bool,
) -> Ended {
    let (parts, mut received) = mpsc::channel(1);
    let (head, at_head) = oneshot::channel();
    let streams = Streams { body, parts, idle_max };
    let called = instance.stream(web("POST", path, ""), streams, deadline, state.view(), head);
    let reading = async {
        let head = at_head.await.unwrap();
        state.apply(&head.writes);
        let (mut body, mut whole) = (Vec::new(), false);
        while let Some(part) = received.recv().await {
            match part {
                Part::Data(bytes) => body.extend(bytes),
                Part::End => whole = true,
            }
            if !read(body.len() as u64) {
                break;
            }
        }
        drop(received);
        (head, body, whole)
    };
    let (result, (head, body, whole)) = tokio::join!(called, reading);
    assert!(instance.is_dead(), "an instance streams once");
    Ended { head, body, whole, result }
}

async fn ask(state: &State, fixture: &Fixture, guest: &str, path: &str) -> Ended {
    let mut instance = fixture.instance(guest).await;
    run(state, &mut instance, (path, nothing(), IDLE_MAX, far()), |_| true).await
}

#[tokio::test]
async fn bodies_larger_than_any_bound_pass_and_are_never_whole() {
    let (fixture, state) = (Fixture::new(), State::default());
    for (guest, path) in [("web-stream", "/echo"), ("web-new", "/up")] {
        let taken = Arc::new(AtomicU64::new(0));
        let mut instance = fixture.instance(guest).await;
        let mut ahead_max = 0;
        let sent = (path, large(Arc::clone(&taken)), IDLE_MAX, far());
        let ended = run(&state, &mut instance, sent, |come| {
            ahead_max = ahead_max.max(taken.load(Ordering::Relaxed).saturating_sub(come));
            true
        })
        .await;
        assert_eq!((ended.result, ended.whole), (Ok(()), true), "{guest}");
        let come = ended.body.iter().filter(|byte| **byte == b'x').count() as u64;
        assert_eq!(come, LARGE_PARTS * PART_BYTES as u64, "{guest}");
        assert!(ahead_max < ON_THE_WAY_MAX, "{guest}: {ahead_max} bytes were on their way at once");
    }
}

#[tokio::test]
async fn what_is_written_before_the_head_is_of_the_call_and_after_it_is_refused() {
    let (fixture, state) = (Fixture::new(), State::default());
    let late = ask(&state, &fixture, "web-stream", "/late").await;
    assert_eq!(late.result, Ok(()));
    let words = String::from_utf8(late.body).unwrap();
    assert!(words.contains("refused") && words.contains("the response has begun"), "{}", words.trim());
    let kept = ask(&state, &fixture, "web-stream", "/kept").await;
    assert_eq!(String::from_utf8(kept.body).unwrap(), "early=kept\n");

    let state = State::default();
    let late = ask(&state, &fixture, "web-new", "/late").await;
    assert_eq!(late.result, Ok(()));
    let words = String::from_utf8(late.body).unwrap();
    assert!(words.starts_with("late\n") && words.contains("the response has begun"), "{words}");
    assert!(state.is_empty());
}

#[tokio::test]
async fn a_call_counts_its_body_and_keeps_the_number() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("web-stream").await;
    let sent = ("/count", large(Arc::default()), IDLE_MAX, far());
    let ended = run(&state, &mut instance, sent, |_| true).await;
    let count = (LARGE_PARTS * PART_BYTES as u64).to_string();
    assert_eq!(String::from_utf8(ended.body).unwrap(), count);
    let kept = ask(&state, &fixture, "web-stream", "/kept").await;
    assert_eq!(String::from_utf8(kept.body).unwrap(), format!("count={count}\n"));
}

#[tokio::test]
async fn a_caller_that_goes_away_or_takes_nothing_ends_the_guest() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("web-stream").await;
    let sent = ("/bytes?4000000000", nothing(), IDLE_MAX, far());
    let ended = run(&state, &mut instance, sent, |come| come < 1_000_000).await;
    assert_eq!((ended.result, ended.whole), (Err(Broken::CallerGone), false));

    let mut instance = fixture.instance("web-stream").await;
    let (parts, _held) = mpsc::channel(1);
    let (head, _at_head) = oneshot::channel();
    let idle_max = Duration::from_millis(50);
    let streams = Streams { body: nothing(), parts, idle_max };
    let request = web("GET", "/bytes?4000000000", "");
    let ended = instance.stream(request, streams, far(), state.view(), head).await;
    assert_eq!(ended, Err(Broken::CallerIdle(idle_max)));
}

#[tokio::test]
async fn a_component_that_misbehaves_ends_its_response_where_it_is() {
    let (fixture, state) = (Fixture::new(), State::default());
    let trapped = ask(&state, &fixture, "web-faulty", "/trap").await;
    assert!(matches!(trapped.result, Err(Broken::Call(CallError::Trap(_)))), "{:?}", trapped.result);
    assert!(!trapped.whole);
    let open = ask(&state, &fixture, "web-faulty", "/open").await;
    assert_eq!((open.head.result.unwrap().status, open.whole, &open.body[..]), (200, false, &b"begun"[..]));
    for (path, words) in [("/silent", "no response"), ("/error", "on purpose")] {
        let ended = ask(&state, &fixture, "web-faulty", path).await;
        let Err(CallError::NoResponse(said)) = ended.head.result else { panic!("{path}") };
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn the_deadline_is_that_of_the_head_and_the_body_may_take_longer() {
    let (fixture, state) = (Fixture::new(), State::default());
    let soon = Instant::now() + Duration::from_millis(200);
    let mut instance = fixture.instance("web-faulty").await;
    let waits = run(&state, &mut instance, ("/wait", nothing(), IDLE_MAX, soon), |_| true).await;
    assert_eq!(waits.head.result, Err(CallError::Timeout(TimeoutKind::Deadline)));

    let mut instance = fixture.instance("web-stream").await;
    let soon = Instant::now() + Duration::from_secs(2);
    let (parts, mut received) = mpsc::channel(1);
    let (head, at_head) = oneshot::channel();
    let streams = Streams { body: nothing(), parts, idle_max: IDLE_MAX };
    let called = instance.stream(web("GET", "/bytes?1000000000", ""), streams, soon, state.view(), head);
    let reading = async {
        assert_eq!(at_head.await.unwrap().result.unwrap().status, 200);
        // The deadline passes while the guest is held up.
        tokio::time::sleep_until(soon.into()).await;
        for _ in 0..100 {
            assert!(matches!(received.recv().await, Some(Part::Data(_))));
        }
        drop(received);
    };
    let (ended, ()) = tokio::join!(called, reading);
    assert_eq!(ended, Err(Broken::CallerGone));
}
