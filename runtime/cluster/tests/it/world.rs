//! A cluster of real nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shardloom_cluster::control::{Addresses, Author, JoinPolicy};
use shardloom_cluster::gossip::GossipTiming;
use shardloom_cluster::raft::RaftTiming;
use shardloom_cluster::state::{ServedState, StateOptions};
use shardloom_cluster::{Beginning, Cluster, ClusterHandle, ClusterOptions};
use shardloom_protocol::batch::{Change, WriteBatch};
use shardloom_protocol::digest::Digest;
use shardloom_sharding::ids::{Position, ShardId, Term};
use shardloom_sharding::protocol::timing::Timing;
use shardloom_store::{SpaceMarks, WalOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::ports::next_address;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long a join token is good.
const TOKEN_LIFE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(10);

/// The workload of the tests.
pub(crate) const WORKLOAD: &str = "kv";

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
}

struct Running {
    runtime: Runtime,
    cluster: Cluster,
}

/// One node's place, running or not.
struct Place {
    data: TempDir,
    peer: SocketAddr,
    gossip: SocketAddr,
    running: Option<Running>,
}

/// The nodes that run, to call them while others start and end.
#[derive(Clone, Default)]
pub(crate) struct Access {
    handles: Arc<Mutex<BTreeMap<usize, ClusterHandle>>>,
}

impl Access {
    fn handles(&self) -> MutexGuard<'_, BTreeMap<usize, ClusterHandle>> {
        self.handles.lock().unwrap()
    }

    /// The node that serves a shard, and the shard's state there.
    pub(crate) fn served(&self, shard: ShardId) -> Option<(usize, Arc<ServedState>)> {
        self.handles().iter().find_map(|(node, handle)| {
            let epoch = handle.serving().serving(shard).filter(|_| handle.serving().lease_live())?;
            Some((*node, handle.states().open(shard, epoch)?))
        })
    }

    /// Waits until a shard is served.
    pub(crate) async fn owner(&self, shard: ShardId) -> (usize, Arc<ServedState>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.served(shard) {
                return found;
            }
            assert!(Instant::now() < deadline, "in vain: shard {shard} is served");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Writes on a shard's owner and waits until it is committed; again, where the owner changes meanwhile.
    pub(crate) async fn write(
        &self,
        shard: ShardId,
        request: u128,
        changes: &[(&str, Option<&str>)],
    ) -> Position {
        let batch = batch(request, changes);
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "in vain: a write");
            let (_, state) = self.owner(shard).await;
            let Ok(position) = state.write(&batch).await else { continue };
            let mut committed = state.committed();
            let reached =
                tokio::time::timeout(PATIENCE, committed.wait_for(|reached| *reached >= position)).await;
            if reached.unwrap().is_ok() {
                return position;
            }
        }
    }
}

/// A cluster of real nodes.
pub(crate) struct World {
    access: Access,
    shards: u32,
    timing: Timing,
    state: StateOptions,
    places: Vec<Place>,
}

impl Place {
    fn new() -> Place {
        Place { data: TempDir::new().unwrap(), peer: next_address(), gossip: next_address(), running: None }
    }
}

impl World {
    /// Starts so many nodes, and waits until every shard is served.
    pub(crate) async fn start(nodes: usize, shards: u32) -> World {
        World::start_with(nodes, shards, Timing::DEFAULT, StateOptions::default()).await
    }

