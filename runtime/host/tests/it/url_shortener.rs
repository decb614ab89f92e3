//! `url-shortener`, the example: names that are taken once, visits that are counted.

use crate::fixture::Fixture;
use crate::state::State;
use crate::web::{end, send, web};

#[tokio::test]
async fn a_name_is_taken_once_and_its_visits_are_counted() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("url-shortener").await;
    let target = "https://www.rust-lang.org/";
    for (body, status) in [(target, 201), (target, 200), ("https://example.com/", 409), ("ftp://a/", 400)] {
        let (answered, _) = send(&state, &mut instance, web("PUT", "/rust", body)).await;
        assert_eq!(answered, status, "{body}");
    }
    for visits in 1..4 {
        let visit = end(&state, &mut instance, web("GET", "/rust", "")).await.unwrap();
        assert_eq!((visit.status, visit.headers), (302, vec![("location".to_owned(), target.to_owned())]));
        let stats = send(&state, &mut instance, web("GET", "/rust/stats", "")).await;
        assert_eq!(stats, (200, format!("{visits} visits of {target}\n")));
    }
    assert_eq!(send(&state, &mut instance, web("DELETE", "/rust", "")).await.0, 204);
    assert!(state.is_empty());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_leaves_nothing() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("url-shortener").await;
    for (method, path, status) in [
        ("GET", "/nobody", 404),
        ("GET", "/nobody/stats", 404),
        ("GET", "/", 400),
        ("PUT", "/a%20b", 400),
        ("PUT", "/empty", 400),
        ("POST", "/name", 404),
        ("GET", "/name/other", 404),
    ] {
        assert_eq!(send(&state, &mut instance, web(method, path, "")).await.0, status, "{method} {path}");
    }
    assert!(state.is_empty());
}
