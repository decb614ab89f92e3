//! The state of a served shard as it was at one position of its log, read while calls go on.
//!
//! What was on top of the database at that moment is kept here, and what is in the database stays as it is, since its flush is held off. So
//! the longer one is kept, the more of the shard's log waits in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use shardloom_sharding::ids::Tail;

use super::blocking::blocking;
use super::db::StateDb;
use super::error::StateError;
use super::keys::Copy;
use super::scan::{ScanLimit, merge};
use super::unflushed::Hold;

/// After every key: none begins with two bytes of 255, since the first is the length of a name and the second the name's.
const AFTER_ALL: &[u8] = &[0xff, 0xff];

/// A shard's state at one position.
#[derive(Debug)]
pub struct FrozenState {
    tail: Tail,
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    db: Arc<StateDb>,
    copy: Copy,
    top: BTreeMap<Bytes, Option<Bytes>>,
    _hold: Hold,
}

impl FrozenState {
    pub(super) fn new(
        tail: Tail,
        (db, copy): (Arc<StateDb>, Copy),
        top: BTreeMap<Bytes, Option<Bytes>>,
        hold: Hold,
    ) -> FrozenState {
        FrozenState { tail, parts: Arc::new(Parts { db, copy, top, _hold: hold }) }
    }

    /// The last entry that it holds. Whether that is committed, [`ServedState::committed`](super::ServedState::committed) says.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// Rows of all workloads from `start` on, in order: the key is the length of the workload's name, the name, the workload's own key.
    ///
    /// # Errors
    ///
    /// The database fails.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn read(&self, start: Bytes, limit: ScanLimit) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        let parts = self.parts.clone();
        blocking(move || parts.read(start, limit)).await
    }
}

impl Parts {
    fn read(&self, start: Bytes, limit: ScanLimit) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        merge(
            (start, Bytes::from_static(AFTER_ALL)),
            limit,
            |start, end, rows| {
                let range = self.top.range(start.clone()..end.clone()).take(rows);
                Ok(range.map(|(key, value)| (key.clone(), value.clone())).collect())
            },
            |start, end, rows| self.db.page(self.copy, (start, end), rows),
        )
    }
}
