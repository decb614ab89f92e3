//! The states of shards that this node is handing out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use shardloom_protocol::shard_file::ShardFileEncoder;
use tokio::time::Instant;

use super::state::FrozenShard;

/// The readings under way on this node, by their names.
#[derive(Default)]
pub(super) struct Readings(Mutex<BTreeMap<u64, Reading>>);

/// A shard's state on its way out.
pub(super) struct Reading {
    /// The state.
    pub(super) state: Arc<dyn FrozenShard>,
    /// What has left of it so far.
    pub(super) encoder: ShardFileEncoder,
    /// The part that comes next, and where it begins.
    pub(super) next: (u32, Bytes),
    /// When a part was last asked for.
    pub(super) heard: Instant,
}

impl Readings {
    /// All of them; to be held briefly.
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Reading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
