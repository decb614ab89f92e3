//! Makes the state of a shard that begins to be served: what the log holds beyond the database goes on top of it.

use std::sync::Arc;

use shardloom_protocol::batch::LoggedBatch;
use shardloom_sharding::ids::Position;
use shardloom_sharding::protocol::messages::ShardEpoch;
use tokio::sync::{mpsc, watch};

use super::db::StateDb;
use super::error::StateError;
use super::limits::FOLD_BYTES_MAX;
use super::overlay::Overlay;
use super::served::{ServedState, Submission};
use super::unflushed::Unflushed;
use crate::log_entries::LogReader;

/// What a state is made from.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    pub(crate) db: Arc<StateDb>,
    pub(crate) log: LogReader,
    pub(crate) unflushed: Arc<Unflushed>,
    pub(crate) submit: mpsc::Sender<Submission>,
}

/// A state, and the sender of its commits.
pub(crate) type Opened = (ServedState, watch::Sender<Position>);

impl Replay {
    /// Makes the state of a shard whose log ends at `last`. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// The log or the database cannot be read.
    pub(crate) fn open(&self, at: ShardEpoch, last: Position) -> Result<Opened, StateError> {
        let shard = at.shard;
        let mut current = self.db.current(shard);
        let mut overlay = Overlay::above(current.meta.clone());
        let mut next = current.meta.applied.position.next();
        while next <= last {
            let entries = self.log.read(shard, next, last, FOLD_BYTES_MAX)?;
            if entries.first().is_none_or(|entry| entry.at.position != next) {
                // Flushed meanwhile and given up by the log: then the database has it.
                let newer = self.db.current(shard);
                if newer.copy == current.copy && newer.meta.applied <= current.meta.applied {
                    return Err(StateError::Gap { shard, position: next });
                }
                current = newer;
                overlay = Overlay::above(current.meta.clone());
                next = current.meta.applied.position.next();
                continue;
            }
            for entry in entries {
                let position = entry.at.position;
                if let Some(batch) = entry.batch {
                    let logged = LoggedBatch::decode(batch).map_err(|source| StateError::Entry {
                        shard,
                        position,
                        source,
                    })?;
                    overlay.write(position, &logged.batch, logged.growth);
                }
                next = position.next();
            }
        }
        let (db, unflushed, submit) = (self.db.clone(), self.unflushed.clone(), self.submit.clone());
        Ok(ServedState::new(at, (db, current.copy, unflushed), submit, overlay, last))
    }
}
