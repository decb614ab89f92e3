//! Writing to the control log through any node: here if this node leads, else through the leader.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use openraft::error::{ClientWriteError, RaftError};
use serde::{Deserialize, Serialize};
use shardloom_protocol::envelope::{self, Kind};
use shardloom_sharding::ids::NodeId;
use shardloom_transport::Delivery;
use tokio::time::Instant;

use crate::control::{ControlCommand, ControlReply};
use crate::peers::Peers;
use crate::raft::{Applied, Raft};

/// How long a write may take, elections included.
pub const WRITE_WAIT: Duration = Duration::from_secs(10);
/// How long to wait before asking again who leads.
const LEADER_POLL: Duration = Duration::from_millis(50);

/// Why a command was not written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum WriteError {
    /// Nobody leads: nothing was written.
    #[error("the cluster has no leader now: less than a majority of its voters can be reached")]
    NoLeader,
    /// This node does not lead; that one may.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, as far as it knows.
        leader: Option<NodeId>,
    },
    /// It may or may not be written.
    #[error("the command may or may not have been written: {0}")]
    Unknown(String),
}

/// Writes commands.
#[derive(Clone)]
pub struct Writer {
    raft: Raft,
    peers: Arc<Peers>,
    applied: Arc<Applied>,
}

impl Writer {
    /// Writes through `raft` or, over `peers`, through the leader.
    pub fn new(raft: Raft, peers: Arc<Peers>, applied: Arc<Applied>) -> Writer {
        Writer { raft, peers, applied }
    }

    /// The leader as far as this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.raft.metrics().borrow().current_leader
    }

    /// Writes a command and waits until it is applied here, so that this node's view shows it.
    ///
    /// # Errors
    ///
    /// [`WriteError::NoLeader`]: nothing was written. [`WriteError::Unknown`]: nobody knows.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the end, the command may or may not be written.
    pub async fn write(&self, command: ControlCommand) -> Result<ControlReply, WriteError> {
        let deadline = Instant::now() + WRITE_WAIT;
        loop {
            let result = match self.leader() {
                Some(leader) if leader == self.peers.me() => self.write_here(command.clone()).await,
                Some(leader) => self.write_through(leader, &command, deadline).await,
                None => Err(WriteError::NoLeader),
            };
            match result {
                Ok(reply) => {
                    self.wait_applied(reply.index, deadline).await?;
                    return Ok(reply);
                }
                Err(WriteError::Unknown(reason)) => return Err(WriteError::Unknown(reason)),
                Err(_) if Instant::now() >= deadline => return Err(WriteError::NoLeader),
                Err(_) => tokio::time::sleep(LEADER_POLL).await,
            }
        }
    }

    /// Writes a command if this node leads. What is audited is given the time of this node's wall clock.
    ///
    /// # Errors
    ///
    /// As [`Writer::write`]; [`WriteError::NotLeader`] if another node leads.
    pub async fn write_here(&self, command: ControlCommand) -> Result<ControlReply, WriteError> {
        match self.raft.client_write(dated(command)).await {
            Ok(response) => Ok(response.data),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                Err(WriteError::NotLeader { leader: forward.leader_id })
            }
            Err(error) => Err(WriteError::Unknown(error.to_string())),
        }
    }

    async fn write_through(
        &self,
        leader: NodeId,
        command: &ControlCommand,
        deadline: Instant,
    ) -> Result<ControlReply, WriteError> {
        let unknown = |error: &dyn std::fmt::Display| WriteError::Unknown(error.to_string());
        let body = envelope::encode(Kind::Write, command).map_err(|error| unknown(&error))?;
        let left = deadline.saturating_duration_since(Instant::now());
        let reply = match self.peers.request_control(leader, body, left).await {
            Ok(reply) => reply,
            Err(error) if error.delivery() == Delivery::NotSent => return Err(WriteError::NoLeader),
            Err(error) => return Err(unknown(&error)),
        };
        envelope::decode::<Result<ControlReply, WriteError>>(Kind::WriteReply, &reply)
            .map_err(|error| unknown(&error))?
    }

    /// Answers a command that another node sent because it thinks that this one leads.
    ///
    /// # Errors
    ///
    /// The bytes are no command.
    pub async fn answer(&self, body: &Bytes) -> Result<Bytes, envelope::EnvelopeError> {
        let command = envelope::decode(Kind::Write, body)?;
        envelope::encode(Kind::WriteReply, &self.write_here(command).await)
    }

    async fn wait_applied(&self, index: u64, deadline: Instant) -> Result<(), WriteError> {
        let mut applied = self.applied.index();
        let reached = tokio::time::timeout_at(deadline, applied.wait_for(|now| *now >= index)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            _ => Err(WriteError::Unknown(format!("it is written at {index}, but not applied here yet"))),
        }
    }
}

/// The command with the time of this node's wall clock, where it is audited. For the leader.
pub(crate) fn dated(mut command: ControlCommand) -> ControlCommand {
    if let ControlCommand::Audited(audited) = &mut command {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        audited.at_unix_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
    }
    command
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("leader", &self.leader()).finish_non_exhaustive()
    }
}
