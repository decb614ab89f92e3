//! A cluster without agreement: one shared control state, several nodes' servers over it, faults at will.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use shardloom::server::fabric::{
    Class, ControlCommand, ControlError, ControlReply, Fabric, FabricError, NotServing, Permit, ShardWhy,
};
use shardloom::server::http::connection::Carrier;
use shardloom::server::limits::{Limits, Timings};
use shardloom::server::metrics::Metrics;
use shardloom::server::state::ShardState;
use shardloom::server::view::{MemberState, View, Weigher, Workload};
use shardloom::server::{NodeServer, chores};
use shardloom_cluster::certificates::CertificateReport;
use shardloom_cluster::control::{
    self, AuditEntry, AuditLog, Author, Event, EventRing, EventsAfter, Outcome, Refused, VersionChange,
};
use shardloom_host::{Compiler, Host, HostOptions};
use shardloom_protocol::peer::{HealingReport, LogEnds};
use shardloom_sharding::canary;
use shardloom_sharding::ids::{DiskId, Epoch, NodeId, Replica, ShardId, Tail};
use shardloom_sharding::map::ShardMap;
use shardloom_sharding::protocol::leader::{Order, Ordered, PlanAsk, PlanRefusal, Preview};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::client::Client;
use crate::link::Link;
use crate::state::TestState;
use crate::under_way::UnderWay;
use crate::views::{first_view, member};

pub(crate) const ADMIN_TOKEN: &str = "the-admin-token";
pub(crate) const SHARDS: u32 = 32;

struct NodeState {
    this: NodeId,
    view: RwLock<Arc<View>>,
    changed: watch::Sender<u64>,
    lease: AtomicBool,
    held: RwLock<BTreeSet<ShardId>>,
    in_flight: Arc<AtomicU64>,
    link: RwLock<Link>,
    server: OnceLock<Arc<NodeServer>>,
    address: OnceLock<SocketAddr>,
}

/// What all nodes share.
struct Shared {
    control: Mutex<View>,
    /// What is deployed, and how.
    versions: Mutex<BTreeMap<String, control::Workload>>,
    audit: Mutex<AuditLog>,
    events: Mutex<EventRing>,
    nodes: Vec<Arc<NodeState>>,
    /// One a shard.
    states: Vec<Arc<TestState>>,
}

/// One node's fabric.
struct TestFabric {
    shared: Arc<Shared>,
    node: Arc<NodeState>,
}

pub(crate) struct World {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
    directories: Vec<TempDir>,
}

pub(crate) fn node_id(number: usize) -> NodeId {
    NodeId(number as u64 + 1)
}

fn replica(number: usize) -> Replica {
    Replica { node: node_id(number), disk: DiskId(number as u64 + 101) }
}

impl Shared {
    /// Shows the control state to all nodes that are not named as late.
    fn publish(&self, late: &[usize]) {
        let control = self.control.lock().unwrap().clone();
        for (number, node) in self.nodes.iter().enumerate() {
            if !late.contains(&number) {
                let lease_live = node.lease.load(Ordering::SeqCst);
                let view = View { this_node: node.this, lease_live, ..control.clone() };
                *node.view.write().unwrap() = Arc::new(view);
                node.changed.send_modify(|count| *count += 1);
            }
        }
    }

