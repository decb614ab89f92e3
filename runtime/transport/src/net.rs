//! The peer net: one UDP port that carries everything between this node and its peers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use quinn::{Endpoint, Runtime, TokioRuntime};
use shardloom_sharding::ids::NodeId;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::ca::pin_of;
use crate::class::Class;
use crate::credentials::Credentials;
use crate::error::{Delivery, Peer as Who, TransportError};
use crate::gate::Gate;
use crate::handler::Handler;
use crate::identity::{NodeIdentity, NodeKey};
use crate::incoming::{node_at, run_gate};
use crate::link::retire;
use crate::member::{Member, chain_of};
use crate::name::{join_name, node_name};
use crate::options::PeerOptions;
use crate::own_stream::request_on_own_stream;
use crate::peer::{Dialler, Peer};
use crate::quic::{client_config, endpoint_config};
use crate::socket::{Cuts, Passed, Socket};
use crate::tls::joining_client;
use crate::token::JoinToken;
use crate::wire::{Wire, close_code};

/// How long closing waits for peers to be told.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// How long a connection is kept that was made with an old certificate and cannot be made anew: some dials.
const REPLACE_MAX: Duration = Duration::from_secs(20);
/// How long one is kept whose far end is believed no more unless it shows something else: a dial or two that are lost.
const DISBELIEVED_MAX: Duration = Duration::from_secs(3);
/// What a joining node shows.
const NOTHING: [u8; 32] = [0; 32];

/// One UDP port, the connections over it, and the handler of what comes in. A clone is the same net.
///
/// Peers are reached over connections that this node dials, when first needed; what they send comes over those that they
/// dial. When the last clone is dropped, or [`PeerNet::close`] is called, everything ends. A handler that holds a clone
/// keeps the net alive until `close`.
#[derive(Clone)]
pub struct PeerNet {
    inner: Arc<Inner>,
}

struct Inner {
    /// None once the net is closed, and so are `tasks`.
    endpoint: Mutex<Option<Endpoint>>,
    /// Resolves when the socket is gone.
    port_freed: Mutex<Option<oneshot::Receiver<()>>>,
    address: SocketAddr,
    options: Arc<PeerOptions>,
    cuts: Arc<Cuts>,
    passed: Arc<Passed>,
    /// None until there is an identity.
    member: watch::Sender<Option<Arc<Member>>>,
    serving: OnceLock<()>,
    peers: RwLock<HashMap<NodeId, Arc<Peer>>>,
    /// The gate, and a task per dialled connection.
    tasks: Mutex<Option<JoinSet<()>>>,
}

/// Figures for metrics, in bytes of UDP payload: QUIC's own included, what lies below it not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent since the port was opened.
    pub sent_bytes: u64,
    /// Received since then.
    pub received_bytes: u64,
}

