//! What a node does with messages from its peers: the one thing that the layer above plugs in.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use shardloom_sharding::ids::NodeId;

use crate::class::Class;

/// A message from a peer.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The node that its certificate says it is; none for a joining node, which has no certificate and may use
    /// [`Class::Join`] only.
    pub from: Option<NodeId>,
    /// Where it came from.
    pub address: SocketAddr,
    /// Its class.
    pub class: Class,
    /// When the sender stops waiting. The handler's future is dropped then.
    pub deadline: Instant,
    /// What it says.
    pub body: Bytes,
}

/// Handles messages from peers.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request. Requests run at the same time, in any order, at most as many as the class allows.
    ///
    /// The future is first polled by the task that reads the stream: one that can answer at once costs no task, and one
    /// that computes for long before its first wait holds up the stream.
    ///
    /// # Cancel safety
    /// The future is dropped when the deadline passes; losing the connection does not stop it.
    fn handle(&self, incoming: Incoming) -> BoxFuture<'static, Bytes>;

    /// Takes a one-way message. Those of one peer and class come one at a time, in the order of their sending; the stream
    /// is read no further before this one is done, so it should only put the message into a queue.
    fn deliver(&self, incoming: Incoming) -> BoxFuture<'static, ()>;
}
