//! One-way messages to peers, without waiting for any of them.
//!
//! The shells of the protocol must not stand still because one peer does not answer: each peer has a bounded queue and a task of its own. What
//! does not fit is dropped, and what is lost with a connection is lost: the protocol sends again whatever matters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shardloom_sharding::ids::NodeId;
use shardloom_transport::Class;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::peers::Peers;

/// Messages that wait for one peer at most: a few rounds of the protocol's resends.
const QUEUE_MAX: usize = 256;
/// How long a message may wait to be sent; older news are sent anew by then.
const SEND_WAIT: Duration = Duration::from_millis(500);
/// How long after a failure messages to the peer are thrown away instead of being tried one by one.
const REST: Duration = Duration::from_millis(100);

/// Sends to every peer in order. Ends its tasks when dropped.
#[derive(Debug)]
pub struct Outbox {
    peers: Arc<Peers>,
    queues: BTreeMap<(NodeId, Class), mpsc::Sender<Bytes>>,
    tasks: JoinSet<()>,
}

impl Outbox {
    /// Sends over `peers`.
    pub fn new(peers: Arc<Peers>) -> Outbox {
        Outbox { peers, queues: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Queues a message. Returns whether there was room.
    pub fn post(&mut self, node: NodeId, class: Class, body: Bytes) -> bool {
        while self.tasks.try_join_next().is_some() {}
        let queue = self.queues.entry((node, class)).or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(QUEUE_MAX);
            self.tasks.spawn(deliver(self.peers.clone(), node, class, receiver));
            sender
        });
        queue.try_send(body).is_ok()
    }

    /// Ends the queues of nodes that are not members any more.
    pub fn retain(&mut self, keep: impl Fn(NodeId) -> bool) {
        self.queues.retain(|(node, _), _| keep(*node));
    }
}

async fn deliver(peers: Arc<Peers>, node: NodeId, class: Class, mut queue: mpsc::Receiver<Bytes>) {
    let mut resting_until: Option<Instant> = None;
    while let Some(body) = queue.recv().await {
        if resting_until.is_some_and(|until| Instant::now() < until) {
            continue;
        }
        resting_until = match peers.send(node, class, body, Instant::now() + SEND_WAIT).await {
            Ok(()) => None,
            Err(error) => {
                tracing::debug!(%node, %class, %error, "a message was not sent");
                Some(Instant::now() + REST)
            }
        };
    }
}
