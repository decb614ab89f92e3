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

use crate::builds::{self, Builds};
use crate::control::{ControlCommand, ControlReply};
use crate::formats::Level;
use crate::peers::Peers;
use crate::raft::{Applied, Raft};

/// How long a write may take, elections included.
pub const WRITE_WAIT: Duration = Duration::from_secs(10);
/// How long to wait before asking again who leads.
const LEADER_POLL: Duration = Duration::from_millis(50);

/// Why a command was not written. Encoded by position: new ones are only ever added at the end, and never sent to who may not know them.
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
    /// The cluster is not at the level of formats yet that the command needs: nothing was written.
    #[error(
        "this needs formats {needs}, and the cluster is at {active} until every node has proven that its build reads more{}: \
         upgrade all nodes, and try again a moment later",
        waiting_for(held_back_by)
    )]
    LevelAhead {
        /// What it needs.
        needs: Level,
        /// Where the cluster is.
        active: Level,
        /// Which nodes it waits for, for people.
        held_back_by: String,
    },
}

fn waiting_for(held_back_by: &str) -> String {
    if held_back_by.is_empty() { String::new() } else { format!(" ({held_back_by})") }
}

/// Writes commands.
#[derive(Clone)]
pub struct Writer {
    raft: Raft,
    peers: Arc<Peers>,
    applied: Arc<Applied>,
    builds: Arc<Builds>,
}

impl Writer {
    /// Writes through `raft` or, over `peers`, through the leader. What the cluster is not ready for is refused, by what `builds` tells.
    pub fn new(raft: Raft, peers: Arc<Peers>, applied: Arc<Applied>, builds: Arc<Builds>) -> Writer {
        Writer { raft, peers, applied, builds }
    }

    /// The leader as far as this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.raft.metrics().borrow().current_leader
    }

    /// Writes a command and waits until it is applied here, so that this node's view shows it.
    ///
    /// # Errors
    ///
    /// [`WriteError::NoLeader`], [`WriteError::LevelAhead`]: nothing was written. [`WriteError::Unknown`]: nobody knows.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the end, the command may or may not be written.
    pub async fn write(&self, command: ControlCommand) -> Result<ControlReply, WriteError> {
        let deadline = Instant::now() + WRITE_WAIT;
        // Before the leader sees it: an older build could not read it.
        self.check_level(&command).await?;
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
                Err(error @ (WriteError::Unknown(_) | WriteError::LevelAhead { .. })) => return Err(error),
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
        self.check_level(&command).await?;
        match self.raft.client_write(dated(command)).await {
            Ok(response) => Ok(response.data),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                Err(WriteError::NotLeader { leader: forward.leader_id })
            }
            Err(error) => Err(WriteError::Unknown(error.to_string())),
        }
    }

    /// Refuses what not every node can read yet. What is applied here may be old, but the level only rises.
    async fn check_level(&self, command: &ControlCommand) -> Result<(), WriteError> {
        let (needs, active) = (command.level(), self.applied.read().level());
        if needs <= active {
            return Ok(());
        }
        let held_back_by = builds::held_back_by(&self.builds.of_all().await, needs).join(", ");
        Err(WriteError::LevelAhead { needs, active, held_back_by })
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