    /// The same, with other times and bounds.
    pub(crate) async fn start_with(nodes: usize, shards: u32, timing: Timing, state: StateOptions) -> World {
        // Says more with RUST_LOG; the first test to come sets it up for all.
        let log =
            tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env());
        let _ = log.with_test_writer().try_init();
        let places = (0..nodes).map(|_| Place::new()).collect();
        let mut world = World { access: Access::default(), shards, timing, state, places };
        let founding = Beginning::Bootstrap {
            shards,
            replicas: 3,
            join_policy: JoinPolicy::Auto,
            admin_token: Digest([0; 32]),
        };
        world.run(0, founding).await;
        for node in 1..nodes {
            world.join(node).await;
        }
        world.wait_until_whole().await;
        world
    }

    async fn join(&mut self, node: usize) {
        let founder = self.handle(0);
        let on = &self.places[0].running.as_ref().unwrap().runtime;
        let token = on
            .spawn(
                async move { founder.create_token(Author::Token("test".into()), TOKEN_LIFE).await.unwrap() },
            )
            .await
            .unwrap();
        let addresses = vec![self.places[0].peer.to_string()];
        self.run(node, Beginning::Join { addresses, token }).await;
    }

    /// Adds a node.
    pub(crate) async fn grow(&mut self) {
        self.places.push(Place::new());
        self.join(self.places.len() - 1).await;
    }

    async fn run(&mut self, node: usize, beginning: Beginning) {
        let place = &mut self.places[node];
        let options = ClusterOptions {
            data: place.data.path().to_path_buf(),
            listen_peer: place.peer,
            listen_gossip: place.gossip,
            addresses: Addresses {
                http: "127.0.0.1:1".into(),
                peer: place.peer.to_string(),
                gossip: place.gossip.to_string(),
            },
            zone: String::new(),
            capacity: 1,
            labels: BTreeMap::new(),
            beginning,
            timing: self.timing,
            raft: RaftTiming::default(),
            gossip: GossipTiming::default(),
            wal: WalOptions::default(),
            space: SpaceMarks { low_bytes: 0, high_bytes: 0 },
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let started = runtime.spawn(shardloom_cluster::start_with(options, self.state)).await.unwrap();
        let cluster = started.unwrap();
        self.access.handles().insert(node, cluster.handle());
        place.running = Some(Running { runtime, cluster });
    }

    /// Starts a node again.
    pub(crate) async fn restart(&mut self, node: usize) {
        self.run(node, Beginning::Return).await;
    }

    /// Starts some nodes again, all at once: no one of them waits for another.
    pub(crate) async fn restart_all(&mut self) {
        for node in 0..self.places.len() {
            if self.places[node].running.is_none() {
                self.restart(node).await;
            }
        }
    }

    /// Ends a node in the middle of everything.
    pub(crate) async fn kill(&mut self, node: usize) {
        self.access.handles().remove(&node);
        let Running { runtime, cluster } = self.places[node].running.take().unwrap();
        runtime.spawn(async move { drop(cluster) }).await.unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
    }

    /// Ends a node in order.
    pub(crate) async fn close(&mut self, node: usize) {
        self.access.handles().remove(&node);
        let Running { runtime, cluster } = self.places[node].running.take().unwrap();
        runtime.spawn(cluster.close()).await.unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
    }

    /// How many shards a node has replicas of, by the committed map.
    pub(crate) fn replicas_on(&self, node: usize) -> usize {
        let handle = self.handle(node);
        let applied = handle.applied().read();
        let Some(state) = &applied.control else { return 0 };
        let map = state.shards.committed();
        let has = |shard: &u32| map.replicas(ShardId(*shard)).any(|replica| replica.node == handle.me());
        (0..self.shards).filter(has).count()
    }

    /// The nodes that run.
    pub(crate) fn access(&self) -> Access {
        self.access.clone()
    }

    /// Where a node keeps its data.
    pub(crate) fn data(&self, node: usize) -> PathBuf {
        self.places[node].data.path().to_path_buf()
    }

    pub(crate) fn handle(&self, node: usize) -> ClusterHandle {
        self.places[node].running.as_ref().unwrap().cluster.handle()
    }

    fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.places.len()).filter(|node| self.places[*node].running.is_some())
    }

    /// Who leads, of the nodes that run, and since which term; where they differ, nobody.
    pub(crate) fn leader(&self) -> Option<(usize, Term)> {
        let mut known = self.running().map(|node| self.handle(node).standing().read().leader);
        let first = known.next()??;
        let agreed = known.all(|leader| leader == Some(first));
        let leader = self.running().find(|node| self.handle(*node).me() == first.0)?;
        agreed.then_some((leader, first.1))
    }

    /// The newest term that a node knows of.
    pub(crate) fn term(&self, node: usize) -> Term {
        self.handle(node).standing().read().term
    }

    /// The node that serves a shard, and the shard's state there.
    pub(crate) fn served(&self, shard: ShardId) -> Option<(usize, Arc<ServedState>)> {
        self.access.served(shard)
    }

    /// Waits until a shard is served.
    pub(crate) async fn owner(&self, shard: ShardId) -> (usize, Arc<ServedState>) {
        self.access.owner(shard).await
    }

    /// Waits until all shards are served.
    pub(crate) async fn wait_until_served(&self) {
        until("all shards are served", || {
            (0..self.shards).all(|shard| self.served(ShardId(shard)).is_some())
        })
        .await;
    }

    /// Waits until all shards are served and have as many replicas as there are nodes, at most three, all of them on disks that are there.
    pub(crate) async fn wait_until_whole(&self) {
        let replicas = self.places.len().min(3);
        until("all shards have their replicas", || {
            let Some(first) = self.running().next() else { return false };
            let handle = self.handle(first);
            let applied = handle.applied().read();
            let Some(state) = &applied.control else { return false };
            let there = |replica: &shardloom_sharding::ids::Replica| {
                state.members.get(&replica.node).is_some_and(|member| member.disk == replica.disk)
            };
            let map = state.shards.committed();
            let whole =
                (0..self.shards).all(|shard| map.replicas(ShardId(shard)).filter(there).count() == replicas);
            let voters = handle.voters().len() >= if self.places.len() < 3 { 1 } else { 3 };
            whole && voters && state.shards.pendings().len() == 0
        })
        .await;
        self.wait_until_served().await;
    }

    /// As [`Access::write`].
    pub(crate) async fn write(
        &self,
        shard: ShardId,
        request: u128,
        changes: &[(&str, Option<&str>)],
    ) -> Position {
        self.access.write(shard, request, changes).await
    }

    /// Waits until a node owns and serves every shard: all others give up what they own.
    pub(crate) async fn gather_on(&self, node: usize) {
        for other in self.running().filter(|other| *other != node) {
            self.leave(other).await;
        }
        until("one node serves all shards", || {
            (0..self.shards).all(|shard| self.served(ShardId(shard)).is_some_and(|(owner, _)| owner == node))
        })
        .await;
    }

    /// Reads on a shard's owner.
    pub(crate) async fn read(&self, shard: ShardId, key: &str) -> Option<Bytes> {
        let (_, state) = self.owner(shard).await;
        state.get(WORKLOAD, key.as_bytes()).unwrap()
    }

    /// Lets a node give up all that it owns; it goes on running as a replica.
    pub(crate) async fn leave(&self, node: usize) {
        self.places[node].running.as_ref().unwrap().cluster.leave(PATIENCE).await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.access.handles().clear();
        for Running { runtime, cluster } in self.places.iter_mut().filter_map(|place| place.running.take()) {
            let _inside = runtime.enter();
            drop(cluster);
            drop(_inside);
            runtime.shutdown_background();
        }
    }
}

/// Some writes of one call; its reply is `done` and the request.
pub(crate) fn batch(request: u128, changes: &[(&str, Option<&str>)]) -> WriteBatch {
    let change = |(key, value): &(&str, Option<&str>)| Change {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
    };
    WriteBatch {
        request,
        workload: WORKLOAD.into(),
        changes: changes.iter().map(change).collect(),
        reply: Some(Bytes::from(format!("done {request}"))),
        idempotency: None,
    }
}
