//! The replicated state of a shard behind [`ShardState`].

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use shardloom_cluster::state::{NotWritten as NotWrittenHere, ScanLimit, ServedState};
use shardloom_host::StateError;
use shardloom_protocol::batch::WriteBatch;
use shardloom_sharding::ids::Position;
use tokio::sync::watch;

use super::state::{NotWritten, ShardState};

/// The state of one shard that this node serves.
pub(super) struct ClusterState {
    served: Arc<ServedState>,
}

impl ClusterState {
    /// Over what the cluster keeps.
    pub(super) fn new(served: Arc<ServedState>) -> ClusterState {
        ClusterState { served }
    }
}

impl ShardState for ClusterState {
    fn get(&self, workload: &str, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.served.get(workload, key).map_err(|error| StateError::new(error.to_string()))
    }

    fn scan(
        &self,
        workload: &str,
        start: &[u8],
        end: Option<&[u8]>,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        let found = self.served.scan(workload, start, end, ScanLimit { rows, bytes });
        found.map_err(|error| StateError::new(error.to_string()))
    }

    fn bytes(&self, workload: &str) -> u64 {
        self.served.bytes(workload)
    }

    fn write<'a>(&'a self, batch: &'a WriteBatch) -> BoxFuture<'a, Result<Position, NotWritten>> {
        let written = self.served.write(batch);
        written
            .map(|result| {
                result.map_err(|error| match error {
                    NotWrittenHere::NotServed => NotWritten::NotServed,
                    NotWrittenHere::TooLarge { .. } => NotWritten::TooLarge(error.to_string()),
                    NotWrittenHere::DiskFull { full_for } => NotWritten::DiskFull { full_for },
                    NotWrittenHere::State(error) => NotWritten::State(error.to_string()),
                })
            })
            .boxed()
    }

    fn last(&self) -> Position {
        self.served.last()
    }

    fn committed(&self) -> watch::Receiver<Position> {
        self.served.committed()
    }

    fn reply_of(&self, request: u128) -> Option<(Position, Bytes)> {
        self.served.reply_of(request)
    }
}
