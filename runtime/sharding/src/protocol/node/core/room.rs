//! What a node does when its disk has no room: it says so, and gives up what it can no longer write.

use crate::ids::NodeId;

use super::super::super::control::ShardControl;
use super::super::super::messages::{PeerMessage, ShardEpoch, Space, ToLeader};
use super::super::super::rules::Rules;
use super::super::super::timing::Time;
use super::super::NodeCommand;
use super::super::outbox::send;
use super::NodeCore;

impl<R: Rules> NodeCore<R> {
    /// Takes note of how much room the disk has. The leader hears of a change at once, in a renewal.
    pub(super) fn note_space(&mut self, now: Time, space: Space, commands: &mut Vec<NodeCommand>) {
        if self.reports.space.unwrap_or_default() != space {
            self.reports.space = Some(space);
            self.renew(now, commands);
        }
    }

    /// Says beside a renewal how much room there is, once it has been too little in this boot: until then no leader thinks so.
    pub(super) fn say_space(&self, leader: NodeId, number: u64, commands: &mut Vec<NodeCommand>) {
        if let Some(space) = self.reports.space {
            let space = ToLeader::Space { boot: self.boot, number, space };
            send(commands, leader, PeerMessage::ToLeader(space));
        }
    }

    /// Gives up the ownership of shards whose calls have written what cannot be logged.
    pub(super) fn forgo(&mut self, now: Time, control: &ShardControl, shards: &[ShardEpoch]) {
        let me = self.me.node;
        for ShardEpoch { shard, epoch } in shards.iter().copied() {
            let row = control.row(shard);
            let lost = self.shard(now, shard, |core, cx, out| {
                core.forgo(cx, epoch, out);
                core.lost(&row, me).is_some()
            });
            self.reports.troubles.note(shard, lost);
        }
    }
}
