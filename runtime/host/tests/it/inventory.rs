//! `inventory`, the example: reservations over several items, and ends that come once.

use shardloom_host::Failure;

use crate::fixture::Fixture;
use crate::state::State;

const KEY: &str = "berlin";

#[tokio::test]
async fn an_order_is_reserved_and_confirmed_once_however_often_it_is_asked() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("inventory").await;
    state.ask(&mut instance, KEY, "stock", r#"{"item": "cup", "count": 3}"#).await;
    state.ask(&mut instance, KEY, "stock", r#"{"item": "tea", "count": 10}"#).await;
    let order = r#"{"order": "o-1", "items": {"tea": 2, "cup": 1}}"#;
    for _ in 0..3 {
        let reserved = r#"{"state":"reserved","items":{"cup":1,"tea":2}}"#;
        assert_eq!(state.ask(&mut instance, KEY, "reserve", order).await, reserved);
        let shown = r#"{"cup":{"free":2,"reserved":1},"tea":{"free":8,"reserved":2}}"#;
        assert_eq!(state.ask(&mut instance, KEY, "show", "").await, shown);
    }
    for _ in 0..3 {
        let confirmed = r#"{"state":"confirmed","items":{"cup":1,"tea":2}}"#;
        assert_eq!(state.ask(&mut instance, KEY, "confirm", r#"{"order": "o-1"}"#).await, confirmed);
        assert_eq!(state.ask(&mut instance, KEY, "reserve", order).await, confirmed);
        assert_eq!(state.ask(&mut instance, KEY, "order", r#"{"order": "o-1"}"#).await, confirmed);
        let shown = r#"{"cup":{"free":2,"reserved":0},"tea":{"free":8,"reserved":0}}"#;
        assert_eq!(state.ask(&mut instance, KEY, "show", "").await, shown);
    }
    let late = state.refusal(&mut instance, KEY, "cancel", r#"{"order": "o-1"}"#).await;
    assert_eq!(late, Failure::Conflict("order \"o-1\" is confirmed already".to_owned()));
}

#[tokio::test]
async fn an_order_that_lacks_one_item_reserves_none() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("inventory").await;
    state.ask(&mut instance, KEY, "stock", r#"{"item": "cup", "count": 3}"#).await;
    state.ask(&mut instance, KEY, "stock", r#"{"item": "tea", "count": 1}"#).await;
    let before = state.rows();
    let order = r#"{"order": "o-1", "items": {"cup": 1, "tea": 2}}"#;
    let refusal = state.refusal(&mut instance, KEY, "reserve", order).await;
    assert_eq!(refusal, Failure::Conflict("2 of \"tea\" are wanted, and 1 are free".to_owned()));
    assert_eq!(state.rows(), before);
}

#[tokio::test]
async fn a_cancelled_order_gives_its_items_back_once() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("inventory").await;
    state.ask(&mut instance, KEY, "stock", r#"{"item": "cup", "count": 3}"#).await;
    state.ask(&mut instance, KEY, "reserve", r#"{"order": "o-1", "items": {"cup": 2}}"#).await;
    let other =
        state.refusal(&mut instance, KEY, "reserve", r#"{"order": "o-1", "items": {"cup": 1}}"#).await;
    assert_eq!(other, Failure::Conflict("order \"o-1\" has other items".to_owned()));
    for _ in 0..2 {
        state.ask(&mut instance, KEY, "cancel", r#"{"order": "o-1"}"#).await;
        assert_eq!(state.ask(&mut instance, KEY, "show", "").await, r#"{"cup":{"free":3,"reserved":0}}"#);
    }
    assert_eq!(state.ask(&mut instance, "berli", "show", "").await, "{}", "another warehouse");
}

#[tokio::test]
async fn bad_requests_are_told_what_is_right() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("inventory").await;
    for (method, body) in [
        ("stock", ""),
        ("stock", r#"{"item": "cup", "count": -1}"#),
        ("stock", r#"{"item": "", "count": 1}"#),
        ("reserve", r#"{"order": "o-1", "items": {}}"#),
        ("reserve", r#"{"order": "o-1", "items": {"cup": 0}}"#),
        ("reserve", r#"{"order": "", "items": {"cup": 1}}"#),
        ("confirm", r#"{"id": "o-1"}"#),
        ("sell", ""),
    ] {
        let refusal = state.refusal(&mut instance, KEY, method, body).await;
        assert!(matches!(refusal, Failure::Invalid(_)), "{method} {body}: {refusal:?}");
    }
    let unknown = state.refusal(&mut instance, KEY, "confirm", r#"{"order": "o-9"}"#).await;
    assert_eq!(unknown, Failure::NotFound("there is no order \"o-9\"".to_owned()));
    assert!(state.is_empty());
}
