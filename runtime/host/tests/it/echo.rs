//! `echo`, the guest in C: bytes and headers come back as they went.

use shardloom_host::Request;

use crate::fixture::{Fixture, far, request};
use crate::state::State;

#[tokio::test]
async fn body_and_headers_come_back_as_they_went() {
    let fixture = Fixture::new();
    let mut instance = fixture.instance("echo").await;
    let headers = vec![("x-a".to_owned(), "1".to_owned()), ("x-b".to_owned(), "é".to_owned())];
    for body in [Vec::new(), (0..=255).collect(), vec![7; 1 << 20]] {
        let request = Request { headers: headers.clone(), body: body.clone(), ..request("k", "any", "") };
        let reply = State::default().run(&mut instance, request, far()).await.unwrap();
        assert!(reply.body == body && reply.headers == headers);
    }
}

#[tokio::test]
async fn many_calls_leave_no_memory_behind() {
    let fixture = Fixture::new();
    let mut instance = fixture.instance("echo").await;
    let big = Request { body: vec![7; 100_000], ..request("k", "", "") };
    State::default().run(&mut instance, big.clone(), far()).await.unwrap();
    let before = instance.memory_bytes();
    for _ in 0..1_000 {
        State::default().run(&mut instance, big.clone(), far()).await.unwrap();
    }
    assert_eq!(instance.memory_bytes(), before);
}
