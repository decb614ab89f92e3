//! Between the protocol and the states of shards: batches in, states made before a shard is served.

use shardloom_sharding::protocol::messages::ShardEpoch;
use shardloom_sharding::protocol::node::NodeEvent;
use shardloom_sharding::protocol::record::SnapshotId;
use tokio::task::JoinError;

use super::Shell;
use crate::ClusterError;
use crate::state::{Copy, Opened, StateError, StateNews, Submission};

/// States that are made in one go, on one thread: the first are served while the others are being made.
const OPENED_TOGETHER: usize = 64;
/// Bytes of batches in one event: what is written in one submission, and sent in one message.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// States that were made together.
pub(super) type MadeStates = Vec<(ShardEpoch, Result<Opened, StateError>)>;

impl Shell {
    /// Gives batches to the core: in one event, unless they are large.
    pub(super) fn on_batches(&mut self, submissions: impl Iterator<Item = Submission>) {
        if self.parts.wal.is_disk_full() {
            return self.forgo(submissions);
        }
        let (mut batches, mut bytes) = (Vec::new(), 0);
        for Submission { at, batch } in submissions {
            bytes += batch.len();
            batches.push((at, batch));
            if bytes >= EVENT_BYTES_MAX {
                self.node_step(NodeEvent::Batches { batches: std::mem::take(&mut batches) });
                bytes = 0;
            }
        }
        if !batches.is_empty() {
            self.node_step(NodeEvent::Batches { batches });
        }
    }

    /// The epoch of a batch was gone when it came: so is the state that numbered it.
    pub(super) fn refused(&self, at: ShardEpoch) {
        tracing::debug!(shard = %at.shard, epoch = %at.epoch, "a batch came too late");
    }

    /// A snapshot that arrived is not to be used.
    pub(super) fn discard(&self, snapshot: SnapshotId) {
        let copy = Copy::of(snapshot);
        self.parts.state.db.forget(copy);
        self.parts.state.unflushed.delete([copy]);
    }

    pub(super) fn on_state_news(&mut self, news: StateNews) {
        match news {
            StateNews::Compact(spare) => {
                for (copy, upto) in spare {
                    // What another copy of the shard's state holds says nothing about the log as it is now.
                    if self.parts.state.db.current(copy.shard).copy == copy {
                        self.node_step(NodeEvent::Compact { shard: copy.shard, upto });
                    }
                }
            }
            StateNews::Arrived { from, at, base, snapshot } => {
                self.node_step(NodeEvent::SnapshotArrived { from, shard: at, base, snapshot });
            }
            StateNews::Sent { to, at, transfer } => {
                self.node_step(NodeEvent::SnapshotSent { to, shard: at, transfer });
            }
        }
    }

    /// A shard is to be served: once its state is made.
    pub(super) fn begin_serving(&mut self, at: ShardEpoch) {
        // The core may be further by now; then it has said, or says next, that the shard is not served any more.
        if self.parts.node.serving(at.shard) == Some(at.epoch)
            && let Some(core) = self.parts.node.shard_core(at.shard)
        {
            self.to_open.push((at, core.replica().log().tail().position));
        }
    }

    /// Has the states made of all shards that are to be served: it may take a while, and must not hold up leases.
    pub(super) fn open_states(&mut self) {
        for part in self.to_open.chunks(OPENED_TOGETHER) {
            let (part, replay) = (part.to_vec(), self.parts.state.replay.clone());
            self.opening.spawn_blocking(move || {
                part.into_iter().map(|(at, last)| (at, replay.open(at, last))).collect()
            });
        }
        self.to_open.clear();
    }

    /// States are made: calls may start where the shard is still to be served.
    pub(super) fn on_opened(&mut self, opened: Result<MadeStates, JoinError>) -> Result<(), ClusterError> {
        let opened = opened.map_err(|error| ClusterError::Raft { reason: error.to_string() })?;
        for (at, state) in opened {
            if self.parts.node.serving(at.shard) != Some(at.epoch) {
                continue;
            }
            let (state, committed) = state?;
            // The state first: the first call looks for it.
            self.parts.state.states.start(state, committed);
            self.parts.serving.start(at.shard, at.epoch);
        }
        self.parts.serving.bump();
        Ok(())
    }
}
