//! What calls ask of a shard's state: the seam between the shard tasks and the cluster's replicated logs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use shardloom_host::{StateError, StateView};
use shardloom_protocol::batch::WriteBatch;
use shardloom_protocol::shard_file::StateRow;
use shardloom_sharding::ids::{Position, Tail};
use tokio::sync::watch;

/// The state of one shard, under the one epoch that it was opened for. Calls of one workload must not overlap.
pub trait ShardState: Send + Sync + 'static {
    /// The value of a key of a workload, uncommitted writes of this epoch included.
    ///
    /// # Errors
    /// The state cannot be read, or is not served any more.
    fn get(&self, workload: &str, key: &[u8]) -> Result<Option<Bytes>, StateError>;

    /// Rows in order from `start` and before `end`: at most `rows`, ending with the one that brings keys and values to `bytes`.
    ///
    /// # Errors
    /// As [`ShardState::get`].
    fn scan(
        &self,
        workload: &str,
        start: &[u8],
        end: Option<&[u8]>,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError>;

    /// Bytes of keys and values that the workload keeps on the shard.
    fn bytes(&self, workload: &str) -> u64;

    /// As [`ShardState::bytes`], of all workloads together.
    fn bytes_of_all(&self) -> u64;

    /// Puts a call's writes into the shard's log and says where they stand. Later reads see them at once; they are safe when
    /// [`ShardState::committed`] reaches the position.
    ///
    /// # Errors
    /// Nothing was written.
    fn write<'a>(&'a self, batch: &'a WriteBatch) -> BoxFuture<'a, Result<Position, NotWritten>>;

    /// As [`ShardState::write`], but only if nothing was written since [`ShardState::last`] was this.
    ///
    /// # Errors
    /// Nothing was written; [`NotWritten::Overtaken`] if something else was.
    fn write_after<'a>(
        &'a self,
        batch: &'a WriteBatch,
        last: Position,
    ) -> BoxFuture<'a, Result<Position, NotWritten>>;

    /// The state of all workloads as it is now; it stays so while calls go on, for as long as it is kept.
    ///
    /// # Errors
    /// As [`ShardState::get`].
    fn freeze(&self) -> BoxFuture<'_, Result<Arc<dyn FrozenShard>, StateError>>;

    /// Where the newest write of this epoch stands: what a read has seen is committed once this is.
    fn last(&self) -> Position;

    /// Up to where the log is committed; closed when the shard is not served any more under the epoch.
    fn committed(&self) -> watch::Receiver<Position>;

    /// The reply of a recent call that wrote something, and where its writes stand; empty if it was too large to be kept.
    fn reply_of(&self, request: u128) -> Option<(Position, Bytes)>;
}

/// A shard's state at one position of its log.
pub trait FrozenShard: Send + Sync + 'static {
    /// The last entry that it holds; it counts for others only once that is committed.
    fn tail(&self) -> Tail;

    /// Rows of all workloads from this key on, in order, ending with the one that brings them to so many bytes.
    ///
    /// # Errors
    /// The state cannot be read.
    fn read(&self, start: Bytes, bytes: usize) -> BoxFuture<'_, Result<Vec<StateRow>, StateError>>;
}

/// Why a call's writes did not reach the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// The shard is not served any more under the epoch.
    #[error("the shard is not served any more under this epoch")]
    NotServed,
    /// Something else was written meanwhile, which they were not to follow.
    #[error("something else was written meanwhile")]
    Overtaken,
    /// They are over a limit.
    #[error("{0}")]
    TooLarge(String),
    /// The disk of this node is full.
    #[error("the disk of the shard's owner is full: make room there")]
    DiskFull {
        /// For how long.
        full_for: Duration,
    },
    /// The state cannot be read.
    #[error("{0}")]
    State(String),
}

/// A workload's part of a shard's state, as a guest sees it.
pub struct WorkloadState {
    shard: Arc<dyn ShardState>,
    workload: Arc<str>,
}

impl WorkloadState {
    /// The part of `workload`.
    pub fn new(shard: Arc<dyn ShardState>, workload: Arc<str>) -> WorkloadState {
        WorkloadState { shard, workload }
    }
}

impl StateView for WorkloadState {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.shard.get(&self.workload, key)
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        self.shard.scan(&self.workload, start, end, rows, bytes)
    }

    fn bytes(&self) -> u64 {
        self.shard.bytes(&self.workload)
    }
}
