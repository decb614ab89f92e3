//! Who may talk to whom.

use shardloom_transport::{Class, Delivery, NodeKey, PeerNet, PeerOptions, TransportError};

use crate::peers::{Cluster, anywhere, soon};

#[tokio::test]
async fn nodes_of_one_cluster_know_each_other_by_certificate() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    assert_eq!(a.ask(&b, Class::Control, b"who am I").await.unwrap(), "Some(0000000000000001)");
    assert_eq!(b.ask(&a, Class::Requests, b"who am I").await.unwrap(), "Some(0000000000000002)");
}

#[tokio::test]
async fn a_node_may_ask_itself() {
    let a = Cluster::new(1).start(1);
    assert_eq!(a.ask(&a, Class::Control, b"who am I").await.unwrap(), "Some(0000000000000001)");
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused_whoever_dials() {
    // The cluster ids are the same: what counts is the authority.
    let (ours, theirs) = (Cluster::new(1), Cluster::new(1));
    let (a, stranger) = (ours.start(1), theirs.start(2));
    for (from, to) in [(&a, &stranger), (&stranger, &a)] {
        let error = from.ask(to, Class::Control, b"x").await.unwrap_err();
        assert!(error.to_string().contains("another cluster's authority"), "{error}");
        assert_eq!(error.delivery(), Delivery::NotSent);
    }
    let b = ours.start(3);
    assert_eq!(a.ask(&b, Class::Control, b"x").await.unwrap(), "x");
}

#[tokio::test]
async fn a_dial_that_reaches_another_node_than_meant_is_refused() {
    let cluster = Cluster::new(1);
    let (a, b, mut c) = (cluster.start(1), cluster.start(2), cluster.start(3));
    c.id = b.id;
    let error = a.ask(&c, Class::Control, b"x").await.unwrap_err();
    assert!(error.to_string().contains("another node answers there: 0000000000000003"), "{error}");
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert_eq!(a.ask(&b, Class::Control, b"x").await.unwrap(), "x");
}

#[tokio::test]
async fn a_node_without_an_identity_neither_asks_nor_serves() {
    let cluster = Cluster::new(1);
    let a = cluster.start(1);
    let bare = PeerNet::bind(anywhere(), &NodeKey::create().unwrap(), PeerOptions::default()).unwrap();
    let error = bare.request(a.id, a.address(), Class::Control, "x".into(), soon()).await.unwrap_err();
    assert!(matches!(error, TransportError::NoIdentity), "{error}");
    assert!(matches!(bare.serve(a.echo.clone()), Err(TransportError::NoIdentity)));
}
