//! `web-kv`: wasi:http 0.2 with wasi:keyvalue.

use shardloom_host::{Request, World};

use crate::fixture::{Fixture, guest};
use crate::state::State;
use crate::web::{end, send, web};

#[tokio::test]
async fn a_component_of_wasi_http_is_admitted_as_what_it_is() {
    let fixture = Fixture::new();
    let admitted = fixture.host.admit(&guest("web-kv")).await.unwrap();
    assert_eq!(admitted.world, World::HttpHandler);
    assert!(fixture.host.handler(&admitted.digest).await.unwrap().is_http());
    assert_eq!(shardloom_host::outgoing_http(&admitted.imports), None, "{:?}", admitted.imports);
}

#[tokio::test]
async fn what_one_request_keeps_another_instance_finds() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut first = fixture.instance("web-kv").await;
    assert_eq!(send(&state, &mut first, web("PUT", "/a?x=1", "tea")).await, (204, String::new()));
    let mut second = fixture.instance("web-kv").await;
    assert_eq!(send(&state, &mut second, web("GET", "/a", "")).await, (200, "tea".into()));
    let reply = end(&state, &mut second, web("GET", "/a", "")).await.unwrap();
    assert_eq!(reply.headers, [("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())]);
    assert_eq!(send(&state, &mut second, web("DELETE", "/a", "")).await.0, 204);
    assert_eq!(send(&state, &mut second, web("GET", "/a", "")).await.0, 404);
    assert_eq!(send(&state, &mut second, web("BREW", "/a", "")).await.0, 405);
}

#[tokio::test]
async fn a_response_of_5xx_leaves_nothing_and_any_other_keeps_what_was_written() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("web-kv").await;
    let failing = |status: &str| Request {
        headers: vec![("x-fail".to_owned(), status.to_owned())],
        ..web("PUT", "/a", "tea")
    };
    for status in ["500", "503", "599"] {
        assert_eq!(send(&state, &mut instance, failing(status)).await.0.to_string(), status);
        assert!(state.is_empty(), "{status}");
    }
    assert_eq!(send(&state, &mut instance, failing("429")).await.0, 429);
    assert_eq!(send(&state, &mut instance, web("GET", "/a", "")).await, (200, "tea".into()));
}

#[tokio::test]
async fn a_body_of_many_parts_comes_whole_both_ways() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("web-kv").await;
    let long = "0123456789".repeat(4_500);
    assert_eq!(send(&state, &mut instance, web("PUT", "/long", &long)).await.0, 204);
    assert_eq!(send(&state, &mut instance, web("GET", "/long", "")).await, (200, long));
    let longer = "0123456789".repeat(6_000);
    let (status, words) = send(&state, &mut instance, web("PUT", "/longer", &longer)).await;
    assert_eq!(status, 500);
    assert!(words.contains("value_bytes"), "{words}");
}
