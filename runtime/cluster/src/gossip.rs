//! Gossip: where nodes listen and which services they offer, spread by chitchat over UDP.
//!
//! Gossip is not authenticated, so nothing is decided by it. An address that comes this way is a hint where to dial; the certificate says
//! whether the node one looks for is really there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use chitchat::transport::UdpTransport;
use chitchat::{
    ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, NodeState, ProtocolVersion,
    spawn_chitchat,
};
use shardloom_sharding::ids::{Boot, ClusterId, NodeId};
use tokio::sync::watch;

use crate::ClusterError;
use crate::control::Addresses;

/// How gossip is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GossipTiming {
    /// Between two rounds. A newcomer's addresses are everywhere after a handful of rounds.
    pub interval: Duration,
    /// How long a node that is gone stays in the list.
    pub forget_after: Duration,
}

impl Default for GossipTiming {
    fn default() -> Self {
        GossipTiming { interval: Duration::from_secs(1), forget_after: Duration::from_secs(24 * 3600) }
    }
}

/// What a node tells of itself.
#[derive(Clone, Debug)]
pub struct GossipSelf {
    /// Its cluster: messages of others are dropped.
    pub cluster: ClusterId,
    /// Its identity.
    pub node: NodeId,
    /// Its generation: rises with every start, durably.
    pub boot: Boot,
    /// Where it listens.
    pub addresses: Addresses,
}

/// The gossip of one node; ends with the value.
pub struct Gossip {
    handle: ChitchatHandle,
    live: watch::Receiver<BTreeMap<ChitchatId, NodeState>>,
}

const KEY_HTTP: &str = "http";
const KEY_PEER: &str = "peer";
const KEY_GOSSIP: &str = "gossip";
/// Suspicion at which chitchat takes a node for gone. Only discovery follows it: ownership follows leases.
const PHI_THRESHOLD: f64 = 8.0;
const PHI_SAMPLES: usize = 100;
/// How long chitchat remembers a deleted key.
const TOMBSTONES_KEPT: Duration = Duration::from_secs(3600);

impl Gossip {
    /// Listens on `listen` and begins to talk to `seeds` (host:port, names allowed).
    ///
    /// # Errors
    ///
    /// The port cannot be bound, or the address to advertise is not an address.
    pub async fn start(
        me: &GossipSelf,
        listen: SocketAddr,
        seeds: Vec<String>,
        timing: GossipTiming,
    ) -> Result<Gossip, ClusterError> {
        let failed = |reason: String| ClusterError::Gossip { listen, reason };
        let advertised = resolve(&me.addresses.gossip).await.ok_or_else(|| {
            failed(format!("{} is not an address that others can send to", me.addresses.gossip))
        })?;
        let config = ChitchatConfig {
            chitchat_id: ChitchatId::new(me.node.to_string(), me.boot.0, advertised),
            cluster_id: me.cluster.to_string(),
            gossip_interval: timing.interval,
            listen_addr: listen,
            seed_nodes: seeds,
            failure_detector_config: FailureDetectorConfig::new(
                PHI_THRESHOLD,
                PHI_SAMPLES,
                timing.interval * 20,
                timing.interval,
                timing.forget_after,
            ),
            marked_for_deletion_grace_period: TOMBSTONES_KEPT,
            catchup_callback: None,
            extra_liveness_predicate: None,
            protocol_version: ProtocolVersion::V1,
        };
        let own = vec![
            (KEY_HTTP.to_owned(), me.addresses.http.clone()),
            (KEY_PEER.to_owned(), me.addresses.peer.clone()),
            (KEY_GOSSIP.to_owned(), me.addresses.gossip.clone()),
        ];
        let handle =
            spawn_chitchat(config, own, &UdpTransport).await.map_err(|error| failed(format!("{error:#}")))?;
        let live = handle.with_chitchat(|chitchat| chitchat.live_nodes_watcher()).await;
        Ok(Gossip { handle, live })
    }

    /// What the others say, for whoever wants to follow it.
    pub fn listener(&self) -> Listener {
        Listener { live: self.live.clone() }
    }

    /// Stops gossiping and waits for it, a moment at most.
    pub async fn close(self) {
        const CLOSE_MAX: Duration = Duration::from_secs(1);
        // An error or a timeout leaves a task that ends with the process: nothing depends on it.
        let _ = tokio::time::timeout(CLOSE_MAX, self.handle.shutdown()).await;
    }
}

impl std::fmt::Debug for Gossip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gossip").finish_non_exhaustive()
    }
}

/// Hears what the others say of themselves.
#[derive(Clone, Debug)]
pub struct Listener {
    live: watch::Receiver<BTreeMap<ChitchatId, NodeState>>,
}

impl Listener {
    /// What the others say of themselves, as of now.
    pub fn heard(&self) -> BTreeMap<NodeId, Addresses> {
        self.live.borrow().iter().filter_map(|(id, state)| read(id, state)).collect()
    }

    /// The newest boot of each that is heard of.
    pub fn boots(&self) -> BTreeMap<NodeId, Boot> {
        let mut boots = BTreeMap::new();
        for id in self.live.borrow().keys() {
            if let Ok(node) = id.node_id.parse() {
                let newest = boots.entry(node).or_insert(Boot(0));
                *newest = Boot(id.generation_id).max(*newest);
            }
        }
        boots
    }

    /// Waits until somebody comes or goes; true when gossip has ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn changed(&mut self) -> bool {
        self.live.changed().await.is_err()
    }
}

fn read(id: &ChitchatId, state: &NodeState) -> Option<(NodeId, Addresses)> {
    let text = |key| state.get(key).map(str::to_owned);
    let addresses = Addresses { http: text(KEY_HTTP)?, peer: text(KEY_PEER)?, gossip: text(KEY_GOSSIP)? };
    Some((id.node_id.parse().ok()?, addresses))
}

/// The first address of `host:port`.
async fn resolve(address: &str) -> Option<SocketAddr> {
    tokio::net::lookup_host(address).await.ok()?.next()
}
