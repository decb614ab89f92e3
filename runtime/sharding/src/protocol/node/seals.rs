//! What a node has told the leader of its seals, and what is still to be told (rule 19): again to each new leader, and until
//! answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ids::{Epoch, ShardId};

use super::super::messages::MESSAGE_SHARDS_MAX;
use super::super::record::WriteSeq;
use super::super::timing::{Time, Timing};

/// The seals that the leader is to hear of.
#[derive(Clone, Debug, Default)]
pub(super) struct SealReports {
    /// Proposals that are sealed once the write beside them is durable.
    coming: VecDeque<(WriteSeq, Epoch)>,
    /// Every shard that any proposal up to this one changes is sealed, durably.
    through: Epoch,
    /// `through` has grown, or there is a new leader.
    untold: bool,
    /// Shards whose tails are to be told.
    tails: BTreeSet<ShardId>,
    /// Messages without an answer yet: when they went, and whose tails they told.
    unanswered: BTreeMap<u64, (Time, Vec<ShardId>)>,
    number: u64,
}

impl SealReports {
    /// The seals of all proposals up to this one are queued, in that write or before.
    pub(super) fn queued(&mut self, seq: WriteSeq, proposal: Epoch) {
        self.coming.push_back((seq, proposal));
    }

    /// The disk has everything up to this write.
    pub(super) fn settle(&mut self, durable: WriteSeq) {
        while let Some((_, proposal)) = self.coming.pop_front_if(|(seq, _)| *seq <= durable) {
            self.untold |= proposal > self.through;
            self.through = self.through.max(proposal);
        }
    }

    /// The shard's newest seal is durable, and its tail counts.
    pub(super) fn tell(&mut self, shard: ShardId) {
        self.tails.insert(shard);
    }

    /// There is a new leader, which knows nothing; `pending` are the shards whose tails may count.
    pub(super) fn tell_all(&mut self, pending: impl Iterator<Item = ShardId>) {
        self.unanswered.clear();
        self.tails.extend(pending);
        self.untold = true;
    }

    /// The leader has taken note of a message.
    pub(super) fn answered(&mut self, number: u64) {
        self.unanswered.remove(&number);
    }

    /// Takes back what has been without an answer for too long.
    pub(super) fn tick(&mut self, now: Time, timing: &Timing) {
        let stale = |(sent, _): &(Time, Vec<ShardId>)| now.since(*sent) >= timing.resend;
        for (_, (_, shards)) in self.unanswered.extract_if(.., |_, message| stale(message)) {
            self.tails.extend(shards);
            self.untold = true;
        }
    }

    /// The next message that is due: its number, the proposal up to which all is sealed, and the shards whose tails it tells.
    pub(super) fn next(&mut self, now: Time) -> Option<(u64, Epoch, Vec<ShardId>)> {
        if self.tails.is_empty() && !self.untold {
            return None;
        }
        let mut shards = Vec::new();
        while shards.len() < MESSAGE_SHARDS_MAX
            && let Some(shard) = self.tails.pop_first()
        {
            shards.push(shard);
        }
        self.untold = false;
        self.number += 1;
        self.unanswered.insert(self.number, (now, shards.clone()));
        Some((self.number, self.through, shards))
    }
}
