//! A running node's cluster side, as the server above uses it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::HealingReport;
use shardloom_sharding::ids::{ClusterId, NodeId, ShardId};
use shardloom_sharding::protocol::leader::{Order, Ordered, PlanAsk, PlanRefusal, Preview};
use shardloom_store::{DataDir, DiskSpace, Wal, WalStats};
use shardloom_transport::{JoinToken, Traffic, fingerprint_of_pem};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::ClusterError;
use crate::admission::{TOKEN_LIFE_MAX, TOKENS_MAX};
use crate::builds::Builds;
use crate::control::{Author, ControlCommand, ControlReply};
use crate::formats::Outdated;
use crate::gossip::Gossip;
use crate::log_ends::LogEnds;
use crate::peers::Peers;
use crate::raft::{Applied, Raft};
use crate::service::PeerServer;
use crate::serving::ServingTable;
use crate::shell::Incoming;
use crate::standing::StandingCell;
use crate::state::{FlushFigures, States};
use crate::step_down::{StepDown, StepDownError};
use crate::writer::{WriteError, Writer};

/// A running node's cluster side. Ends its tasks when dropped, as a crash would; [`Cluster::close`] ends them in order.
pub struct Cluster {
    pub(crate) me: NodeId,
    pub(crate) cluster: ClusterId,
    pub(crate) dir: DataDir,
    pub(crate) wal: Wal,
    pub(crate) raft: Raft,
    pub(crate) applied: Arc<Applied>,
    pub(crate) builds: Arc<Builds>,
    pub(crate) outdated: Arc<Outdated>,
    pub(crate) serving: Arc<ServingTable>,
    pub(crate) states: Arc<States>,
    pub(crate) log_ends: LogEnds,
    pub(crate) standing: Arc<StandingCell>,
    pub(crate) space: DiskSpace,
    pub(crate) writer: Writer,
    pub(crate) step_down: StepDown,
    pub(crate) peers: Arc<Peers>,
    pub(crate) shell: mpsc::Sender<Incoming>,
    pub(crate) server: Arc<OnceLock<Arc<dyn PeerServer>>>,
    pub(crate) gossip: Gossip,
    pub(crate) tasks: JoinSet<Result<(), ClusterError>>,
}

/// What the server keeps of a [`Cluster`]: cheap to clone, usable from every request.
#[derive(Clone)]
pub struct ClusterHandle {
    me: NodeId,
    cluster: ClusterId,
    wal: Wal,
    raft: Raft,
    applied: Arc<Applied>,
    builds: Arc<Builds>,
    serving: Arc<ServingTable>,
    states: Arc<States>,
    log_ends: LogEnds,
    standing: Arc<StandingCell>,
    space: DiskSpace,
    writer: Writer,
    step_down: StepDown,
    peers: Arc<Peers>,
    shell: mpsc::Sender<Incoming>,
}

/// What a node's disk and network have done since its start, for metrics.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// The write-ahead log.
    pub wal: WalStats,
    /// The flushes of states into their database.
    pub flushes: FlushFigures,
    /// What went between this node and its peers.
    pub traffic: Traffic,
}

