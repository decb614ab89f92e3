//! Deadlines, bounds on what is under way, and classes that do not starve each other.

use std::time::{Duration, Instant};

use bytes::Bytes;
use shardloom_transport::{Class, Delivery, PeerOptions, TransportError};
use tokio::task::JoinSet;

use crate::peers::{Cluster, Node, reaches, soon};

fn few_in_flight() -> PeerOptions {
    let mut options = PeerOptions::default();
    options.limits_mut(Class::Requests).in_flight_max = 4;
    options.in_flight_wait_max = Duration::from_millis(20);
    options
}

fn hold(from: &Node, to: &Node, class: Class, count: usize) -> JoinSet<Result<Bytes, TransportError>> {
    let mut held = JoinSet::new();
    for _ in 0..count {
        let (net, id, address) = (from.net.clone(), to.id, to.address());
        held.spawn(async move { net.request(id, address, class, "hold".into(), soon()).await });
    }
    held
}

#[tokio::test]
async fn a_deadline_ends_the_wait_at_both_ends_and_the_late_reply_goes_to_nobody() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    a.ask(&b, Class::Requests, b"warm").await.unwrap();
    let began = Instant::now();
    let error =
        a.ask_until(&b, Class::Requests, b"hold", began + Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, TransportError::Deadline { delivery: Delivery::Unknown }), "{error}");
    assert!(began.elapsed() >= Duration::from_millis(100));
    reaches(&b.echo.holding, 0).await;
    assert_eq!(a.ask(&b, Class::Requests, b"next").await.unwrap(), "next");
}

#[tokio::test]
async fn a_deadline_that_has_passed_already_sends_nothing() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    let error = a.ask_until(&b, Class::Requests, b"x", Instant::now()).await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::NotSent, "{error}");
}

#[tokio::test]
async fn requests_over_the_bound_in_flight_are_refused_and_places_come_back() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start_with(1, few_in_flight()), cluster.start(2));
    let mut held = hold(&a, &b, Class::Requests, 4);
    reaches(&b.echo.holding, 4).await;
    let error = a.ask(&b, Class::Requests, b"x").await.unwrap_err();
    assert!(matches!(error, TransportError::Overloaded { at_peer: false, .. }), "{error}");
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert_eq!(a.ask(&b, Class::Control, b"urgent").await.unwrap(), "urgent");
    b.echo.released.send_replace(true);
    while let Some(reply) = held.join_next().await {
        assert_eq!(reply.unwrap().unwrap(), "released");
    }
    assert_eq!(a.ask(&b, Class::Requests, b"x").await.unwrap(), "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn as_many_callers_as_the_bound_allows_are_never_refused() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start_with(1, few_in_flight()), cluster.start_with(2, few_in_flight()));
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let (net, id, address) = (a.net.clone(), b.id, b.address());
        callers.spawn(async move {
            for _ in 0..2000 {
                net.request(id, address, Class::Requests, "later".into(), soon()).await?;
            }
            Ok::<_, TransportError>(())
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_peer_that_sends_too_much_is_told_so_by_the_far_end() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start_with(2, few_in_flight()));
    let _held = hold(&a, &b, Class::Requests, 4);
    reaches(&b.echo.holding, 4).await;
    let large = vec![0; 100_000];
    for body in [&b"x"[..], &large] {
        let error = a.ask(&b, Class::Requests, body).await.unwrap_err();
        assert!(matches!(error, TransportError::Overloaded { at_peer: true, .. }), "{error}");
        assert_eq!(error.delivery(), Delivery::NotSent);
    }
    assert_eq!(a.ask(&b, Class::Control, b"urgent").await.unwrap(), "urgent");
}

#[tokio::test]
async fn a_caller_that_stops_waiting_gives_its_place_back_when_the_peer_is_done() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start_with(1, few_in_flight()), cluster.start(2));
    let held = hold(&a, &b, Class::Requests, 4);
    reaches(&b.echo.holding, 4).await;
    drop(held);
    b.echo.released.send_replace(true);
    a.ask_patiently(&b, Class::Requests, b"x").await;
}

#[tokio::test]
async fn bulk_of_64_mb_passes_and_control_is_answered_meanwhile() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    let body: Bytes = (0..64u32 << 20).map(|n| (n % 251) as u8).collect();
    let mut bulk = JoinSet::new();
    let (net, id, address, sent) = (a.net.clone(), b.id, b.address(), body.clone());
    bulk.spawn(async move { net.request(id, address, Class::Bulk, sent, soon()).await });
    let mut asked = 0;
    let reply = loop {
        tokio::select! {
            biased;
            reply = bulk.join_next() => break reply.unwrap().unwrap().unwrap(),
            urgent = a.ask(&b, Class::Control, b"urgent") => {
                assert_eq!(urgent.unwrap(), "urgent");
                asked += 1;
            }
        }
    };
    assert!(reply == body, "64 MB came back changed");
    assert!(asked > 0, "control waited for the bulk");
}
