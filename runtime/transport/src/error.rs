//! What can go wrong between two nodes, and whether the far end may have acted on it.

use std::net::SocketAddr;
use std::time::Duration;

use shardloom_sharding::ids::NodeId;

use crate::class::Class;

/// Whether the far end may have seen a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Its handler never saw the request: it may safely be sent elsewhere.
    NotSent,
    /// Its handler may have run, in part or in whole.
    Unknown,
}

/// Why a request to a peer failed; variants name the step that did.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransportError {
    /// The UDP port could not be opened.
    #[error("cannot open UDP port {address}: {reason}")]
    Bind {
        /// The port.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The identity cannot be used for TLS.
    #[error("the node's identity cannot be used: {0}")]
    Identity(String),
    /// This node has not joined a cluster yet.
    #[error("this node has no certificate yet: it has to join first")]
    NoIdentity,
    /// The body is larger than its class allows.
    #[error("a body of {bytes} bytes is too large for {class}: at most {bytes_max}")]
    TooLarge {
        /// The class.
        class: Class,
        /// The size of the body.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// As many requests are under way as may be, here or at the peer.
    #[error("too many {class} messages are under way {}", if *.at_peer { "at the peer" } else { "to the peer" })]
    Overloaded {
        /// The class.
        class: Class,
        /// Whether it was the peer that refused.
        at_peer: bool,
    },
    /// The peer did not answer the dial, or is another one.
    #[error("cannot connect to node {node} at {address}: {reason}")]
    Connect {
        /// The peer, as the caller named it ("any" for a joining node, which cannot know).
        node: Peer,
        /// Where.
        address: SocketAddr,
        /// What happened.
        reason: String,
    },
    /// The last dial failed, and it is too soon to try again.
    #[error("node {node} at {address} is not dialled again for {wait:?}; the last try: {reason}")]
    BackingOff {
        /// The peer.
        node: NodeId,
        /// Where.
        address: SocketAddr,
        /// How long the pause still lasts.
        wait: Duration,
        /// What happened at the last try.
        reason: String,
    },
    /// The deadline passed.
    #[error("the deadline passed {}", match .delivery {
        Delivery::NotSent => "before the message was sent",
        Delivery::Unknown => "before a reply came",
    })]
    Deadline {
        /// Whether the message was on its way.
        delivery: Delivery,
    },
    /// The connection broke.
    #[error("the connection broke {}: {reason}", match .delivery {
        Delivery::NotSent => "before the message was sent",
        Delivery::Unknown => "before a reply came",
    })]
    Lost {
        /// Whether the message was on its way.
        delivery: Delivery,
        /// What happened.
        reason: String,
    },
    /// The peer's handler failed.
    #[error("the peer failed to handle the message")]
    Failed,
    /// This peer net was closed.
    #[error("the peer net is closed")]
    Closed,
}

/// A peer that may not be known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// That node.
    Node(NodeId),
    /// Whichever node of the cluster answers.
    Any,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Node(node) => node.fmt(f),
            Peer::Any => f.write_str("(any)"),
        }
    }
}

impl TransportError {
    /// Whether the far end may have acted on the message.
    pub fn delivery(&self) -> Delivery {
        match self {
            TransportError::Deadline { delivery } | TransportError::Lost { delivery, .. } => *delivery,
            TransportError::Failed | TransportError::Closed => Delivery::Unknown,
            TransportError::Bind { .. }
            | TransportError::Identity(_)
            | TransportError::NoIdentity
            | TransportError::TooLarge { .. }
            | TransportError::Overloaded { .. }
            | TransportError::Connect { .. }
            | TransportError::BackingOff { .. } => Delivery::NotSent,
        }
    }

    /// Whether the same message may succeed later.
    pub fn is_retryable(&self) -> bool {
        !matches!(
            self,
            TransportError::Bind { .. }
                | TransportError::Identity(_)
                | TransportError::TooLarge { .. }
                | TransportError::Closed
        )
    }
}