    fn apply(&self, command: ControlCommand) -> Result<ControlReply, ControlError> {
        let mut control = self.control.lock().unwrap();
        let index = control.applied + 1;
        let mut reply = ControlReply::Applied { index };
        match command {
            ControlCommand::DeployWorkload { name, base, spec, labels } => {
                if control.workloads.get(&name).map(|workload| workload.activation) != base {
                    return Err(ControlError::Conflict { name });
                }
                control.left_by.remove(&name);
                control.required_labels.insert(name.clone(), labels);
                let mut versions = self.versions.lock().unwrap();
                match versions.get_mut(&name) {
                    Some(found) => found.deploy(&name, index, *spec).map(drop).map_err(refused)?,
                    // The index stands for all versions that there may have been.
                    None => {
                        drop(versions.insert(name.clone(), control::Workload::begin(index - 1, index, *spec)))
                    }
                }
                let found = &versions[&name];
                reply = ControlReply::Deployed { version: found.newest, index };
                control.workloads.insert(name.clone(), Arc::new(Workload::of(&name, found)));
            }
            ControlCommand::ChangeVersion { name, base, change } => {
                let mut versions = self.versions.lock().unwrap();
                let Some(found) = versions.get_mut(&name) else {
                    return Err(ControlError::UnknownWorkload { name });
                };
                if found.activation != base {
                    return Err(ControlError::Conflict { name });
                }
                let version = match change {
                    VersionChange::Canary { spec, share } => {
                        let shards = canary::choose(&control.map, share, &name, found.newest + 1);
                        found.begin_canary(&name, index, *spec, (share, shards))
                    }
                    VersionChange::Promote => found.promote(&name, index),
                    VersionChange::RollBack { to } => found.roll_back(&name, index, to),
                };
                reply = ControlReply::Deployed { version: version.map_err(refused)?, index };
                control.workloads.insert(name.clone(), Arc::new(Workload::of(&name, found)));
            }
            ControlCommand::RemoveWorkload { name } => {
                let Some(gone) = control.workloads.remove(&name) else {
                    return Err(ControlError::UnknownWorkload { name });
                };
                self.versions.lock().unwrap().remove(&name);
                control.left_by.insert(name, gone.spec.shard_function);
            }
            ControlCommand::CreateToken { life } => {
                let expires_in = life.unwrap_or(Duration::from_secs(900));
                reply = ControlReply::Token { token: format!("token-{index}"), expires_in };
            }
            ControlCommand::SetWeigher { component } => {
                control.weigher = Some(Weigher { component, last_run: None, alarm: None });
            }
            ControlCommand::SetWeights { component, weights } => {
                control.weigher = Some(Weigher { component, last_run: Some(index), alarm: None });
                control.weights = Some(Arc::new(weights));
            }
            ControlCommand::RaiseWeigherAlarm { text, .. } => {
                if let Some(weigher) = &mut control.weigher {
                    weigher.alarm = Some(text);
                }
            }
            ControlCommand::UnsetWeigher => (control.weigher, control.weights) = (None, None),
            ControlCommand::AddNode(node) | ControlCommand::DrainNode(node) => {
                let unknown = || ControlError::Refused(format!("there is no node {node}"));
                control.members.get_mut(&node).ok_or_else(unknown)?.state = MemberState::Draining;
            }
            ControlCommand::SetSettings(values) => {
                control.settings.set(&values).map_err(refused)?;
            }
            ControlCommand::CreateAccess { name, role, digest } => {
                Arc::make_mut(&mut control.access).create(name, role, digest, index).map_err(refused)?;
            }
            ControlCommand::RevokeAccess { name } => {
                Arc::make_mut(&mut control.access).revoke(&name).map_err(refused)?;
            }
            ControlCommand::RepairShards { .. }
            | ControlCommand::Note { .. }
            | ControlCommand::RotateCertificates => {}
            ControlCommand::RemoveNode { node, .. }
            | ControlCommand::Quarantine { node, .. }
            | ControlCommand::Release(node) => {
                return Err(ControlError::Refused(format!("removing {node} would orphan data")));
            }
        }
        control.applied = index;
        Ok(reply)
    }
}

fn refused(refused: impl std::fmt::Display) -> ControlError {
    ControlError::Refused(refused.to_string())
}

impl Shared {
    /// As the control log records who did what. Its own tests say how; here it is enough who.
    fn record(&self, by: Author, what: String, reply: &Result<ControlReply, ControlError>) {
        let index = self.control.lock().unwrap().applied;
        let outcome = match reply {
            Ok(_) => Ok(Outcome::Done),
            Err(error) => Err(Refused::Noted { reason: error.to_string() }),
        };
        let entry = AuditEntry::new(index, (by, 0), (what, None), &outcome);
        self.audit.lock().unwrap().add(entry);
    }
}

impl World {
    /// Starts so many nodes; shard s is owned by node s modulo their number, under epoch 1.
    pub(crate) async fn start(count: usize) -> World {
        World::start_with(count, Limits::default(), Timings::default()).await
    }

    pub(crate) async fn start_with(count: usize, limits: Limits, timings: Timings) -> World {
        World::start_shards(SHARDS, count, limits, timings).await
    }

