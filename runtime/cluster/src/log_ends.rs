//! Where the shard logs on this disk end, for who has to decide about a repair.

use std::sync::Arc;

use shardloom_sharding::ids::{DiskId, Position, ShardId, Tail};
use shardloom_store::{LogId, Wal};

use crate::log_entries::LogReader;
use crate::state::{StateDb, StateError, blocking};

/// Where the shard logs on this disk end.
#[derive(Clone, Debug)]
pub struct LogEnds {
    disk: DiskId,
    wal: Wal,
    db: Arc<StateDb>,
}

impl LogEnds {
    pub(crate) fn new(disk: DiskId, wal: Wal, db: Arc<StateDb>) -> LogEnds {
        LogEnds { disk, wal, db }
    }

    /// The disk of the logs.
    pub fn disk(&self) -> DiskId {
        self.disk
    }

    /// The last entries of these logs, in their order.
    ///
    /// # Errors
    ///
    /// A log cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn of(&self, shards: Vec<ShardId>) -> Result<Vec<(ShardId, Tail)>, StateError> {
        let ends = self.clone();
        blocking(move || shards.into_iter().map(|shard| Ok((shard, ends.end(shard)?))).collect()).await
    }

    fn end(&self, shard: ShardId) -> Result<Tail, StateError> {
        // What the log has given up, the database holds.
        let applied = self.db.current(shard).meta.applied;
        let Some(last) = self.wal.last_index(LogId::shard(shard)).map(Position) else { return Ok(applied) };
        let entries = LogReader::new(self.wal.clone()).read(shard, last, last, 1)?;
        Ok(entries.last().map_or(applied, |entry| entry.at.max(applied)))
    }
}
