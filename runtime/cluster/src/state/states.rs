//! The states of all shards that this node serves now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shardloom_sharding::ids::{Epoch, Position, ShardId};
use shardloom_sharding::protocol::messages::ShardEpoch;
use tokio::sync::watch;

use super::error::StateError;
use super::flush_counts::{FlushCounts, FlushFigures};
use super::served::ServedState;

#[derive(Debug)]
struct Row {
    state: Arc<ServedState>,
    committed: watch::Sender<Position>,
    /// Up to where the log has confirmed what the state numbered.
    sequenced: Position,
}

/// The states of all shards that this node serves now; the protocol's shell changes it, calls look theirs up.
#[derive(Debug, Default)]
pub struct States {
    rows: Mutex<BTreeMap<ShardId, Row>>,
    flushes: FlushCounts,
}

impl States {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<ShardId, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of a shard under an epoch, if it is served here under just that.
    pub fn open(&self, shard: ShardId, epoch: Epoch) -> Option<Arc<ServedState>> {
        let rows = self.rows();
        rows.get(&shard).filter(|row| row.state.at().epoch == epoch).map(|row| row.state.clone())
    }

    /// What flushing has done so far.
    pub fn flush_figures(&self) -> FlushFigures {
        self.flushes.figures()
    }

    /// Where flushing is counted.
    pub(crate) fn flushes(&self) -> &FlushCounts {
        &self.flushes
    }

    pub(crate) fn start(&self, state: ServedState, committed: watch::Sender<Position>) {
        let (shard, sequenced) = (state.at().shard, state.last());
        let row = Row { state: Arc::new(state), committed, sequenced };
        if let Some(old) = self.rows().insert(shard, row) {
            old.state.end();
        }
    }

    pub(crate) fn stop(&self, shard: ShardId) {
        let row = self.rows().remove(&shard);
        if let Some(row) = row {
            row.state.end();
        }
    }

    /// The log has given a batch its place: the one that the state had given it.
    ///
    /// # Errors
    ///
    /// It is another.
    pub(crate) fn sequenced(&self, at: ShardEpoch, found: Position) -> Result<(), StateError> {
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(&at.shard).filter(|row| row.state.at() == at) else { return Ok(()) };
        let expected = row.sequenced.next();
        if found != expected {
            return Err(StateError::Diverged { shard: at.shard, expected, found });
        }
        row.sequenced = found;
        Ok(())
    }

    /// A write quorum holds the log up to here.
    pub(crate) fn committed(&self, at: ShardEpoch, position: Position) {
        let rows = self.rows();
        if let Some(row) = rows.get(&at.shard).filter(|row| row.state.at() == at) {
            row.committed.send_if_modified(|known| {
                let more = position > *known;
                *known = position.max(*known);
                more
            });
        }
    }

    /// The database has the state of a shard up to here.
    pub(crate) fn flushed(&self, shard: ShardId, upto: Position) {
        let state = self.rows().get(&shard).map(|row| row.state.clone());
        if let Some(state) = state {
            state.flushed(upto);
        }
    }
}
