//! `web-faulty`: what a component of wasi:http may do wrong, and what it must not get.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Empty, Full};
use shardloom_host::{
    CallError, LimitHit, Limits, Outgoing, OutgoingBody, OutgoingError, Patience, Sent, TimeoutKind,
};

use crate::fixture::Fixture;
use crate::state::State;
use crate::web::{end, send, web};

#[tokio::test]
async fn a_component_without_a_response_is_answered_for() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("web-faulty").await;
    let silent = end(&state, &mut instance, web("GET", "/silent", "")).await;
    assert_eq!(silent, Err(CallError::NoResponse("the component gave no response".into())));
    let ended = end(&state, &mut instance, web("GET", "/error", "")).await;
    assert!(matches!(&ended, Err(CallError::NoResponse(words)) if words.contains("on purpose")), "{ended:?}");
    assert!(!instance.is_dead());
}

#[tokio::test]
async fn a_body_that_is_left_open_holds_nobody_up() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("web-faulty").await;
    let ended = end(&state, &mut instance, web("GET", "/open", "")).await;
    let said = |words: &str| words.contains("did not come to its end");
    assert!(matches!(&ended, Err(CallError::NoResponse(words)) if said(words)), "{ended:?}");
    assert!(instance.is_dead());
}

#[tokio::test]
async fn a_component_cannot_fill_the_hosts_memory_with_bodies_that_nobody_reads() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("web-faulty").await;
    let ended = end(&state, &mut instance, web("GET", "/bodies", "")).await;
    assert!(matches!(ended, Err(CallError::Trap(_) | CallError::Host(_))), "{ended:?}");
    assert!(instance.is_dead());
}

#[tokio::test]
async fn a_response_without_end_is_cut_off() {
    let limits = Limits { reply_bytes: 100_000, ..Limits::default() };
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance_within("web-faulty", limits).await;
    let ended = end(&state, &mut instance, web("GET", "/large", "")).await;
    assert_eq!(ended, Err(CallError::Limit(LimitHit::Reply(100_000))));
    assert!(instance.is_dead());
}

#[tokio::test]
async fn a_component_that_traps_computes_or_waits_too_long_is_stopped() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("web-faulty").await;
    let ended = end(&state, &mut instance, web("GET", "/trap", "")).await;
    assert!(matches!(ended, Err(CallError::Trap(_))), "{ended:?}");
    assert!(instance.is_dead());

    let limits = Limits { deadline_ms: 100, ..Limits::default() };
    let mut instance = fixture.instance_within("web-faulty", limits).await;
    let ended = end(&state, &mut instance, web("GET", "/spin", "")).await;
    assert_eq!(ended, Err(CallError::Timeout(TimeoutKind::RunTime(100))));

    let mut instance = fixture.instance("web-faulty").await;
    let soon = Instant::now() + Duration::from_millis(50);
    let ended = state.run(&mut instance, web("GET", "/wait", ""), soon).await;
    assert_eq!(ended, Err(CallError::Timeout(TimeoutKind::Deadline)));
    assert!(instance.is_dead());
}

#[tokio::test]
async fn a_component_sees_its_request_and_nothing_of_the_machine() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("web-faulty").await;
    let mut request = web("PATCH", "/seen?a=b", "");
    request.headers = vec![("x-a".into(), "1".into()), ("x-a".into(), "grün".into())];
    let (_, seen) = send(&state, &mut instance, request).await;
    let head = "Method::Patch Some(Scheme::Http) Some(\"shop.example:7080\") Some(\"/seen?a=b\")\n";
    assert_eq!(seen, format!("{head}x-a: 1\nx-a: grün\n"));

    let (_, world) = send(&state, &mut instance, web("GET", "/world", "")).await;
    assert!(world.starts_with("environment [] arguments [] directories 0 year 20"), "{world}");
    assert!(world.ends_with("later true random true\n"), "{world}");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (_, refused) = send(&state, &mut instance, web("POST", "/socket", &address)).await;
    assert!(refused.starts_with("refused"), "{refused}");
}

#[tokio::test]
async fn what_is_printed_is_logged() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("web-faulty").await;
    send(&state, &mut instance, web("POST", "/print", "one\ntwo\n")).await;
    let lines: Vec<String> = fixture.lines.lock().unwrap().iter().map(|(line, _)| line.clone()).collect();
    assert_eq!(lines, ["Info stdout one", "Info stdout two", "Info stderr stderr"]);
}

#[tokio::test]
async fn a_fresh_instance_remembers_nothing_and_a_reused_one_does() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("web-faulty").await;
    for count in ["1", "2"] {
        assert_eq!(send(&state, &mut instance, web("GET", "/count", "")).await, (200, count.into()));
    }
    let mut fresh = fixture.instance("web-faulty").await;
    assert_eq!(send(&state, &mut fresh, web("GET", "/count", "")).await, (200, "1".into()));
}

/// Answers by the path, and notes where requests would go.
#[derive(Default)]
struct Answers(Mutex<Vec<String>>);

impl Outgoing for Answers {
    fn send(
        &self,
        request: http::Request<OutgoingBody>,
        _: Patience,
    ) -> BoxFuture<'static, Result<Sent, OutgoingError>> {
        let uri = request.uri().to_string();
        self.0.lock().unwrap().push(uri.clone());
        let whole = |text: &'static str| Full::from(text).map_err(|never| match never {}).boxed_unsync();
        let response = match request.uri().path() {
            "/moved" => Ok(http::Response::builder()
                .status(302)
                .header("location", "https://b.example/there")
                .body(Empty::new().map_err(|never| match never {}).boxed_unsync())
                .unwrap()),
            "/there" => Ok(http::Response::new(whole("hello"))),
            _ => Err(OutgoingError::NotGranted(uri)),
        };
        async move { Ok((response?, async {}.boxed())) }.boxed()
    }
}

#[tokio::test]
async fn requests_go_out_by_the_one_who_grants_them_and_by_nobody_else() {
    let state = State::default();
    let mut fixture = Fixture::new();
    let mut locked = fixture.instance("web-faulty").await;
    let (_, answer) = send(&state, &mut locked, web("POST", "/fetch", "http://a.example/there")).await;
    assert_eq!(answer, "error: ErrorCode::HttpRequestDenied");

    let answers = Arc::new(Answers::default());
    fixture.outgoing = Some(Arc::clone(&answers) as Arc<dyn Outgoing>);
    let mut granted = fixture.instance("web-faulty").await;
    for (url, expected) in [
        ("http://a.example/there", "200: hello"),
        ("http://a.example:81/moved", "redirected: 200: hello"),
        ("http://a.example/else", "error: ErrorCode::HttpRequestDenied"),
        ("ftp://a.example/", "error: ErrorCode::HttpRequestUriInvalid"),
    ] {
        let (_, answer) = send(&state, &mut granted, web("POST", "/fetch", url)).await;
        assert_eq!(answer, expected, "{url}");
    }
    // A redirect is followed by the guest itself, with a request that is judged as any other.
    let sent = answers.0.lock().unwrap().clone();
    let expected = [
        "http://a.example/there",
        "http://a.example:81/moved",
        "https://b.example/there",
        "http://a.example/else",
    ];
    assert_eq!(sent, expected);
}
