//! Those who do not follow the protocol.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use shardloom_transport::{Class, Delivery, NodeKey, TransportError};

use crate::peers::{Cluster, Node, PATIENCE, anywhere};

/// A QUIC client of our own making: it has a certificate if it is told to, and checks nothing.
async fn raw(cluster: &Cluster, node: Option<u64>, to: &Node) -> (Endpoint, Connection) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(cluster.ca.certificate_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match node {
        Some(node) => {
            let identity = cluster.identity(node, &NodeKey::create().unwrap());
            let pem = identity.signed().certificate_pem.clone();
            let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"shardloom/1".to_vec()];
    let endpoint = Endpoint::client(anywhere()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
    let name = format!("{}.{}.shardloom", to.id, cluster.ca.cluster());
    let connection = endpoint.connect_with(config, to.address(), &name).unwrap().await.unwrap();
    (endpoint, connection)
}

/// Opens a stream, sends bytes, and says with what words the connection was closed.
async fn reaction(connection: &Connection, bytes: &[u8]) -> String {
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    match tokio::time::timeout(PATIENCE, connection.closed()).await.expect("the connection is closed in time")
    {
        ConnectionError::ApplicationClosed(close) => String::from_utf8(close.reason.to_vec()).unwrap(),
        other => panic!("closed otherwise: {other}"),
    }
}

#[tokio::test]
async fn garbage_on_the_port_while_serving_changes_nothing() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    let socket = UdpSocket::bind(anywhere()).unwrap();
    let mut noise = 0x2545_f491_4f6c_dd1du64;
    for round in 0..2000usize {
        let garbage: Vec<u8> = (0..round % 1400)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise as u8
            })
            .collect();
        socket.send_to(&garbage, b.address()).unwrap();
        if round % 100 == 0 {
            assert_eq!(a.ask(&b, Class::Control, b"still there?").await.unwrap(), "still there?");
        }
    }
}

#[tokio::test]
async fn a_member_that_breaks_the_protocol_is_cut_off_with_the_reason_and_others_are_served() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    let mut frame = b"SLPS\x01\x00\x00\x00".to_vec();
    frame.extend_from_slice(&u32::MAX.to_le_bytes());
    frame.extend_from_slice(&[0; 13]);
    let mut reply = b"SLPS\x01\x00\x00\x00".to_vec();
    reply.extend_from_slice(b"\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0");
    let cases: [(&[u8], &str); 5] = [
        (b"GET / HTTP/1.1\r\n", "does not begin"),
        (b"SLPS\x02\x00\x00\x00", "version 2"),
        (b"SLPS\x01\x63\x00\x00", "unknown class 99"),
        (&frame, "4294967295 bytes is too large"),
        (&reply, "does not belong here"),
    ];
    for (bytes, words) in cases {
        let (_endpoint, connection) = raw(&cluster, Some(9), &b).await;
        let reason = reaction(&connection, bytes).await;
        assert!(reason.contains(words), "{reason}");
        assert_eq!(a.ask(&b, Class::Control, b"x").await.unwrap(), "x");
    }
}

#[tokio::test]
async fn a_second_shared_stream_of_a_class_is_one_too_many() {
    let cluster = Cluster::new(1);
    let b = cluster.start(2);
    let (_endpoint, connection) = raw(&cluster, Some(9), &b).await;
    let (mut first, _receive) = connection.open_bi().await.unwrap();
    first.write_all(b"SLPS\x01\x00\x00\x00").await.unwrap();
    let reason = reaction(&connection, b"SLPS\x01\x00\x00\x00").await;
    assert!(reason.contains("a second shared stream of class control"), "{reason}");
}

#[tokio::test]
async fn without_a_certificate_one_may_only_join() {
    let cluster = Cluster::new(1);
    let a = cluster.start(1);
    for class in 0..4 {
        let (_endpoint, connection) = raw(&cluster, None, &a).await;
        let mut bytes = *b"SLPS\x01\x00\x00\x00";
        bytes[5] = class;
        let reason = reaction(&connection, &bytes).await;
        assert!(reason.contains("without a certificate a node may only join"), "{reason}");
    }
    assert!(a.echo.messages.lock().unwrap().is_empty());
}

#[tokio::test]
async fn strangers_are_few_and_members_come_in_beside_them() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    let mut strangers = Vec::new();
    for _ in 0..32 {
        strangers.push(raw(&cluster, None, &b).await);
    }
    // Each has its place once its connection is seen from the other side: the one too many tells.
    let (_endpoint, one_more) = raw(&cluster, None, &b).await;
    let closed = tokio::time::timeout(PATIENCE, one_more.closed()).await.unwrap();
    assert!(closed.to_string().contains("too many nodes are joining"), "{closed}");
    assert_eq!(a.ask(&b, Class::Control, b"x").await.unwrap(), "x");
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused_before_it_is_sent() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    let body = Bytes::from(vec![0; (9 << 20) + 1]);
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    let error = a.net.request(b.id, b.address(), Class::Requests, body.clone(), deadline).await.unwrap_err();
    assert!(matches!(error, TransportError::TooLarge { .. }), "{error}");
    assert_eq!(error.delivery(), Delivery::NotSent);
    let reply = a.net.request(b.id, b.address(), Class::Requests, body.slice(1..), deadline).await.unwrap();
    assert_eq!(reply.len(), 9 << 20);
}

#[tokio::test]
async fn a_handler_that_fails_costs_its_caller_an_error_and_nobody_else_anything() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    for order in ["panic", "panic later", "too much"] {
        let (bad, good) =
            tokio::join!(a.ask(&b, Class::Control, order.as_bytes()), a.ask(&b, Class::Control, b"x"));
        assert!(matches!(bad, Err(TransportError::Failed)), "{order}: {bad:?}");
        assert_eq!(good.unwrap(), "x");
    }
}
