//! The peer net: one UDP port that carries everything between this node and its peers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use shardloom_sharding::ids::NodeId;

use crate::class::Class;
use crate::error::TransportError;
use crate::handler::Handler;
use crate::identity::{NodeIdentity, NodeKey};
use crate::options::PeerOptions;
use crate::token::JoinToken;

/// One UDP port, the connections over it, and the handler of what comes in. A clone is the same net.
#[derive(Clone)]
pub struct PeerNet {}

impl PeerNet {
    /// Opens the port. Without an identity the net can only join; nobody can connect to it.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub fn bind(
        _address: SocketAddr,
        _key: &NodeKey,
        _options: PeerOptions,
    ) -> Result<PeerNet, TransportError> {
        Err(TransportError::Closed)
    }

    /// Where the port is.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 0))
    }

    /// From now on this node dials with this certificate.
    ///
    /// # Errors
    /// When TLS refuses the identity.
    pub fn set_identity(&self, _identity: &NodeIdentity) -> Result<(), TransportError> {
        Err(TransportError::Closed)
    }

    /// From now on peers may connect, and `handler` gets what they send. Needs an identity.
    ///
    /// # Errors
    /// Without an identity, and when called twice.
    pub fn serve(&self, _handler: Arc<dyn Handler>) -> Result<(), TransportError> {
        Err(TransportError::Closed)
    }

    /// Asks `node` and waits for its reply.
    ///
    /// # Errors
    /// [`TransportError::delivery`] says whether the peer may have acted on the request.
    ///
    /// # Cancel safety
    /// Dropping the future drops the reply; the request may still be handled.
    pub async fn request(
        &self,
        _node: NodeId,
        _address: SocketAddr,
        _class: Class,
        _body: Bytes,
        _deadline: Instant,
    ) -> Result<Bytes, TransportError> {
        Err(TransportError::Closed)
    }

    /// Sends a message that has no reply. Messages of a class to a peer arrive in order; when a connection breaks, those
    /// under way are lost, and later ones may still arrive.
    ///
    /// # Errors
    /// When the message could not be queued for sending before the deadline.
    pub async fn send(
        &self,
        _node: NodeId,
        _address: SocketAddr,
        _class: Class,
        _body: Bytes,
        _deadline: Instant,
    ) -> Result<(), TransportError> {
        Err(TransportError::Closed)
    }

    /// Asks any node of the token's cluster, without a certificate, over a connection of its own. The far end is known to
    /// be of that cluster before anything is sent. Returns which node answered, and its reply.
    ///
    /// # Errors
    /// As [`PeerNet::request`].
    pub async fn join(
        &self,
        _address: SocketAddr,
        _token: &JoinToken,
        _body: Bytes,
        _deadline: Instant,
    ) -> Result<(NodeId, Bytes), TransportError> {
        Err(TransportError::Closed)
    }

    /// Forgets a peer: its connection is closed, and what waits for it fails.
    pub fn forget(&self, _node: NodeId) {}

    /// For tests and drills: from now on, no packet goes to or comes from this address, as if a cable had been cut.
    pub fn cut(&self, _address: SocketAddr) {}

    /// Undoes [`PeerNet::cut`].
    pub fn heal(&self, _address: SocketAddr) {}

    /// For tests and drills: cuts this node off from everybody.
    pub fn cut_all(&self) {}

    /// Undoes [`PeerNet::cut_all`] and every [`PeerNet::cut`].
    pub fn heal_all(&self) {}

    /// Ends everything: tells peers, stops handlers, frees the port.
    pub async fn close(&self) {}
}
