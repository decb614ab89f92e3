//! A small world of nodes for the tests: a cluster's authority, and nodes that echo.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use shardloom_sharding::ids::{ClusterId, NodeId};
use shardloom_transport::{
    Class, ClusterCa, Handler, Incoming, NodeIdentity, NodeKey, PeerNet, PeerOptions, TransportError,
};
use tokio::sync::watch;

/// Long enough for a busy machine; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Any free port of the loopback.
pub(crate) fn anywhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

pub(crate) struct Cluster {
    pub(crate) ca: ClusterCa,
}

impl Cluster {
    pub(crate) fn new(id: u64) -> Cluster {
        Cluster { ca: ClusterCa::create(ClusterId(id)).unwrap() }
    }

    pub(crate) fn identity(&self, node: u64, key: &NodeKey) -> NodeIdentity {
        let signed = self.ca.sign(NodeId(node), &key.request().unwrap()).unwrap();
        NodeIdentity::assemble(key, signed).unwrap()
    }

    pub(crate) fn start(&self, node: u64) -> Node {
        self.start_with(node, PeerOptions::default())
    }

    pub(crate) fn start_with(&self, node: u64, options: PeerOptions) -> Node {
        Node::start(self, node, NodeKey::create().unwrap(), anywhere(), options)
    }
}

/// A node that echoes.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) key: NodeKey,
    pub(crate) net: PeerNet,
    pub(crate) echo: Arc<Echo>,
}

impl Node {
    pub(crate) fn start(
        cluster: &Cluster,
        id: u64,
        key: NodeKey,
        address: SocketAddr,
        options: PeerOptions,
    ) -> Node {
        let net = PeerNet::bind(address, &key, options).unwrap();
        net.set_identity(&cluster.identity(id, &key)).unwrap();
        let echo = Arc::new(Echo::default());
        net.serve(Arc::clone(&echo) as Arc<dyn Handler>).unwrap();
        Node { id: NodeId(id), key, net, echo }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.net.address()
    }

    pub(crate) async fn ask(&self, to: &Node, class: Class, body: &[u8]) -> Result<Bytes, TransportError> {
        self.ask_until(to, class, body, soon()).await
    }

    pub(crate) async fn ask_until(
        &self,
        to: &Node,
        class: Class,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Bytes, TransportError> {
        self.net.request(to.id, to.address(), class, Bytes::copy_from_slice(body), deadline).await
    }

    /// Asks until an answer comes.
    pub(crate) async fn ask_patiently(&self, to: &Node, class: Class, body: &[u8]) -> Bytes {
        let until = soon();
        loop {
            let deadline = until.min(Instant::now() + Duration::from_millis(500));
            match self.ask_until(to, class, body, deadline).await {
                Ok(reply) => return reply,
                Err(error) => assert!(Instant::now() < until, "no answer in time: {error}"),
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Echoes a body, except for a few that are orders.
pub(crate) struct Echo {
    /// Requests with the body `hold` are answered once this says so.
    pub(crate) released: watch::Sender<bool>,
    /// How many `hold` requests are waiting.
    pub(crate) holding: watch::Sender<usize>,
    pub(crate) delivered: watch::Sender<usize>,
    pub(crate) messages: Mutex<Vec<Incoming>>,
}

impl Default for Echo {
    fn default() -> Echo {
        Echo {
            released: watch::Sender::new(false),
            holding: watch::Sender::new(0),
            delivered: watch::Sender::new(0),
            messages: Mutex::default(),
        }
    }
}

/// Gives its place back also when its future is dropped.
struct Held(watch::Sender<usize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_modify(|holding| *holding -= 1);
    }
}

impl Handler for Echo {
    fn handle(&self, incoming: Incoming) -> BoxFuture<'static, Bytes> {
        match &*incoming.body {
            b"hold" => {
                let mut released = self.released.subscribe();
                self.holding.send_modify(|holding| *holding += 1);
                let held = Held(self.holding.clone());
                async move {
                    released.wait_for(|released| *released).await.unwrap();
                    drop(held);
                    Bytes::from_static(b"released")
                }
                .boxed()
            }
            b"panic" => panic!("asked to"),
            b"panic later" => async {
                tokio::task::yield_now().await;
                panic!("asked to, later")
            }
            .boxed(),
            b"later" => async move {
                tokio::task::yield_now().await;
                incoming.body
            }
            .boxed(),
            b"too much" => async move { Bytes::from(vec![0; 200 << 20]) }.boxed(),
            b"who am I" => async move { Bytes::from(format!("{:?}", incoming.from)) }.boxed(),
            _ => std::future::ready(incoming.body).boxed(),
        }
    }

    fn deliver(&self, incoming: Incoming) -> BoxFuture<'static, ()> {
        self.messages.lock().unwrap().push(incoming);
        self.delivered.send_modify(|delivered| *delivered += 1);
        std::future::ready(()).boxed()
    }
}

/// Waits for a watched number.
pub(crate) async fn reaches(number: &watch::Sender<usize>, wanted: usize) {
    let mut watched = number.subscribe();
    let reached = tokio::time::timeout(PATIENCE, watched.wait_for(|number| *number == wanted)).await.is_ok();
    assert!(reached, "still at {} after {PATIENCE:?}, {wanted} was awaited", *number.borrow());
}
