//! `bank`: money moves, and none comes or goes.

use shardloom_host::{Failure, HandlerInstance};

use crate::fixture::Fixture;
use crate::state::State;

async fn open(state: &State, instance: &mut HandlerInstance, tenant: &str, account: &str, amount: u64) {
    let body = format!(r#"{{"account": "{account}", "amount": {amount}}}"#);
    assert_eq!(state.ask(instance, tenant, "open", &body).await, format!(r#"{{"{account}":{amount}}}"#));
}

fn transfer(from: &str, to: &str, amount: u64) -> String {
    format!(r#"{{"from": "{from}", "to": "{to}", "amount": {amount}}}"#)
}

#[tokio::test]
async fn money_moves_between_the_accounts_of_a_tenant() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("bank").await;
    assert_eq!(state.ask(&mut instance, "acme", "balances", "").await, "{}");
    open(&state, &mut instance, "acme", "bob", 0).await;
    open(&state, &mut instance, "acme", "ann", 100).await;
    open(&state, &mut instance, "acm", "eann", 7).await;
    let moved = state.ask(&mut instance, "acme", "transfer", &transfer("ann", "bob", 30)).await;
    assert_eq!(moved, r#"{"ann":70,"bob":30}"#);
    state.ask(&mut instance, "acme", "transfer", &transfer("bob", "ann", 30)).await;
    state.ask(&mut instance, "acme", "transfer", &transfer("ann", "bob", 100)).await;
    assert_eq!(state.ask(&mut instance, "acme", "balances", "").await, r#"{"ann":0,"bob":100}"#);
    assert_eq!(state.ask(&mut instance, "acm", "balances", "").await, r#"{"eann":7}"#);
}

#[tokio::test]
async fn what_follows_a_colon_in_the_key_is_the_same_tenant() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("bank").await;
    open(&state, &mut instance, "acme:ann", "ann", 10).await;
    open(&state, &mut instance, "acme:bob", "bob", 0).await;
    state.ask(&mut instance, "acme:bob", "transfer", &transfer("ann", "bob", 4)).await;
    assert_eq!(state.ask(&mut instance, "acme", "balances", "").await, r#"{"ann":6,"bob":4}"#);
}

#[tokio::test]
async fn what_cannot_be_moved_stays() {
    const MAX: u64 = (1 << 53) - 1;
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("bank").await;
    open(&state, &mut instance, "t", "ann", 10).await;
    open(&state, &mut instance, "t", "rich", MAX).await;
    let before = state.rows();
    for (method, body, failure) in [
        (
            "transfer",
            transfer("ann", "rich", 11),
            Failure::Conflict("\"ann\" has 10, which is less than 11".into()),
        ),
        (
            "transfer",
            transfer("ann", "rich", 1),
            Failure::Conflict("\"rich\" would have more than 9007199254740991, the largest balance".into()),
        ),
        ("transfer", transfer("ann", "bob", 1), Failure::NotFound("there is no account \"bob\"".into())),
        ("transfer", transfer("bob", "ann", 1), Failure::NotFound("there is no account \"bob\"".into())),
        (
            "open",
            r#"{"account": "ann", "amount": 1}"#.to_owned(),
            Failure::Conflict("there is an account \"ann\" already".into()),
        ),
    ] {
        assert_eq!(state.refusal(&mut instance, "t", method, &body).await, failure);
    }
    for (method, body) in [
        ("transfer", transfer("ann", "ann", 1)),
        ("transfer", transfer("ann", "rich", MAX + 1)),
        ("transfer", r#"{"from": "ann", "to": "rich", "amount": -1}"#.to_owned()),
        ("transfer", r#"{"from": "ann", "to": "rich", "amount": 1.5}"#.to_owned()),
        ("transfer", r#"{"from": "ann", "to": "rich", "amount": "1"}"#.to_owned()),
        ("transfer", r#"{"from": "ann", "to": "rich"}"#.to_owned()),
        ("transfer", r#"{"from": "ann", "to": "rich", "amount": 18446744073709551616}"#.to_owned()),
        ("transfer", String::new()),
        ("open", r#"{"account": "", "amount": 1}"#.to_owned()),
        ("open", format!(r#"{{"account": "{}", "amount": 1}}"#, "a".repeat(129))),
        ("open", r#"{"account": "bob"}"#.to_owned()),
        ("rob", String::new()),
    ] {
        let refusal = state.refusal(&mut instance, "t", method, &body).await;
        assert!(matches!(refusal, Failure::Invalid(_)), "{method} {body}: {refusal:?}");
    }
    assert_eq!(state.rows(), before);
}