    pub(crate) async fn start_shards(shards: u32, count: usize, limits: Limits, timings: Timings) -> World {
        let mut map = ShardMap::new(shards);
        let replicas: Vec<Replica> = (0..count).map(replica).collect();
        for shard in 0..shards {
            let owner = node_id(shard as usize % count);
            map.assign(ShardId(shard), Epoch(1), Some(owner), &replicas).unwrap();
        }
        let nodes = (0..count).map(|number| {
            Arc::new(NodeState {
                this: node_id(number),
                view: RwLock::new(Arc::new(first_view(map.clone()))),
                changed: watch::Sender::new(0),
                lease: AtomicBool::new(true),
                held: RwLock::default(),
                in_flight: Arc::default(),
                link: RwLock::new(Link::Up),
                server: OnceLock::new(),
                address: OnceLock::new(),
            })
        });
        let shared = Arc::new(Shared {
            control: Mutex::new(first_view(map.clone())),
            versions: Mutex::default(),
            audit: Mutex::default(),
            events: Mutex::default(),
            nodes: nodes.collect(),
            states: (0..shards).map(|_| Arc::default()).collect(),
        });
        let (mut tasks, mut directories) = (JoinSet::new(), Vec::new());
        for node in &shared.nodes {
            let directory = TempDir::new().unwrap();
            let compiler = Compiler {
                executable: env!("CARGO_BIN_EXE_shardloom").into(),
                arguments: vec![Compiler::ARGUMENT.into()],
            };
            let host = Host::new(HostOptions::new(directory.path().join("components"), compiler)).unwrap();
            directories.push(directory);
            let fabric = TestFabric { shared: Arc::clone(&shared), node: Arc::clone(node) };
            let metrics = Arc::new(Metrics::new());
            let server = NodeServer::new(Arc::new(fabric), host, metrics, limits.clone(), timings.clone());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            node.address.set(address).unwrap();
            let member = member(node.this, address);
            shared.control.lock().unwrap().members.insert(node.this, member);
            assert!(node.server.set(Arc::clone(&server)).is_ok());
            tasks.spawn(chores::run(Arc::clone(&server)));
            tasks.spawn(async move { server.serve(listener, Carrier::Plain).await });
        }
        shared.publish(&[]);
        World { shared, _tasks: tasks, directories }
    }

    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        *self.shared.nodes[node].address.get().unwrap()
    }

    pub(crate) fn client(&self, node: usize) -> Client {
        Client::new(format!("http://{}", self.address(node)))
    }

    pub(crate) fn server(&self, node: usize) -> Arc<NodeServer> {
        Arc::clone(self.shared.nodes[node].server.get().unwrap())
    }

    /// Where a node keeps its components and their compiled code.
    pub(crate) fn components(&self, node: usize) -> PathBuf {
        self.directories[node].path().join("components")
    }

    pub(crate) fn view(&self, node: usize) -> Arc<View> {
        Arc::clone(&self.shared.nodes[node].view.read().unwrap())
    }

    pub(crate) fn link(&self, node: usize, link: Link) {
        *self.shared.nodes[node].link.write().unwrap() = link;
    }

    /// The state of a shard.
    pub(crate) fn state(&self, shard: ShardId) -> Arc<TestState> {
        Arc::clone(&self.shared.states[shard.index()])
    }

    /// How many permits the node has given and not got back.
    pub(crate) fn in_flight(&self, node: usize) -> u64 {
        self.shared.nodes[node].in_flight.load(Ordering::SeqCst)
    }

    /// Changes the control state; the nodes named as late do not see it until the next change.
    pub(crate) fn change_but_for(&self, late: &[usize], change: impl FnOnce(&mut View)) {
        {
            let mut control = self.shared.control.lock().unwrap();
            control.applied += 1;
            change(&mut control);
        }
        self.shared.publish(late);
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut View)) {
        self.change_but_for(&[], change);
    }

    /// Has something happen in the whole cluster; says at which index.
    pub(crate) fn happen(&self, event: Event) -> u64 {
        let index = {
            let mut control = self.shared.control.lock().unwrap();
            control.applied += 1;
            control.applied
        };
        self.shared.events.lock().unwrap().add(index, event);
        self.shared.publish(&[]);
        index
    }

    /// The audit.
    pub(crate) fn audit(&self) -> Vec<AuditEntry> {
        self.shared.audit.lock().unwrap().after(0).cloned().collect()
    }

    pub(crate) fn lease(&self, node: usize, live: bool) {
        self.shared.nodes[node].lease.store(live, Ordering::SeqCst);
        self.shared.publish(&[]);
    }

    pub(crate) fn hold(&self, node: usize, shards: impl IntoIterator<Item = ShardId>) {
        *self.shared.nodes[node].held.write().unwrap() = shards.into_iter().collect();
        self.shared.publish(&[]);
    }
}

impl NodeState {
    fn serving(&self, shard: ShardId) -> Result<Epoch, NotServing> {
        let view = self.view.read().unwrap();
        if !self.lease.load(Ordering::SeqCst) {
            Err(NotServing::NoLease)
        } else if view.map.owner(shard) != Some(self.this) {
            Err(NotServing::NotOwner)
        } else if view.unsettled.contains_key(&shard) {
            Err(NotServing::HandingOver)
        } else {
            Ok(view.map.epoch(shard))
        }
    }
}

