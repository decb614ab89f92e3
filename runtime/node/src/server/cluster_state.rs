//! The replicated state of a shard behind [`ShardState`].

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use shardloom_cluster::state::{FrozenState, NotWritten as NotWrittenHere, ScanLimit, ServedState};
use shardloom_host::StateError;
use shardloom_protocol::batch::WriteBatch;
use shardloom_protocol::shard_file::StateRow;
use shardloom_sharding::ids::{Position, Tail};
use tokio::sync::watch;

use super::state::{FrozenShard, NotWritten, ShardState};

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

    fn bytes_of_all(&self) -> u64 {
        self.served.bytes_of_all()
    }

    fn write<'a>(&'a self, batch: &'a WriteBatch) -> BoxFuture<'a, Result<Position, NotWritten>> {
        self.served.write(batch).map(|written| written.map_err(not_written)).boxed()
    }

    fn write_after<'a>(
        &'a self,
        batch: &'a WriteBatch,
        last: Position,
    ) -> BoxFuture<'a, Result<Position, NotWritten>> {
        self.served.write_after(batch, last).map(|written| written.map_err(not_written)).boxed()
    }

    fn freeze(&self) -> BoxFuture<'_, Result<Arc<dyn FrozenShard>, StateError>> {
        async move {
            let frozen = self.served.freeze().await.map_err(|error| StateError::new(error.to_string()))?;
            Ok(Arc::new(Frozen(frozen)) as Arc<dyn FrozenShard>)
        }
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

fn not_written(error: NotWrittenHere) -> NotWritten {
    match error {
        NotWrittenHere::NotServed => NotWritten::NotServed,
        NotWrittenHere::Overtaken => NotWritten::Overtaken,
        NotWrittenHere::TooLarge { .. } => NotWritten::TooLarge(error.to_string()),
        NotWrittenHere::DiskFull { full_for } => NotWritten::DiskFull { full_for },
        NotWrittenHere::State(error) => NotWritten::State(error.to_string()),
    }
}

/// The state of a shard at one position.
struct Frozen(FrozenState);

impl FrozenShard for Frozen {
    fn tail(&self) -> Tail {
        self.0.tail()
    }

    fn read(&self, start: Bytes, bytes: usize) -> BoxFuture<'_, Result<Vec<StateRow>, StateError>> {
        async move {
            let rows = self.0.read(start, ScanLimit { rows: usize::MAX, bytes }).await;
            let rows = rows.map_err(|error| StateError::new(error.to_string()))?;
            Ok(rows.into_iter().map(|(key, value)| StateRow { key, value }).collect())
        }
        .boxed()
    }
}