impl PeerNet {
    /// Opens the port. Without an identity the net can only join; without [`PeerNet::serve`] nobody can connect to it.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub fn bind(address: SocketAddr, key: &NodeKey, options: PeerOptions) -> Result<PeerNet, TransportError> {
        PeerNet::bind_with_secret(address, key.endpoint_secret(), options)
    }

    /// As [`PeerNet::bind`], for a node whose key is another than the one that its endpoint's secret came from.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub fn bind_with_secret(
        address: SocketAddr,
        endpoint_secret: [u8; 32],
        options: PeerOptions,
    ) -> Result<PeerNet, TransportError> {
        let failed = |error: std::io::Error| TransportError::Bind { address, reason: error.to_string() };
        let socket = std::net::UdpSocket::bind(address).map_err(failed)?;
        let runtime = Arc::new(TokioRuntime);
        let inner = runtime.wrap_udp_socket(socket).map_err(failed)?;
        let cuts = Arc::new(Cuts::default());
        let (open, port_freed) = oneshot::channel();
        let passed = Arc::new(Passed::default());
        let (cut, counted) = (Arc::clone(&cuts), Arc::clone(&passed));
        let socket = Arc::new(Socket { inner, cuts: cut, passed: counted, _open: open });
        let mut options = options;
        for limits in &mut options.classes {
            // The length of a frame has 32 bits.
            limits.body_bytes_max = limits.body_bytes_max.min(u32::MAX as usize);
        }
        let config = endpoint_config(endpoint_secret);
        let endpoint = Endpoint::new_with_abstract_socket(config, None, socket, runtime).map_err(failed)?;
        let address = endpoint.local_addr().map_err(failed)?;
        let inner = Inner {
            endpoint: Mutex::new(Some(endpoint)),
            port_freed: Mutex::new(Some(port_freed)),
            address,
            options: Arc::new(options),
            cuts,
            passed,
            member: watch::Sender::new(None),
            serving: OnceLock::new(),
            peers: RwLock::default(),
            tasks: Mutex::new(Some(JoinSet::new())),
        };
        Ok(PeerNet { inner: Arc::new(inner) })
    }

    /// Where the port is.
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// What the peers and this node have sent each other since the port was opened.
    pub fn traffic(&self) -> Traffic {
        let Passed { sent, received } = &*self.inner.passed;
        Traffic { sent_bytes: sent.load(Ordering::Relaxed), received_bytes: received.load(Ordering::Relaxed) }
    }

    /// From now on this node shows this certificate, and trusts the authority that signed it, and no other.
    ///
    /// # Errors
    /// As [`PeerNet::set_credentials`].
    pub fn set_identity(&self, identity: &NodeIdentity) -> Result<(), TransportError> {
        self.set_credentials(&Credentials::of(identity.clone()))
    }

    /// From now on this node shows and trusts this. Connections that peers have dialled are closed if their certificates
    /// are believed no more; those that this node has dialled stay as they are until [`PeerNet::renew_links`].
    ///
    /// # Errors
    /// When TLS refuses the credentials, or they are another node's than those before.
    pub fn set_credentials(&self, credentials: &Credentials) -> Result<(), TransportError> {
        let refused = |error: rustls::Error| TransportError::Identity(error.to_string());
        let member = Arc::new(Member::new(credentials, &self.inner.options).map_err(refused)?);
        let before = self.inner.member.borrow().clone();
        if before.is_some_and(|before| (before.cluster, before.node) != (member.cluster, member.node)) {
            let reason = "this node has another identity already".to_owned();
            return Err(TransportError::Identity(reason));
        }
        // The order counts: whoever is let in by the old rules is held against the new ones after that.
        if self.inner.serving.get().is_some() {
            self.inner.endpoint()?.set_server_config(Some(member.server.clone()));
        }
        self.inner.member.send_replace(Some(member));
        Ok(())
    }

    /// Replaces the connections that this node has dialled and that would be made otherwise now: where it showed another
    /// certificate, or was shown one that is believed no more. Nothing on them is lost. Returns when they are closed.
    ///
    /// # Errors
    /// When the net is closed.
    ///
    /// # Cancel safety
    /// Dropped before the end, some may not be replaced, and some may lose what is on them.
    pub async fn renew_links(&self) -> Result<(), TransportError> {
        let member = self.member()?;
        let peers: Vec<Arc<Peer>> = {
            let peers = self.inner.peers.read().unwrap_or_else(PoisonError::into_inner);
            peers.values().cloned().collect()
        };
        let renewed = join_all(peers.iter().map(|peer| self.renew_link(&member, peer))).await;
        renewed.into_iter().collect()
    }

    async fn renew_link(&self, member: &Member, peer: &Arc<Peer>) -> Result<(), TransportError> {
        let Some((address, link)) = peer.in_use().await else { return Ok(()) };
        let is_believed = member.believes(&link.wire.connection);
        if link.shown == member.fingerprint && is_believed {
            return Ok(());
        }
        let patience = if is_believed { REPLACE_MAX } else { DISBELIEVED_MAX };
        let dialler = self.dialler(member, peer.node)?;
        if let Some(stays) = peer.replace(&dialler, address, &link, patience).await {
            self.inner.spawn(stays)?;
        }
        retire(link).await;
        Ok(())
    }

    /// The SHA-256 of the certificate that this node shows, or that a peer has shown on the connection to it that is in use.
    pub fn shown_by(&self, node: NodeId) -> Option<[u8; 32]> {
        let member = self.member().ok()?;
        if node == member.node {
            return Some(member.fingerprint);
        }
        let peers = self.inner.peers.read().unwrap_or_else(PoisonError::into_inner);
        chain_of(&peers.get(&node)?.seen()?)?.first().map(pin_of)
    }

    /// From now on peers may connect, and `handler` gets what they send.
    ///
    /// # Errors
    /// Without an identity, when called twice, and when closed.
    pub fn serve(&self, handler: Arc<dyn Handler>) -> Result<(), TransportError> {
        let member = self.member()?;
        self.inner
            .serving
            .set(())
            .map_err(|()| TransportError::Identity("this node is serving already".to_owned()))?;
        let member_as_it_changes = self.inner.member.subscribe();
        let gate = Arc::new(Gate::new(handler, Arc::clone(&self.inner.options), member_as_it_changes));
        let endpoint = self.inner.endpoint()?;
        endpoint.set_server_config(Some(member.server.clone()));
        self.inner.spawn(run_gate(endpoint, gate))
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
        node: NodeId,
        address: SocketAddr,
        class: Class,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, TransportError> {
        self.check_size(class, &body)?;
        check_deadline(deadline)?;
        let peer = self.peer(node);
        let place = peer.place(class, deadline, &self.inner.options).await?;
        let link = peer.link(address, deadline, |failures| self.dial(&peer, address, failures)).await?;
        link.request(class, body, deadline, place).await
    }

    /// Sends a message that has no reply. Messages of a class to a peer arrive in order; when a connection breaks, those
    /// under way are lost, and later ones may still arrive.
    ///
    /// # Errors
    /// When the message could not be queued for sending before the deadline.
    ///
    /// # Cancel safety
    /// Dropping the future may or may not send the message.
    pub async fn send(
        &self,
        node: NodeId,
        address: SocketAddr,
        class: Class,
        body: Bytes,
        deadline: Instant,
    ) -> Result<(), TransportError> {
        self.check_size(class, &body)?;
        check_deadline(deadline)?;
        let peer = self.peer(node);
        let link = peer.link(address, deadline, |failures| self.dial(&peer, address, failures)).await?;
        link.send(class, body, deadline).await
    }

    /// Asks any node of the token's cluster, without a certificate, over a connection of its own. The far end is known to
    /// be of that cluster before anything is sent. Returns which node answered, and its reply.
    ///
    /// # Errors
    /// As [`PeerNet::request`].
    pub async fn join(
        &self,
        address: SocketAddr,
        token: &JoinToken,
        body: Bytes,
        deadline: Instant,
    ) -> Result<(NodeId, Bytes), TransportError> {
        self.check_size(Class::Join, &body)?;
        let options = &self.inner.options;
        let config = joining_client(token).map_err(|error| TransportError::Identity(error.to_string()))?;
        let dialler = Dialler {
            endpoint: self.inner.endpoint()?,
            config: client_config(config, options),
            shown: NOTHING,
            server_name: join_name(token.cluster()),
            options: Arc::clone(options),
        };
        let refused = |reason| TransportError::Connect { node: Who::Any, address, reason };
        let until = deadline.min(Instant::now() + options.connect_max);
        let connection = dialler.dial(address, until).await.map_err(refused)?;
        let node =
            node_at(&connection).ok_or_else(|| refused("it shows no node's certificate".to_owned()))?;
        let wire = Wire { connection, peer: Who::Node(node) };
        let reply = request_on_own_stream(&wire, options, Class::Join, body, deadline).await;
        wire.connection.close(close_code::ORDERLY, b"asked");
        Ok((node, reply?))
    }

    /// Forgets a peer: its connection is closed, and what waits for it fails.
    pub fn forget(&self, node: NodeId) {
        let peer = self.inner.peers.write().unwrap_or_else(PoisonError::into_inner).remove(&node);
        if let Some(peer) = peer {
            peer.forget();
        }
    }

    /// For tests and drills: from now on, no packet goes to or comes from this address, as if a cable had been cut.
    pub fn cut(&self, address: SocketAddr) {
        self.inner.cuts.cut(address);
    }

    /// Undoes [`PeerNet::cut`].
    pub fn heal(&self, address: SocketAddr) {
        self.inner.cuts.heal(address);
    }

    /// For tests and drills: cuts this node off from everybody.
    pub fn cut_all(&self) {
        self.inner.cuts.cut_all();
    }

    /// Undoes [`PeerNet::cut_all`] and every [`PeerNet::cut`].
    pub fn heal_all(&self) {
        self.inner.cuts.heal_all();
    }

    /// Ends everything: stops handlers, tells peers, frees the port.
    pub async fn close(&self) {
        let Some(endpoint) = lock(&self.inner.endpoint).take() else { return };
        endpoint.close(close_code::ORDERLY, b"closing");
        let tasks = lock(&self.inner.tasks).take();
        if let Some(mut tasks) = tasks {
            tasks.shutdown().await;
        }
        let peers = std::mem::take(&mut *self.inner.peers.write().unwrap_or_else(PoisonError::into_inner));
        for peer in peers.into_values() {
            peer.forget();
        }
        let port_freed = lock(&self.inner.port_freed).take();
        let ended = async {
            endpoint.wait_idle().await;
            drop(endpoint);
            if let Some(port_freed) = port_freed {
                // Nothing is ever sent: the sender goes with the socket.
                let _ = port_freed.await;
            }
        };
        // Peers that cannot be told will notice by the silence.
        let _ = timeout(CLOSE_MAX, ended).await;
    }

    fn member(&self) -> Result<Arc<Member>, TransportError> {
        self.inner.member.borrow().clone().ok_or(TransportError::NoIdentity)
    }

    fn peer(&self, node: NodeId) -> Arc<Peer> {
        let peers = &self.inner.peers;
        if let Some(peer) = peers.read().unwrap_or_else(PoisonError::into_inner).get(&node) {
            return Arc::clone(peer);
        }
        let mut peers = peers.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(peers.entry(node).or_insert_with(|| Arc::new(Peer::new(node, &self.inner.options))))
    }

    fn dialler(&self, member: &Member, node: NodeId) -> Result<Dialler, TransportError> {
        Ok(Dialler {
            endpoint: self.inner.endpoint()?,
            config: member.client.clone(),
            shown: member.fingerprint,
            server_name: node_name(member.cluster, node),
            options: Arc::clone(&self.inner.options),
        })
    }

    fn dial(&self, peer: &Arc<Peer>, address: SocketAddr, failures: u32) -> Result<(), TransportError> {
        let member = self.member()?;
        let dialler = self.dialler(&member, peer.node)?;
        self.inner.spawn(Arc::clone(peer).run_dial(dialler, address, failures))
    }

    fn check_size(&self, class: Class, body: &Bytes) -> Result<(), TransportError> {
        let bytes_max = self.inner.options.limits(class).body_bytes_max;
        if body.len() > bytes_max {
            return Err(TransportError::TooLarge { class, bytes: body.len(), bytes_max });
        }
        Ok(())
    }
}

impl Inner {
    fn endpoint(&self) -> Result<Endpoint, TransportError> {
        lock(&self.endpoint).clone().ok_or(TransportError::Closed)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Result<(), TransportError> {
        let mut tasks = lock(&self.tasks);
        let tasks = tasks.as_mut().ok_or(TransportError::Closed)?;
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(endpoint) = lock(&self.endpoint).take() {
            endpoint.close(close_code::ORDERLY, b"closing");
        }
    }
}

/// What the locks here guard stays whole whatever happens to their holders.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A message whose deadline has passed already is not sent, however fast the way would be.
fn check_deadline(deadline: Instant) -> Result<(), TransportError> {
    if Instant::now() < deadline {
        return Ok(());
    }
    Err(TransportError::Deadline { delivery: Delivery::NotSent })
}
