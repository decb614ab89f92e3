//! The applied control state, for everybody who reads it.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use openraft::{EmptyNode, StoredMembership};
use shardloom_sharding::ids::{Epoch, NodeId, ShardId};
use tokio::sync::watch;

use super::config::LogId;
use crate::control::ControlState;
use crate::formats::{LEVEL_MIN, Level};

/// The last applied entry, the members of the control group, and the control state: one consistent reading.
#[derive(Clone, Debug, Default)]
pub struct AppliedState {
    /// The last applied entry.
    pub last: Option<LogId>,
    /// Voters and learners of the control group.
    pub membership: StoredMembership<NodeId, EmptyNode>,
    /// The control state, once the cluster has been founded.
    pub control: Option<ControlState>,
}

/// The applied control state, shared between the state machine (which writes) and everybody else.
#[derive(Debug)]
pub struct Applied {
    state: RwLock<AppliedState>,
    index: watch::Sender<u64>,
}

/// Told to the protocol's shell for every batch of applied entries.
#[derive(Debug)]
pub struct AppliedEvent {
    /// Index of the last entry in the batch.
    pub index: u64,
    /// The newest proposal up to there.
    pub newest_proposal: Epoch,
    /// Shards whose assignment changed.
    pub changed: Vec<ShardId>,
    /// The whole state was replaced by a snapshot: every shard may have changed.
    pub replaced: bool,
}

impl AppliedState {
    /// The level of formats that the cluster is at.
    pub fn level(&self) -> Level {
        self.control.as_ref().map_or(LEVEL_MIN, ControlState::level)
    }

    pub(super) fn newest_proposal(&self) -> Epoch {
        self.control.as_ref().map_or(Epoch(0), |state| state.shards.newest_proposal())
    }
}

impl Applied {
    /// Shares a state.
    pub(super) fn new(state: AppliedState) -> Applied {
        let index = state.last.map_or(0, |id| id.index);
        Applied { state: RwLock::new(state), index: watch::channel(index).0 }
    }

    /// Lets `change` change the state. Who waits for the index is not told yet.
    pub(super) fn write<T>(&self, change: impl FnOnce(&mut AppliedState) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells who waits that everything up to `index` is applied.
    pub(super) fn reached(&self, index: u64) {
        self.index.send_replace(index);
    }

    /// Reads the state. Hold the guard briefly and never across an await: the state machine waits for it.
    pub fn read(&self) -> RwLockReadGuard<'_, AppliedState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The level of formats that the cluster is at, as far as this node knows.
    pub fn level(&self) -> Level {
        self.read().level()
    }

    /// Index of the last applied entry, as it grows.
    pub fn index(&self) -> watch::Receiver<u64> {
        self.index.subscribe()
    }

    pub(super) fn replace(&self, next: AppliedState) {
        let index = next.last.map_or(0, |id| id.index);
        self.write(|state| *state = next);
        self.reached(index);
    }
}
