//! openraft's calls to the other members of the control group, over the peer streams.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{EmptyNode, Snapshot, SnapshotMeta, Vote};
use serde::{Deserialize, Serialize};
use shardloom_protocol::envelope::{self, EnvelopeError, Kind};
use shardloom_sharding::ids::NodeId;

use super::config::{Raft, TypeConfig};
use super::heartbeats::HeartbeatLedger;
use super::log_store::level_of;
use crate::clock;
use crate::formats::{LEVEL, NewerBuild, Outdated};
use crate::franchise::Franchise;
use crate::peers::{PeerError, Peers};

/// A call of one member of the control group to another.
#[derive(Debug, Serialize, Deserialize)]
pub enum RaftRpc {
    /// Entries, or none: a heartbeat.
    Append(AppendEntriesRequest<TypeConfig>),
    /// A candidate asks for a vote.
    Vote(VoteRequest<NodeId>),
    /// The whole state.
    Snapshot {
        /// The leader's vote.
        vote: Vote<NodeId>,
        /// What the snapshot covers.
        meta: SnapshotMeta<NodeId, EmptyNode>,
        /// The encoded state.
        data: Vec<u8>,
    },
}

/// The answer to a [`RaftRpc`]; the text says why the called member could not answer at all.
type RaftAnswer<T> = Result<T, String>;

/// Answers a call of another member.
///
/// # Errors
///
/// The bytes are no such call. That they are of a newer build is told to `outdated`.
///
/// # Cancel safety
///
/// Dropped before the end, the call may or may not have taken effect: Raft's calls may be lost and repeated.
pub async fn answer(
    raft: &Raft,
    franchise: &Franchise,
    outdated: &Outdated,
    body: &Bytes,
) -> Result<Bytes, EnvelopeError> {
    let rpc = readable(envelope::decode(Kind::Raft, body)).inspect_err(|unreadable| {
        // Members are who they say they are, and bytes arrive as they were sent: what does not decode is of a build that writes more than this one knows.
        if let Unreadable::Newer(newer) = unreadable {
            outdated.note(newer.clone());
        }
    });
    match rpc {
        Err(Unreadable::Newer(newer)) => reply(Err::<(), NewerBuild>(newer)),
        Err(Unreadable::Other(error)) => Err(error),
        Ok(RaftRpc::Vote(_)) if !franchise.is_held() => {
            reply(Err::<VoteResponse<NodeId>, _>("it was taken anew, and has no vote yet"))
        }
        Ok(rpc) => serve(raft, rpc).await,
    }
}

enum Unreadable {
    Newer(NewerBuild),
    Other(EnvelopeError),
}

/// Tells what is of a newer build from what is no message at all.
fn readable(rpc: Result<RaftRpc, EnvelopeError>) -> Result<RaftRpc, Unreadable> {
    let newer = |level| Unreadable::Newer(NewerBuild { what: "what the control group sends", level });
    match rpc {
        Err(EnvelopeError::Body { .. }) => Err(newer(None)),
        Err(error) => Err(Unreadable::Other(error)),
        Ok(RaftRpc::Append(append)) => match append.entries.iter().map(level_of).max() {
            Some(level) if level > LEVEL => Err(newer(Some(level))),
            _ => Ok(RaftRpc::Append(append)),
        },
        Ok(rpc) => Ok(rpc),
    }
}

async fn serve(raft: &Raft, rpc: RaftRpc) -> Result<Bytes, EnvelopeError> {
    match rpc {
        RaftRpc::Append(rpc) => reply(raft.append_entries(rpc).await),
        RaftRpc::Vote(rpc) => reply(raft.vote(rpc).await),
        RaftRpc::Snapshot { vote, meta, data } => {
            let snapshot = Snapshot { meta, snapshot: Box::new(data) };
            reply(raft.install_full_snapshot(vote, snapshot).await)
        }
    }
}

fn reply<T: Serialize, E: std::fmt::Display>(result: Result<T, E>) -> Result<Bytes, EnvelopeError> {
    envelope::encode(Kind::RaftReply, &result.map_err(|error| error.to_string()))
}

/// Makes a line to each member of the control group.
#[derive(Clone, Debug)]
pub struct Network {
    peers: Arc<Peers>,
    ledger: Arc<HeartbeatLedger>,
}

