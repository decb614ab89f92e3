//! A node's server: everything that answers clients and peers, over one [`Fabric`].

use std::sync::Arc;
use std::time::Duration;

use shardloom_host::Host;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::calls::router::CallRouter;
use super::deploys::Deploys;
use super::endings::Endings;
use super::fabric::Fabric;
use super::guests::Guests;
use super::limits::{Limits, Timings};
use super::metrics::Metrics;
use super::readings::Readings;

/// Uploads that a node takes at once: each is held in memory whole until it is admitted.
const UPLOADS_MAX: usize = 4;

/// Clients that follow the events of a node at once: each is a connection, and is woken by every change.
const EVENT_STREAMS_MAX: usize = 64;

/// A node's server. It decides nothing about who owns what: the [`Fabric`] knows.
///
/// Whoever makes one runs, each in a task of its own: [`NodeServer::serve`] for clients and
/// [`chores::run`](super::chores::run) for what must be done now and then; and passes what peers send to
/// [`NodeServer::handle_peer`].
pub struct NodeServer {
    /// The cluster.
    pub fabric: Arc<dyn Fabric>,
    /// The components.
    pub guests: Arc<Guests>,
    /// The way of a call.
    pub router: CallRouter,
    /// Counts; the cluster's shells observe into it too.
    pub metrics: Arc<Metrics>,
    /// Sizes and counts that bound what the node holds at once.
    pub limits: Limits,
    /// Deadlines and intervals.
    pub timings: Timings,
    pub(super) uploads: Semaphore,
    pub(super) event_streams: Arc<Semaphore>,
    pub(super) deploys: Deploys,
    pub(super) readings: Readings,
    pub(super) endings: Endings,
    tasks: TaskTracker,
}

impl NodeServer {
    /// A server that nobody can reach yet.
    pub fn new(
        fabric: Arc<dyn Fabric>,
        host: Host,
        metrics: Arc<Metrics>,
        limits: Limits,
        timings: Timings,
    ) -> Arc<NodeServer> {
        let guests = Arc::new(Guests::new(host, Arc::clone(&fabric)));
        let tasks = TaskTracker::new();
        let router = CallRouter::new(
            Arc::clone(&fabric),
            Arc::clone(&guests),
            Arc::clone(&metrics),
            &limits,
            tasks.clone(),
        );
        Arc::new(NodeServer {
            fabric,
            guests,
            router,
            metrics,
            limits,
            timings,
            uploads: Semaphore::new(UPLOADS_MAX),
            event_streams: Arc::new(Semaphore::new(EVENT_STREAMS_MAX)),
            deploys: Deploys::default(),
            readings: Readings::default(),
            endings: Endings::default(),
            tasks,
        })
    }

    /// Says from now on that the node is not ready, and asks clients to go elsewhere with each reply. It still answers,
    /// so that a hand-over can go on meanwhile; [`NodeServer::finish`] comes next.
    pub fn begin_shutdown(&self) {
        self.endings.leave.cancel();
    }

    /// Takes no new connection any more, closes idle ones, and lets [`NodeServer::serve`] end when the calls under way have
    /// been answered. Waits for that, at most `wait_max`.
    pub async fn finish(&self, wait_max: Duration) {
        self.begin_shutdown();
        self.endings.close.cancel();
        let _ = tokio::time::timeout(wait_max, self.endings.done.cancelled()).await;
    }

    /// Whether [`NodeServer::begin_shutdown`] was called.
    pub fn is_ending(&self) -> bool {
        self.endings.leave.is_cancelled()
    }

    /// How long a deploy or an upload may take, compilations on all nodes included.
    pub(super) fn deploy_deadline(&self) -> Duration {
        Duration::from_millis(self.timings.deploy_confirm_ms)
    }

    /// Ends when [`NodeServer::finish`] is called.
    pub(super) fn closing(&self) -> &CancellationToken {
        &self.endings.close
    }

    /// How many shard tasks there are now.
    pub fn shard_tasks(&self) -> usize {
        self.tasks.len()
    }
}
