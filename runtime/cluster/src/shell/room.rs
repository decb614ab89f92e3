//! Keeps out what the disk cannot take. The core is never told of entries that the log would refuse, since it counts on what it has written.

use std::collections::BTreeSet;

use shardloom_sharding::protocol::messages::{PeerMessage, ShardEpoch, Space};
use shardloom_sharding::protocol::node::NodeEvent;
use shardloom_store::LogRoom;

use super::Shell;
use crate::state::Submission;

impl Shell {
    /// Tells the core whether the disk has room, when that has changed.
    pub(super) fn tell_space(&mut self) {
        let space = if self.parts.space.is_full() { Space::Full } else { Space::Ample };
        if std::mem::replace(&mut self.space, space) != space {
            self.node_step(NodeEvent::Space(space));
            self.parts.serving.bump();
        }
    }

    /// A message without the entries that the log would refuse: they stay unanswered, and are sent again later. Nothing, if none is left.
    pub(super) fn with_room(&self, message: PeerMessage) -> Option<PeerMessage> {
        let carries = matches!(message, PeerMessage::Append(_) | PeerMessage::Fetched(_));
        if !carries || !self.parts.wal.is_disk_full() {
            return Some(message);
        }
        match message {
            PeerMessage::Append(mut appends) => {
                appends.retain(|append| append.entries.is_empty());
                (!appends.is_empty()).then_some(PeerMessage::Append(appends))
            }
            PeerMessage::Fetched(mut parts) => {
                parts.retain(|part| part.entries.is_empty());
                (!parts.is_empty()).then_some(PeerMessage::Fetched(parts))
            }
            message => Some(message),
        }
    }

    /// Batches that were numbered before anybody knew that the log has no room for them: their shards are given up under these epochs, so that
    /// what rests on the batches goes, too, and their calls are routed again.
    pub(super) fn forgo(&mut self, submissions: impl Iterator<Item = Submission>) {
        self.parts.space.note_log(LogRoom::Refused);
        let shards: BTreeSet<ShardEpoch> = submissions.map(|submission| submission.at).collect();
        tracing::warn!(
            shards = shards.len(),
            "the log has no room for what calls have written: it is dropped, and the calls routed again"
        );
        self.tell_space();
        self.node_step(NodeEvent::Forgo { shards: shards.into_iter().collect() });
    }
}