impl Network {
    /// Calls go through `peers`; acknowledged heartbeats are noted in `ledger`.
    pub fn new(peers: Arc<Peers>, ledger: Arc<HeartbeatLedger>) -> Network {
        Network { peers, ledger }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Line;

    async fn new_client(&mut self, target: NodeId, _node: &EmptyNode) -> Line {
        Line { target, peers: self.peers.clone(), ledger: self.ledger.clone() }
    }
}

/// The line to one member.
#[derive(Debug)]
pub struct Line {
    target: NodeId,
    peers: Arc<Peers>,
    ledger: Arc<HeartbeatLedger>,
}

/// Milliseconds between two tries to reach a member that is out of reach: short, since a lost heartbeat delays a lease.
const RETRY_MS: u64 = 100;

type CallError = RPCError<NodeId, EmptyNode, RaftError<NodeId>>;

impl Line {
    async fn call<T: for<'de> Deserialize<'de>>(
        &self,
        rpc: &RaftRpc,
        bulk: bool,
        deadline: Duration,
    ) -> Result<T, CallError> {
        let unreachable = |error: &PeerError| RPCError::Unreachable(Unreachable::new(error));
        let body = envelope::encode(Kind::Raft, rpc)
            .map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        let reply = if bulk {
            self.peers.fetch_bulk(self.target, body, deadline).await
        } else {
            self.peers.request_control(self.target, body, deadline).await
        };
        let reply = reply.map_err(|error| unreachable(&error))?;
        let answer: RaftAnswer<T> = envelope::decode(Kind::RaftReply, &reply)
            .map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        answer.map_err(|text| RPCError::Network(NetworkError::new(&std::io::Error::other(text))))
    }
}

impl RaftNetwork<TypeConfig> for Line {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, CallError> {
        let term = rpc.vote.leader_id().term;
        let sent = clock::now();
        let response: AppendEntriesResponse<NodeId> =
            self.call(&RaftRpc::Append(rpc), false, option.hard_ttl()).await?;
        if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
            self.ledger.acknowledge(self.target, term, sent);
        }
        Ok(response)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<NodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, CallError> {
        self.call(&RaftRpc::Vote(rpc), false, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<NodeId>,
        snapshot: Snapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<TypeConfig, Fatal<NodeId>>> {
        let rpc = RaftRpc::Snapshot { vote, meta: snapshot.meta, data: *snapshot.snapshot };
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.call(&rpc, true, option.hard_ttl()) => sent.map_err(|error| match error {
                RPCError::Unreachable(error) => StreamingError::Unreachable(error),
                error => StreamingError::Network(NetworkError::new(&error)),
            }),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(Duration::from_millis(RETRY_MS)))
    }
}

#[cfg(test)]
mod tests {
    use openraft::{CommittedLeaderId, EntryPayload};

    use super::*;
    use crate::control::ControlCommand;
    use crate::formats::Level;
    use crate::raft::config::{Entry, LogId};

    #[test]
    fn entries_that_only_a_newer_build_reads_are_told_from_what_is_no_message() {
        let append = |level| {
            let raise = ControlCommand::RaiseLevel { level, proven: Vec::new() };
            let log_id = LogId::new(CommittedLeaderId::new(1, NodeId(1)), 7);
            let entries = vec![Entry { log_id, payload: EntryPayload::Normal(raise) }];
            let vote = Vote::new_committed(1, NodeId(1));
            let rpc = AppendEntriesRequest { vote, prev_log_id: None, entries, leader_commit: None };
            envelope::encode(Kind::Raft, &RaftRpc::Append(rpc)).unwrap()
        };
        let found = |bytes: &[u8]| match readable(envelope::decode(Kind::Raft, bytes)) {
            Ok(_) => "readable",
            Err(Unreadable::Newer(NewerBuild { level: Some(_), .. })) => "newer",
            Err(Unreadable::Newer(NewerBuild { level: None, .. })) => "not known",
            Err(Unreadable::Other(_)) => "no message",
        };
        assert_eq!(found(&append(LEVEL)), "readable");
        assert_eq!(found(&append(Level(LEVEL.0 + 1))), "newer");
        assert_eq!(found(b"SL\x01\x01\x63"), "not known");
        assert_eq!(found(b"GET / HTTP/1.1"), "no message");
    }
}
