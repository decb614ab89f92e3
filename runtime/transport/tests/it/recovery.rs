//! Peers that go away and come back.

use std::time::{Duration, Instant};

use shardloom_transport::{Class, Delivery, PeerOptions, TransportError};

use crate::peers::{Cluster, Node, PATIENCE, reaches, soon};

fn quick() -> PeerOptions {
    PeerOptions {
        idle_max: Duration::from_millis(1500),
        keep_alive: Duration::from_millis(300),
        connect_max: Duration::from_millis(500),
        ..PeerOptions::default()
    }
}

#[tokio::test]
async fn a_peer_that_restarts_on_its_port_is_reached_again() {
    let cluster = Cluster::new(1);
    let a = cluster.start(1);
    let mut b = cluster.start(2);
    a.ask(&b, Class::Control, b"x").await.unwrap();
    for _ in 0..3 {
        let address = b.address();
        b.net.close().await;
        let Node { key, .. } = b;
        b = Node::start(&cluster, 2, key, address, PeerOptions::default());
        assert_eq!(a.ask_patiently(&b, Class::Control, b"again").await, "again");
    }
}

/// What the kernel does to a killed process: the socket is gone, and nobody is told. The cut keeps the old one from
/// telling.
#[tokio::test]
async fn a_peer_that_was_killed_and_restarted_says_so_before_the_idle_timeout() {
    let cluster = Cluster::new(1);
    let a = cluster.start_with(1, PeerOptions { idle_max: PATIENCE * 3, ..PeerOptions::default() });
    let b = cluster.start_with(2, PeerOptions { idle_max: PATIENCE * 3, ..PeerOptions::default() });
    a.ask(&b, Class::Control, b"x").await.unwrap();
    let address = b.address();
    b.net.cut_all();
    b.net.close().await;
    let b = Node::start(&cluster, 2, b.key, address, PeerOptions::default());
    assert_eq!(a.ask_patiently(&b, Class::Control, b"again").await, "again");
}

#[tokio::test]
async fn requests_under_way_when_a_peer_dies_fail_as_unknown() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    let asked = a.ask(&b, Class::Requests, b"hold");
    let killed = async {
        reaches(&b.echo.holding, 1).await;
        b.net.close().await;
    };
    let (reply, ()) = tokio::join!(asked, killed);
    let error = reply.unwrap_err();
    assert!(matches!(error, TransportError::Lost { delivery: Delivery::Unknown, .. }), "{error}");
    assert!(error.to_string().contains("closing"), "{error}");
}

#[tokio::test]
async fn a_peer_that_is_not_there_fails_the_dial_and_then_at_once() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start_with(1, quick()), cluster.start(2));
    b.net.close().await;
    let error = a.ask(&b, Class::Control, b"x").await.unwrap_err();
    assert!(matches!(error, TransportError::Connect { .. }), "{error}");
    assert!(error.to_string().contains("no answer"), "{error}");
    let began = Instant::now();
    let error = a.ask(&b, Class::Control, b"x").await.unwrap_err();
    assert!(matches!(error, TransportError::BackingOff { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_millis(400));
    assert_eq!(error.delivery(), Delivery::NotSent);
}

#[tokio::test]
async fn a_cut_cable_is_noticed_by_silence_and_healing_brings_the_peer_back() {
    let cluster = Cluster::new(1);
    let (a, b, c) = (cluster.start_with(1, quick()), cluster.start_with(2, quick()), cluster.start(3));
    a.ask(&b, Class::Control, b"x").await.unwrap();
    a.net.cut(b.address());
    let error = a.ask(&b, Class::Control, b"x").await.unwrap_err();
    assert!(matches!(error, TransportError::Lost { delivery: Delivery::Unknown, .. }), "{error}");
    // The cut holds both ways, and for one peer only.
    let error =
        b.ask_until(&a, Class::Control, b"x", Instant::now() + Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::NotSent, "{error}");
    assert_eq!(a.ask(&c, Class::Control, b"x").await.unwrap(), "x");
    a.net.heal(b.address());
    assert_eq!(a.ask_patiently(&b, Class::Control, b"healed").await, "healed");
    assert_eq!(b.ask_patiently(&a, Class::Control, b"healed").await, "healed");
}

#[tokio::test]
async fn callers_that_give_up_do_not_stop_the_dial_for_others() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    for _ in 0..20 {
        let soonest = Instant::now() + Duration::from_micros(10);
        // Whether it is in time or not does not matter here.
        let _ = a.ask_until(&b, Class::Control, b"x", soonest).await;
    }
    assert_eq!(a.ask_patiently(&b, Class::Control, b"x").await, "x");
}

#[tokio::test]
async fn a_closed_net_frees_its_port_and_refuses() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    a.ask(&b, Class::Control, b"x").await.unwrap();
    let address = a.address();
    a.net.close().await;
    let error = a.net.request(b.id, b.address(), Class::Control, "x".into(), soon()).await.unwrap_err();
    assert!(matches!(error, TransportError::Closed), "{error}");
    std::net::UdpSocket::bind(address).expect("the port is free");
}

#[tokio::test]
async fn a_forgotten_peer_is_dialled_anew_when_needed() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    a.ask(&b, Class::Control, b"x").await.unwrap();
    a.net.forget(b.id);
    assert_eq!(a.ask(&b, Class::Control, b"y").await.unwrap(), "y");
}

#[tokio::test]
async fn a_peer_that_moved_to_another_address_is_followed() {
    let cluster = Cluster::new(1);
    let a = cluster.start(1);
    let old = cluster.start(2);
    a.ask(&old, Class::Control, b"x").await.unwrap();
    let new = cluster.start(2);
    assert_eq!(a.ask(&new, Class::Control, b"moved").await.unwrap(), "moved");
}

#[tokio::test]
async fn fifty_nodes_in_one_process_all_reach_each_other() {
    let cluster = Cluster::new(1);
    let nodes: Vec<Node> = (1..=50).map(|node| cluster.start(node)).collect();
    let nodes = &nodes;
    let asked = nodes.iter().map(|from| async move {
        for to in nodes.iter().filter(|to| to.id != from.id) {
            assert_eq!(from.ask_patiently(to, Class::Control, b"x").await, "x");
        }
    });
    futures::future::join_all(asked).await;
}
