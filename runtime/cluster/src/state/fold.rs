//! Takes entries of a log together: what they leave behind, key by key.

use std::collections::BTreeMap;

use bytes::Bytes;
use shardloom_protocol::batch::LoggedBatch;
use shardloom_sharding::ids::ShardId;

use super::error::StateError;
use super::keys::state_key;
use super::limits::REPLIES_MAX;
use super::meta::{KeptReply, ShardMeta};
use crate::log_entries::LoggedEntry;

/// What some entries in a row change.
#[derive(Debug)]
pub(crate) struct Fold {
    shard: ShardId,
    /// As of the last entry.
    pub(crate) meta: ShardMeta,
    /// The last value of each changed key, by [`state_key`].
    pub(crate) values: BTreeMap<Bytes, Option<Bytes>>,
    /// The newest replies, by their ordinals.
    pub(crate) replies: BTreeMap<u64, KeptReply>,
}

impl Fold {
    /// Begins after what the state holds.
    pub(crate) fn after(shard: ShardId, meta: ShardMeta) -> Fold {
        Fold { shard, meta, values: BTreeMap::new(), replies: BTreeMap::new() }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    ///
    /// It is not the next, or no batch.
    pub(crate) fn take(&mut self, entry: LoggedEntry) -> Result<(), StateError> {
        let (shard, position) = (self.shard, entry.at.position);
        if position != self.meta.applied.position.next() {
            return Err(StateError::Gap { shard, position: self.meta.applied.position.next() });
        }
        self.meta.applied = entry.at;
        let Some(batch) = entry.batch else { return Ok(()) };
        let LoggedBatch { batch, growth } =
            LoggedBatch::decode(batch).map_err(|source| StateError::Entry { shard, position, source })?;
        for change in batch.changes {
            self.values.insert(state_key(&batch.workload, &change.key), change.value);
        }
        self.meta.grow(&batch.workload, growth);
        if let Some(reply) = batch.reply {
            let ordinal = self.meta.replies;
            self.meta.replies += 1;
            let kept = KeptReply { ordinal, position, request: batch.request, reply };
            self.replies.insert(ordinal, kept);
            if self.replies.len() > REPLIES_MAX {
                self.replies.pop_first();
            }
        }
        Ok(())
    }
}