impl Fabric for TestFabric {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.node.view.read().unwrap())
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.node.changed.subscribe()
    }

    fn enter(&self, shard: ShardId) -> Result<Permit, NotServing> {
        let epoch = self.node.serving(shard)?;
        if self.node.held.read().unwrap().contains(&shard) {
            return Err(NotServing::HandingOver);
        }
        let under_way = UnderWay::new(&self.node.in_flight);
        let node = Arc::clone(&self.node);
        Ok(Permit::new(epoch, move || {
            let _counted = &under_way;
            node.serving(shard) == Ok(epoch)
        }))
    }

    fn state(&self, shard: ShardId, epoch: Epoch) -> Option<Arc<dyn ShardState>> {
        let state = Arc::clone(self.shared.states.get(shard.index())?);
        (self.node.serving(shard) == Ok(epoch)).then_some(state as Arc<dyn ShardState>)
    }

    fn log_ends(&self, shards: Vec<ShardId>) -> BoxFuture<'_, Result<LogEnds, String>> {
        let number = self.node.this.0 as usize - 1;
        let end = |shard: ShardId| {
            (shard, Tail { stamp: Epoch(1), position: self.shared.states[shard.index()].last() })
        };
        let tails = shards.into_iter().map(end).collect();
        async move { Ok(LogEnds { disk: replica(number).disk, tails }) }.boxed()
    }

    fn request(
        &self,
        node: NodeId,
        _class: Class,
        body: Bytes,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Bytes, FabricError>> {
        async move {
            let peer = self.shared.nodes.iter().find(|peer| peer.this == node);
            let Some(peer) = peer else { return Err(FabricError::NotSent("no such node".into())) };
            let link = *peer.link.read().unwrap();
            if link == Link::Cut {
                return Err(FabricError::NotSent("the link is cut".into()));
            }
            let Some(server) = peer.server.get() else { return Err(FabricError::NotSent("not up".into())) };
            let reply = timeout_at(deadline, server.handle_peer(self.node.this, body)).await;
            match (reply, link) {
                (Ok(reply), Link::Up | Link::Cut) => Ok(reply),
                (Ok(_), Link::RepliesLost) => Err(FabricError::Unknown("the reply was lost".into())),
                (Ok(_), Link::Mute) => std::future::pending().await,
                (Err(_), _) => Err(FabricError::Unknown("the deadline came".into())),
            }
        }
        .boxed()
    }

    fn write(
        &self,
        by: Author,
        command: ControlCommand,
    ) -> BoxFuture<'_, Result<ControlReply, ControlError>> {
        async move {
            if self.view().leader.is_none() {
                return Err(ControlError::NoLeader);
            }
            let what = format!("{command:?}");
            let reply = self.shared.apply(command);
            self.shared.record(by, what, &reply);
            let reply = reply?;
            // As in a real cluster, the views follow a little later.
            let shared = Arc::clone(&self.shared);
            tokio::task::spawn_blocking(move || {
                std::thread::sleep(Duration::from_millis(5));
                shared.publish(&[]);
            });
            Ok(reply)
        }
        .boxed()
    }

    /// Nobody plans here: maps are what a test says.
    fn plan(&self, _ask: PlanAsk) -> BoxFuture<'_, Result<Preview, PlanRefusal>> {
        std::future::ready(Err(PlanRefusal::NotLeader)).boxed()
    }

    fn order(&self, _order: Order) -> BoxFuture<'_, Result<Ordered, PlanRefusal>> {
        std::future::ready(Err(PlanRefusal::NotLeader)).boxed()
    }

    fn step_down(&self) -> BoxFuture<'_, Result<NodeId, ControlError>> {
        async move {
            let next = self.shared.nodes.last().unwrap().this;
            self.shared.control.lock().unwrap().leader = Some(next);
            self.shared.publish(&[]);
            Ok(next)
        }
        .boxed()
    }

    fn healing(&self) -> BoxFuture<'_, HealingReport> {
        std::future::ready(HealingReport::default()).boxed()
    }

    fn audit(&self, since: u64, tail: usize) -> (Vec<AuditEntry>, u64) {
        let audit = self.shared.audit.lock().unwrap();
        let entries = audit.after(since);
        let skipped = entries.len().saturating_sub(tail);
        (entries.skip(skipped).cloned().collect(), audit.dropped())
    }

    fn why(&self, _shard: ShardId) -> ShardWhy {
        // Nothing is ever agreed on here.
        ShardWhy::default()
    }

    fn certificates(&self) -> CertificateReport {
        // Its nodes know each other by being in one process.
        CertificateReport::default()
    }

    fn events(&self, since: u64, most: usize) -> EventsAfter {
        self.shared.events.lock().unwrap().after(since, most)
    }
}
