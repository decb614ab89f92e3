//! Talking to members by name: who is where, and the streams to them.
//!
//! Where a node is comes from the control state first and from gossip as a hint; when one address does not answer, or somebody else answers
//! there, the next is tried.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shardloom_sharding::ids::NodeId;
use shardloom_transport::{Class, Delivery, PeerNet, TransportError};

/// Why a peer could not be asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PeerError {
    /// Nobody has said where the node is.
    #[error("no address is known for node {0}")]
    NoAddress(NodeId),
    /// The name of its host cannot be looked up.
    #[error("cannot look up {address} of node {node}: {reason}")]
    Lookup {
        /// The node.
        node: NodeId,
        /// The address that it gave.
        address: String,
        /// What the resolver said.
        reason: String,
    },
    /// The stream to it fails.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl PeerError {
    /// Whether the peer may have acted on the message.
    pub fn delivery(&self) -> Delivery {
        match self {
            PeerError::Transport(error) => error.delivery(),
            PeerError::NoAddress(_) | PeerError::Lookup { .. } => Delivery::NotSent,
        }
    }
}

/// What is known of where one node is.
#[derive(Debug, Default)]
struct Place {
    /// Peer address in the control state.
    member: Option<String>,
    /// Peer address in the gossip.
    gossip: Option<String>,
    /// Try the gossip's first.
    prefer_gossip: bool,
    /// The last successful look-up.
    resolved: Option<(String, SocketAddr)>,
}

impl Place {
    fn address(&self) -> Option<&String> {
        let (first, second) = if self.prefer_gossip {
            (&self.gossip, &self.member)
        } else {
            (&self.member, &self.gossip)
        };
        first.as_ref().or(second.as_ref())
    }
}

/// All members, as this node reaches them.
pub struct Peers {
    me: NodeId,
    net: PeerNet,
    places: Mutex<BTreeMap<NodeId, Place>>,
}

impl Peers {
    /// Reaches members over `net`.
    pub fn new(me: NodeId, net: PeerNet) -> Peers {
        Peers { me, net, places: Mutex::default() }
    }

    /// This node.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// The net below.
    pub fn net(&self) -> &PeerNet {
        &self.net
    }

    /// Takes over what the control state says; members that it does not name are forgotten.
    pub fn set_members(&self, members: &BTreeMap<NodeId, String>) {
        let mut places = self.places();
        for (node, place) in places.iter_mut() {
            if !members.contains_key(node) && place.member.take().is_some() {
                self.net.forget(*node);
            }
        }
        for (&node, address) in members {
            let place = places.entry(node).or_default();
            if place.member.as_ref() != Some(address) {
                place.member = Some(address.clone());
                place.prefer_gossip = false;
            }
        }
        places.retain(|_, place| place.member.is_some() || place.gossip.is_some());
    }

    /// Takes over what gossip says.
    pub fn set_gossip(&self, heard: &BTreeMap<NodeId, String>) {
        let mut places = self.places();
        for (&node, address) in heard {
            places.entry(node).or_default().gossip = Some(address.clone());
        }
    }

    /// Everybody that has an address, this node excepted.
    pub fn known(&self) -> Vec<NodeId> {
        self.places().keys().copied().filter(|node| *node != self.me).collect()
    }

    /// Asks a member on the control streams.
    ///
    /// # Errors
    ///
    /// [`PeerError::delivery`] says whether it may have acted on it.
    pub async fn request_control(&self, node: NodeId, body: Bytes, wait: Duration) -> Result<Bytes, PeerError> {
        self.request(node, Class::Control, body, Instant::now() + wait).await
    }

    /// Asks a member over a stream of its own, for large bodies.
    ///
    /// # Errors
    ///
    /// [`PeerError::delivery`] says whether it may have acted on it.
    pub async fn fetch_bulk(&self, node: NodeId, body: Bytes, wait: Duration) -> Result<Bytes, PeerError> {
        self.request(node, Class::Bulk, body, Instant::now() + wait).await
    }

    /// Asks a member.
    ///
    /// # Errors
    ///
    /// [`PeerError::delivery`] says whether it may have acted on it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the end, the peer may or may not act on it.
    pub async fn request(
        &self,
        node: NodeId,
        class: Class,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, PeerError> {
        let address = self.locate(node).await?;
        let reply = self.net.request(node, address, class, body, deadline).await;
        Ok(reply.inspect_err(|error| self.doubt(node, error))?)
    }

    /// Sends a member a message that has no answer; in order within a class, lost if the connection breaks.
    ///
    /// # Errors
    ///
    /// It could not be queued for sending before the deadline.
    pub async fn send(
        &self,
        node: NodeId,
        class: Class,
        body: Bytes,
        deadline: Instant,
    ) -> Result<(), PeerError> {
        let address = self.locate(node).await?;
        let sent = self.net.send(node, address, class, body, deadline).await;
        Ok(sent.inspect_err(|error| self.doubt(node, error))?)
    }

    async fn locate(&self, node: NodeId) -> Result<SocketAddr, PeerError> {
        let address = {
            let places = self.places();
            let place = places.get(&node).ok_or(PeerError::NoAddress(node))?;
            let address = place.address().ok_or(PeerError::NoAddress(node))?;
            match &place.resolved {
                Some((of, resolved)) if of == address => return Ok(*resolved),
                _ => address.clone(),
            }
        };
        let lookup = |reason| PeerError::Lookup { node, address: address.clone(), reason };
        let resolved = tokio::net::lookup_host(&address)
            .await
            .map_err(|error| lookup(error.to_string()))?
            .next()
            .ok_or_else(|| lookup("the name has no address".into()))?;
        if let Some(place) = self.places().get_mut(&node) {
            place.resolved = Some((address, resolved));
        }
        Ok(resolved)
    }

    /// After a failed dial: look the name up again, and try the other address next time.
    fn doubt(&self, node: NodeId, error: &TransportError) {
        if !matches!(error, TransportError::Connect { .. }) {
            return;
        }
        if let Some(place) = self.places().get_mut(&node) {
            place.resolved = None;
            if place.gossip.is_some() && place.gossip != place.member {
                place.prefer_gossip = !place.prefer_gossip;
            }
        }
    }

    fn places(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("me", &self.me).field("places", &self.places).finish_non_exhaustive()
    }
}
