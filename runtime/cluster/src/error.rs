//! Why a node cannot start, or cannot go on.

use std::net::SocketAddr;
use std::path::PathBuf;

use shardloom_sharding::ids::{ClusterId, NodeId};
use shardloom_store::{DataDirError, DbError, EXIT_DAMAGED, EXIT_NEWER_BUILD, WalError};
use shardloom_transport::{IdentityError, TokenError, TransportError};

use crate::formats::{MarkError, NewerBuild};
use crate::raft::SnapshotError;

/// Why a node cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The write-ahead log cannot be used.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// A shard log cannot be read.
    #[error(transparent)]
    ShardLog(#[from] crate::log_entries::ShardLogError),
    /// The state of a shard cannot be used.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// A database cannot be used.
    #[error(transparent)]
    Db(#[from] DbError),
    /// This build is too old for its data, or for the cluster.
    #[error(transparent)]
    Newer(#[from] NewerBuild),
    /// The level of formats of the data directory cannot be read or written.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// The snapshot of the control state cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The peer port cannot be opened, or TLS refuses.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The join token is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The identity in `gossip.db` cannot be read.
    #[error("the identity in {} cannot be read: {reason}", path.display())]
    IdentityRecord {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The identity and the logs do not belong together.
    #[error(
        "{} was made on another disk than the node's logs: parts of the data directory were replaced. Move the directory away \
         and join as a new node with a fresh token", path.display()
    )]
    MixedDataDir {
        /// The database with the identity.
        path: PathBuf,
    },
    /// The logs are gone, and nobody else can say what they held.
    #[error(
        "the write-ahead log of this node is gone or damaged, and {why}. If the directory wal/ was moved, or put aside as wal.damaged-N, and is whole, \
         put it back; otherwise what only this node knew is lost: make a new cluster"
    )]
    LogsLost {
        /// Why the cluster cannot make up for it.
        why: String,
    },
    /// Neither a member nor told what to do.
    #[error(
        "this data directory belongs to no cluster yet: start with --bootstrap to make one, or with --join ADDR --token TOKEN"
    )]
    Nowhere,
    /// The token is for another cluster than the data directory's.
    #[error(
        "this data directory belongs to cluster {ours}, the token is for cluster {theirs}: use another data directory, or leave \
         out --join to start the node where it belongs"
    )]
    OtherCluster {
        /// The directory's.
        ours: ClusterId,
        /// The token's.
        theirs: ClusterId,
    },
    /// Joining was refused for good.
    #[error("the cluster refuses this node: {reason}")]
    JoinRefused {
        /// In the leader's words.
        reason: String,
    },
    /// Another process lives under the same identity.
    #[error(
        "a node with id {node} is alive at another address: this data directory is a copy of its. Give this node a data directory \
         of its own and join with a fresh token"
    )]
    DuplicateNode {
        /// The identity.
        node: NodeId,
    },
    /// The node was removed from the cluster.
    #[error(
        "node {node} was removed from the cluster: move its data directory away and join with a fresh token"
    )]
    Removed {
        /// The identity.
        node: NodeId,
    },
    /// Gossip cannot start.
    #[error("cannot gossip on {listen}: {reason}")]
    Gossip {
        /// Its UDP port.
        listen: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// openraft refuses its configuration, or has stopped.
    #[error("the control group has failed: {reason}")]
    Raft {
        /// In its words.
        reason: String,
    },
    /// No random numbers.
    #[error("the system has no random numbers: {0}")]
    Random(String),
}

impl ClusterError {
    /// The code that the process should end with.
    pub fn exit_code(&self) -> u8 {
        match self {
            ClusterError::Wal(error) => error.exit_code(),
            ClusterError::State(error) => error.exit_code(),
            ClusterError::Db(error) => error.exit_code(),
            ClusterError::DataDir(error) => error.exit_code(),
            ClusterError::Newer(_)
            | ClusterError::Mark(MarkError::Newer(_))
            | ClusterError::Snapshot(SnapshotError::Newer(_)) => EXIT_NEWER_BUILD,
            ClusterError::Mark(MarkError::Disk(error)) => error.exit_code(),
            ClusterError::LogsLost { .. }
            | ClusterError::MixedDataDir { .. }
            | ClusterError::Mark(MarkError::Damaged { .. }) => EXIT_DAMAGED,
            _ => 1,
        }
    }
}