/// Why no join token was made.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefused {
    /// It would live too short or too long.
    #[error("a join token is good for 1 second to {} hours", TOKEN_LIFE_MAX.as_secs() / 3600)]
    Life,
    /// Too many are out.
    #[error("{TOKENS_MAX} join tokens are out: wait until some are used or have expired")]
    TooMany,
    /// It could not be made.
    #[error("the token could not be made: {0}")]
    Make(String),
    /// It could not be written down.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl ClusterHandle {
    /// This node.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// The cluster.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// What the control log says.
    pub fn applied(&self) -> &Arc<Applied> {
        &self.applied
    }

    /// Which builds the members run.
    pub fn builds(&self) -> &Builds {
        &self.builds
    }

    /// What this node serves.
    pub fn serving(&self) -> &Arc<ServingTable> {
        &self.serving
    }

    /// The states of the shards that this node serves.
    pub fn states(&self) -> &Arc<States> {
        &self.states
    }

    /// Where the shard logs on this node's disk end.
    pub fn log_ends(&self) -> &LogEnds {
        &self.log_ends
    }

    /// How this node and the others are.
    pub fn standing(&self) -> &Arc<StandingCell> {
        &self.standing
    }

    /// The room on this node's disk.
    pub fn space(&self) -> &DiskSpace {
        &self.space
    }

    /// The members, to talk to.
    pub fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// What disk and network have done so far.
    pub fn figures(&self) -> Figures {
        Figures {
            wal: self.wal.stats(),
            flushes: self.states.flush_figures(),
            traffic: self.peers.net().traffic(),
        }
    }

    /// Who votes.
    pub fn voters(&self) -> Vec<NodeId> {
        self.raft.metrics().borrow().membership_config.membership().voter_ids().collect()
    }

    /// Writes to the control log; see [`Writer::write`].
    ///
    /// # Errors
    ///
    /// As [`Writer::write`].
    pub async fn write(&self, command: ControlCommand) -> Result<ControlReply, WriteError> {
        self.writer.write(command).await
    }

    /// Makes a join token that is good for `life`, in whole seconds. Only the digest of its secret is written down.
    ///
    /// # Errors
    ///
    /// Too many are out, or the control log cannot be written.
    pub async fn create_token(&self, by: Author, life: Duration) -> Result<JoinToken, TokenRefused> {
        let made = |error: &dyn std::fmt::Display| TokenRefused::Make(error.to_string());
        if life > TOKEN_LIFE_MAX || life < Duration::from_secs(1) {
            return Err(TokenRefused::Life);
        }
        let life_s = u32::try_from(life.as_secs()).unwrap_or(u32::MAX);
        let token = {
            let applied = self.applied.read();
            let state = applied.control.as_ref().ok_or_else(|| made(&"there is no cluster yet"))?;
            if state.tokens.len() >= TOKENS_MAX {
                return Err(TokenRefused::TooMany);
            }
            let pin = fingerprint_of_pem(state.ca_certificate()).map_err(|error| made(&error))?;
            JoinToken::for_authority(state.founding.cluster, pin).map_err(|error| made(&error))?
        };
        let command = ControlCommand::CreateToken { token: Digest(token.secret_hash()), life_s };
        self.writer.write(command.by(by)).await?.outcome.map_err(|refused| made(&refused))?;
        Ok(token)
    }

    /// What this node, if it leads, would plan now, or if something were so that is not.
    ///
    /// # Errors
    ///
    /// It does not lead, or what is to be supposed cannot be.
    pub async fn plan(&self, ask: PlanAsk) -> Result<Preview, PlanRefusal> {
        let (answer, answered) = oneshot::channel();
        // The shell is gone only when the node is ending.
        let _ = self.shell.send(Incoming::Plan(Box::new(ask), answer)).await;
        answered.await.unwrap_or(Err(PlanRefusal::NotLeader))
    }

    /// Has this node, if it leads, carry out a plan.
    ///
    /// # Errors
    ///
    /// It does not lead, does not know the plan, or the plan does not fit.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the plan may be carried out all the same.
    pub async fn order(&self, order: Order) -> Result<Ordered, PlanRefusal> {
        let (answer, answered) = oneshot::channel();
        let _ = self.shell.send(Incoming::Order(order, answer)).await;
        answered.await.unwrap_or(Err(PlanRefusal::NotLeader))
    }

    /// What this node sees that does not heal by itself.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn healing(&self) -> HealingReport {
        let (answer, answered) = oneshot::channel();
        // The shell is gone only when the node is ending.
        let _ = self.shell.send(Incoming::Healing(answer)).await;
        answered.await.unwrap_or_default()
    }

    /// Makes the leader give way; says who leads then.
    ///
    /// # Errors
    ///
    /// Nobody leads, or nobody else can.
    pub async fn step_down(&self) -> Result<NodeId, StepDownError> {
        let step_down = self.step_down.clone();
        let mut task = JoinSet::new();
        task.spawn(async move { step_down.step_down().await });
        match task.join_next().await {
            Some(Ok(result)) => result,
            _ => Err(StepDownError::NoLeader),
        }
    }
}

