//! One-way messages come in the order of their sending.

use bytes::Bytes;
use shardloom_transport::Class;

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
