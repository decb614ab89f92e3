//! Gathers what a leader says to each node in one step into few messages.

use std::collections::BTreeMap;

use crate::ids::{NodeId, Replica};

use super::super::messages::{FromLeader, Learners, MESSAGE_SHARDS_MAX, ShardEpoch};
use super::LeaderCommand;

/// What one step has gathered so far; empty between steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    recovers: BTreeMap<NodeId, Vec<(ShardEpoch, Option<Replica>)>>,
    learns: BTreeMap<NodeId, Vec<(ShardEpoch, Learners)>>,
    holds: BTreeMap<NodeId, Vec<ShardEpoch>>,
}

impl Outbox {
    pub(super) fn recover(&mut self, owner: NodeId, shard: ShardEpoch, source: Option<Replica>) {
        self.recovers.entry(owner).or_default().push((shard, source));
    }

    pub(super) fn learn(&mut self, owner: NodeId, shard: ShardEpoch, learners: Learners) {
        self.learns.entry(owner).or_default().push((shard, learners));
    }

    pub(super) fn hold(&mut self, owner: NodeId, shard: ShardEpoch) {
        self.holds.entry(owner).or_default().push(shard);
    }

    /// Hands everything out.
    pub(super) fn flush(&mut self, commands: &mut Vec<LeaderCommand>) {
        for (to, list) in std::mem::take(&mut self.recovers) {
            send(commands, to, list, |shards| FromLeader::Recover { shards });
        }
        for (to, list) in std::mem::take(&mut self.learns) {
            send(commands, to, list, |shards| FromLeader::Learn { shards });
        }
        for (to, list) in std::mem::take(&mut self.holds) {
            send(commands, to, list, |shards| FromLeader::Hold { shards });
        }
    }
}

fn send<T>(commands: &mut Vec<LeaderCommand>, to: NodeId, list: Vec<T>, message: fn(Vec<T>) -> FromLeader) {
    let mut list = list.into_iter().peekable();
    while list.peek().is_some() {
        let part = list.by_ref().take(MESSAGE_SHARDS_MAX).collect();
        commands.push(LeaderCommand::Send { to, message: message(part) });
    }
}