impl Cluster {
    /// What the server keeps.
    pub fn handle(&self) -> ClusterHandle {
        ClusterHandle {
            me: self.me,
            cluster: self.cluster,
            wal: self.wal.clone(),
            raft: self.raft.clone(),
            applied: self.applied.clone(),
            builds: self.builds.clone(),
            serving: self.serving.clone(),
            states: self.states.clone(),
            log_ends: self.log_ends.clone(),
            standing: self.standing.clone(),
            space: self.space.clone(),
            writer: self.writer.clone(),
            step_down: self.step_down.clone(),
            peers: self.peers.clone(),
            shell: self.shell.clone(),
        }
    }

    /// The data directory.
    pub fn dir(&self) -> &DataDir {
        &self.dir
    }

    /// From now on `server` answers what other nodes' servers ask. Only the first call counts.
    pub fn serve(&self, server: Arc<dyn PeerServer>) {
        let _ = self.server.set(server);
    }

    /// Completes when the node cannot go on. Where the write-ahead log has failed, or this build is too old, that is the reason, whoever noticed it first.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn failed(&mut self) -> ClusterError {
        let error = self.first_failure().await;
        if let Some(newer) = self.outdated.found() {
            return newer.into();
        }
        self.wal.failure().map_or(error, ClusterError::Wal)
    }

    async fn first_failure(&mut self) -> ClusterError {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(Ok(Ok(()))) => {}
                Some(Err(error)) => return ClusterError::Raft { reason: error.to_string() },
                None => std::future::pending().await,
            }
        }
    }

    /// Hands over everything that this node owns, and then the lead; what is not gone after `wait` is taken over when the lease runs out, and so is
    /// a lead that nobody takes within as long again.
    ///
    /// # Cancel safety
    ///
    /// What has been handed over stays so.
    pub async fn leave(&self, wait: Duration) {
        let deadline = Instant::now() + wait;
        if !self.has_successors() {
            return;
        }
        // The shell is gone only when the node has failed. The core says it again to each new leader.
        let _ = self.shell.send(Incoming::Leave).await;
        let mut changed = self.serving.changed();
        while self.owns_something() {
            if tokio::time::timeout_at(deadline, changed.changed()).await.is_err() {
                tracing::info!(
                    "some shards were not handed over in time; they are taken over when the lease runs out"
                );
                break;
            }
        }
        let leads = self.standing.read().leader.is_some_and(|(leader, _)| leader == self.me);
        if !leads {
            return;
        }
        match tokio::time::timeout(wait, self.step_down.step_down()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::info!(%error, "the lead was not handed over"),
            Err(_) => tracing::info!("nobody took the lead in time"),
        }
    }

    fn has_successors(&self) -> bool {
        let silent = self.standing.read().silent;
        let applied = self.applied.read();
        let members = applied.control.iter().flat_map(|state| state.members.keys());
        members.into_iter().any(|node| *node != self.me && !silent.contains(node))
    }

    fn owns_something(&self) -> bool {
        let applied = self.applied.read();
        let Some(state) = &applied.control else { return false };
        let map = state.shards.committed();
        map.owned(self.me) > 0 || (0..map.shard_count()).any(|s| self.serving.serving(ShardId(s)).is_some())
    }

    /// Ends everything in order: no call is answered any more, what was written is on the disk.
    pub async fn close(mut self) {
        self.tasks.shutdown().await;
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "the control group did not end in order");
        }
        self.gossip.close().await;
        self.peers.net().close().await;
        let wal = self.wal.clone();
        let closed = tokio::task::spawn_blocking(move || wal.close()).await;
        if let Ok(Err(error)) = closed {
            tracing::warn!(%error, "the write-ahead log did not end in order");
        }
    }
}
