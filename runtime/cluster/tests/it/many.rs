//! Several nodes in one process: real sockets on loopback, real logs on disk, the real protocol; no HTTP and no guests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use shardloom_cluster::control::{Addresses, Author, JoinPolicy};
use shardloom_cluster::gossip::GossipTiming;
use shardloom_cluster::raft::RaftTiming;
use shardloom_cluster::{Beginning, Cluster, ClusterHandle, ClusterOptions};
use shardloom_protocol::digest::Digest;
use shardloom_sharding::ids::{NodeId, ShardId};
use shardloom_sharding::protocol::timing::Timing;
use shardloom_store::{SpaceMarks, WalOptions};
use tempfile::TempDir;

use crate::ports::next_address;

/// How long something may take that happens by itself, on a machine that does much else.
pub(crate) const HEAL_MAX: Duration = Duration::from_secs(60);
/// How often a wait looks: with many nodes and shards, to look costs as much as what is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How long a token is good.
const TOKEN_LIFE: Duration = Duration::from_secs(600);

/// A cluster in this process.
pub(crate) struct World {
    directory: TempDir,
    nodes: Vec<Node>,
    shards: u32,
    replicas: u32,
}

struct Node {
    cluster: Option<Cluster>,
    peer: SocketAddr,
    gossip: SocketAddr,
}

impl World {
    /// No node yet.
    pub(crate) fn new(shards: u32, replicas: u32) -> World {
        World { directory: TempDir::new().unwrap(), nodes: Vec::new(), shards, replicas }
    }

    /// Starts one more node: the first makes the cluster, the others join it.
    pub(crate) async fn grow(&mut self) {
        let beginning = match self.nodes.first() {
            None => Beginning::Bootstrap {
                shards: self.shards,
                replicas: self.replicas,
                join_policy: JoinPolicy::Auto,
                admin_token: Digest([0; 32]),
            },
            Some(first) => Beginning::Join {
                addresses: vec![first.peer.to_string()],
                token: self.handle(0).create_token(Author::Token("test".into()), TOKEN_LIFE).await.unwrap(),
            },
        };
        let (peer, gossip) = (next_address(), next_address());
        self.nodes.push(Node { cluster: None, peer, gossip });
        let index = self.nodes.len() - 1;
        let cluster = shardloom_cluster::start(self.options(index, beginning)).await.unwrap();
        self.nodes[index].cluster = Some(cluster);
    }

    fn options(&self, index: usize, beginning: Beginning) -> ClusterOptions {
        let node = &self.nodes[index];
        ClusterOptions {
            data: self.directory.path().join(format!("node-{index}")),
            listen_peer: node.peer,
            listen_gossip: node.gossip,
            addresses: Addresses {
                http: format!("127.0.0.1:{}", index + 1),
                peer: node.peer.to_string(),
                gossip: node.gossip.to_string(),
            },
            zone: String::new(),
            capacity: 100,
            labels: BTreeMap::new(),
            beginning,
            timing: Timing::DEFAULT,
            raft: RaftTiming::default(),
            gossip: GossipTiming::default(),
            // Many nodes share one disk here: large segments would only fill it with zeros.
            wal: WalOptions { segment_bytes: 4 << 20, queue_bytes_max: 1 << 20, cache_bytes_max: 1 << 20 },
            space: SpaceMarks { low_bytes: 0, high_bytes: 0 },
        }
    }

    /// Ends every node in order, without handing anything over.
    pub(crate) async fn stop_all(&mut self) {
        let ending: Vec<Cluster> = self.nodes.iter_mut().filter_map(|node| node.cluster.take()).collect();
        for cluster in ending {
            cluster.close().await;
        }
    }

    /// Starts every node from its disk alone, all at once.
    pub(crate) async fn start_all(&mut self) {
        let starting = (0..self.nodes.len())
            .map(|index| shardloom_cluster::start(self.options(index, Beginning::Return)));
        let started = futures::future::join_all(starting).await;
        for (node, started) in self.nodes.iter_mut().zip(started) {
            node.cluster = Some(started.unwrap());
        }
    }

    /// How many nodes there are.
    pub(crate) fn size(&self) -> usize {
        self.nodes.len()
    }

    /// A node's side of the cluster.
    pub(crate) fn handle(&self, index: usize) -> ClusterHandle {
        self.nodes[index].cluster.as_ref().expect("the node runs").handle()
    }

    /// Cuts a node off from all others.
    pub(crate) fn cut(&self, index: usize) {
        self.handle(index).peers().net().cut_all();
    }

    /// Undoes [`World::cut`].
    pub(crate) fn heal(&self, index: usize) {
        self.handle(index).peers().net().heal_all();
    }

    /// The node that leads, in the eyes of one.
    pub(crate) fn leader(&self, seen_by: usize) -> Option<usize> {
        let (leader, _) = self.handle(seen_by).standing().read().leader?;
        self.index_of(leader)
    }

    fn index_of(&self, node: NodeId) -> Option<usize> {
        (0..self.size()).find(|index| self.handle(*index).me() == node)
    }

    /// How many shards a node serves now.
    pub(crate) fn served_by(&self, index: usize) -> usize {
        let serving = self.handle(index).serving().clone();
        if !serving.lease_live() {
            return 0;
        }
        (0..self.shards).filter(|shard| serving.serving(ShardId(*shard)).is_some()).count()
    }

    /// Waits until these nodes together serve every shard, and returns how long that took.
    pub(crate) async fn until_served(&self, by: &[usize]) -> Duration {
        self.until("every shard served", || {
            let served: usize = by.iter().map(|index| self.served_by(*index)).sum();
            if served == self.shards as usize { Ok(()) } else { Err(format!("{served} of {}", self.shards)) }
        })
        .await
    }

    /// Waits until each of these nodes serves its part of the shards: none more than half as many again as its share.
    pub(crate) async fn until_level(&self, by: &[usize]) -> Duration {
        let share = self.shards as usize / by.len();
        self.until("level shares", || {
            let served: Vec<usize> = by.iter().map(|index| self.served_by(*index)).collect();
            let level = served.iter().all(|count| (share / 2..=share + share / 2 + 1).contains(count));
            let whole = served.iter().sum::<usize>() == self.shards as usize;
            if level && whole { Ok(()) } else { Err(format!("{served:?}")) }
        })
        .await
    }

    /// Waits for something that happens by itself, and returns how long that took.
    pub(crate) async fn until(&self, what: &str, mut look: impl FnMut() -> Result<(), String>) -> Duration {
        let begun = Instant::now();
        loop {
            match look() {
                Ok(()) => return begun.elapsed(),
                Err(state) => assert!(begun.elapsed() < HEAL_MAX, "{what}: not after {HEAL_MAX:?}: {state}"),
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
