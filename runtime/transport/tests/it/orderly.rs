//! One-way messages come in the order of their sending.

use std::time::{Duration, Instant};

use bytes::Bytes;
use shardloom_transport::{Class, Delivery, PeerOptions, TransportError};

use crate::peers::{Cluster, reaches, soon};

#[tokio::test]
async fn one_way_messages_of_all_sizes_arrive_once_and_in_order() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.start(1), cluster.start(2));
    let body = |n: usize| {
        let size = if n.is_multiple_of(100) { 300_000 } else { 8 + n % 50 };
        let mut body = vec![0; size];
        body[..8].copy_from_slice(&n.to_le_bytes());
        Bytes::from(body)
    };
    for n in 0..5000 {
        a.net.send(b.id, b.address(), Class::Appends, body(n), soon()).await.unwrap();
    }
    reaches(&b.echo.delivered, 5000).await;
    let messages = b.echo.messages.lock().unwrap();
    for (n, message) in messages.iter().enumerate() {
        assert_eq!((message.from, message.class), (Some(a.id), Class::Appends));
        assert!(message.body == body(n), "message {n} is another or damaged");
    }
}

#[tokio::test]
async fn one_way_messages_wait_for_room_and_give_up_at_their_deadline() {
    let cluster = Cluster::new(1);
    let options = PeerOptions { queued_bytes_max: 4 << 20, ..PeerOptions::default() };
    let (a, b) = (cluster.start_with(1, options), cluster.start(2));
    a.ask(&b, Class::Appends, b"warm").await.unwrap();
    a.net.cut(b.address());
    let body = Bytes::from(vec![0; 1 << 20]);
    let until = Instant::now() + Duration::from_secs(1);
    let mut queued = 0;
    let error = loop {
        match a.net.send(b.id, b.address(), Class::Appends, body.clone(), until).await {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
        // 4 MiB wait; some more are with QUIC already, which has a window of its own.
        assert!(queued < 64, "nothing bounds the queue");
    };
    assert!(matches!(error, TransportError::Deadline { delivery: Delivery::NotSent }), "{error}");
}
