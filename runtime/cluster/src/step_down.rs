//! Handing the lead over. openraft 0.9 has no transfer, so the leader falls silent and the chosen successor calls the election.
//!
//! Followers grant no vote for an election timeout after the last heartbeat; a leader that goes on sending could not be voted out. Leases outlast
//! this, so that shards go on being served meanwhile.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::ServerState;
use serde::{Deserialize, Serialize};
use shardloom_protocol::envelope::{self, EnvelopeError, Kind};
use shardloom_sharding::ids::NodeId;
use tokio::time::Instant;

use crate::franchise::Franchise;
use crate::peers::Peers;
use crate::raft::{Raft, RaftMetrics, RaftTiming};
use crate::standing::StandingCell;

/// How long the whole may take before the old leader goes on.
const STEP_DOWN_WAIT: Duration = Duration::from_secs(5);
/// Between two looks at who leads.
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    /// To the leader: give way.
    StepDown,
    /// To the successor: call an election as soon as the others may grant it.
    Succeed,
}

/// Why the lead was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StepDownError {
    /// Nobody leads, or not this node any more.
    #[error("the cluster has no leader now")]
    NoLeader,
    /// There is no other voter that could lead.
    #[error("there is no other live voter that could lead")]
    NoSuccessor,
    /// The successor was not elected in time; the old leader goes on.
    #[error("node {0} was not elected in time; the old leader goes on if it still can")]
    NotElected(NodeId),
}

/// Hands the lead over.
#[derive(Clone)]
pub struct StepDown {
    me: NodeId,
    raft: Raft,
    peers: Arc<Peers>,
    standing: Arc<StandingCell>,
    timing: RaftTiming,
    franchise: Arc<Franchise>,
}

impl StepDown {
    /// For the control group of `raft`.
    pub fn new(
        me: NodeId,
        raft: Raft,
        peers: Arc<Peers>,
        standing: Arc<StandingCell>,
        timing: RaftTiming,
        franchise: Arc<Franchise>,
    ) -> StepDown {
        StepDown { me, raft, peers, standing, timing, franchise }
    }

    /// Makes whoever leads give way; says who leads then.
    ///
    /// # Errors
    ///
    /// Nobody leads, or nobody else can.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the end, this node may stay silent for five seconds although it leads: call it from a task of its own.
    pub async fn step_down(&self) -> Result<NodeId, StepDownError> {
        let leader = self.metrics().current_leader.ok_or(StepDownError::NoLeader)?;
        if leader == self.me {
            return self.give_way().await;
        }
        let body = envelope::encode(Kind::StepDown, &Ask::StepDown).map_err(|_| StepDownError::NoLeader)?;
        let answer = self.peers.request_control(leader, body, STEP_DOWN_WAIT * 2).await;
        let answer = answer.map_err(|_| StepDownError::NoLeader)?;
        envelope::decode::<Result<NodeId, StepDownError>>(Kind::StepDownReply, &answer)
            .unwrap_or(Err(StepDownError::NoLeader))
    }

    /// Answers a peer.
    ///
    /// # Errors
    ///
    /// The bytes are no such request.
    pub async fn answer(&self, body: &Bytes) -> Result<Bytes, EnvelopeError> {
        let result = match envelope::decode(Kind::StepDown, body)? {
            Ask::StepDown if self.metrics().state == ServerState::Leader => self.give_way().await,
            Ask::StepDown => Err(StepDownError::NoLeader),
            // openraft stands when it is told to, whatever its own settings say.
            Ask::Succeed if !self.franchise.is_held() => Err(StepDownError::NotElected(self.me)),
            Ask::Succeed => self.succeed().await,
        };
        envelope::encode(Kind::StepDownReply, &result)
    }

    async fn give_way(&self) -> Result<NodeId, StepDownError> {
        let metrics = self.metrics();
        let successor = self.successor(&metrics).ok_or(StepDownError::NoSuccessor)?;
        tracing::info!(%successor, "giving way");
        self.raft.runtime_config().elect(false);
        self.raft.runtime_config().heartbeat(false);
        let result = self.hand_over(successor, metrics.current_term).await;
        self.raft.runtime_config().heartbeat(true);
        self.raft.runtime_config().elect(true);
        result
    }

    async fn hand_over(&self, successor: NodeId, term: u64) -> Result<NodeId, StepDownError> {
        let body = envelope::encode(Kind::StepDown, &Ask::Succeed).map_err(|_| StepDownError::NoSuccessor)?;
        // Its answer comes when it has called the election; what counts is who leads.
        let asked = self.peers.request_control(successor, body, STEP_DOWN_WAIT);
        let seen = self.wait_for_leader(term);
        let (_, leader) = tokio::join!(asked, seen);
        leader.ok_or(StepDownError::NotElected(successor))
    }

    /// The successor's side: calls an election again and again until somebody is elected.
    async fn succeed(&self) -> Result<NodeId, StepDownError> {
        let term = self.metrics().current_term;
        let deadline = Instant::now() + STEP_DOWN_WAIT;
        let lease = Duration::from_millis(self.timing.election_max_ms);
        let mut next = Instant::now() + lease + POLL;
        while Instant::now() < deadline {
            tokio::time::sleep_until(next.min(deadline)).await;
            if let Some(leader) = self.elected_after(term) {
                return Ok(leader);
            }
            if self.raft.trigger().elect().await.is_err() {
                break;
            }
            next = Instant::now() + Duration::from_millis(self.timing.heartbeat_ms);
        }
        self.elected_after(term).ok_or(StepDownError::NotElected(self.me))
    }

    async fn wait_for_leader(&self, term: u64) -> Option<NodeId> {
        let deadline = Instant::now() + STEP_DOWN_WAIT;
        while Instant::now() < deadline {
            if let Some(leader) = self.elected_after(term).filter(|leader| *leader != self.me) {
                return Some(leader);
            }
            tokio::time::sleep(POLL).await;
        }
        None
    }

    fn elected_after(&self, term: u64) -> Option<NodeId> {
        let metrics = self.metrics();
        if metrics.current_term > term { metrics.current_leader } else { None }
    }

    /// The voter with the longest log among those that are alive.
    fn successor(&self, metrics: &RaftMetrics) -> Option<NodeId> {
        let silent = self.standing.read().silent;
        let voters = metrics.membership_config.membership().voter_ids();
        let matched = |node: &NodeId| {
            metrics.replication.as_ref().and_then(|r| r.get(node).copied().flatten()).map(|id| id.index)
        };
        voters.filter(|node| *node != self.me && !silent.contains(node)).max_by_key(matched)
    }

    fn metrics(&self) -> RaftMetrics {
        self.raft.metrics().borrow().clone()
    }
}
