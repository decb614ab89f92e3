//! Gathers what many shards ask for in one step into one write and few messages.

use std::collections::BTreeMap;

use crate::ids::{Boot, DiskId, Epoch, NodeId, ShardId};

use super::super::effect::ShardEffect;
use super::super::messages::{
    Appended, Fetch, LearnProgress, MESSAGE_SHARDS_MAX, PeerMessage, ShardEpoch, ToLeader,
};
use super::super::record::{Record, WriteSeq};
use super::{AppendRange, FetchedRange, NodeCommand};

/// What one step has gathered so far; empty between steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    seals: BTreeMap<Epoch, Vec<ShardId>>,
    records: Vec<Record>,
    local: Vec<NodeCommand>,
    appends: BTreeMap<NodeId, Vec<AppendRange>>,
    answers: BTreeMap<NodeId, Vec<Appended>>,
    fetches: BTreeMap<NodeId, Vec<Fetch>>,
    gives: BTreeMap<NodeId, Vec<FetchedRange>>,
    snapshots: Vec<NodeCommand>,
    confirms: Vec<ShardEpoch>,
    learnt: Vec<ShardEpoch>,
    learning: Vec<(ShardEpoch, LearnProgress)>,
}

impl Outbox {
    /// Takes an effect; one that is for the node core to remember as well is none of this one's business.
    pub(super) fn take(&mut self, id: ShardId, effect: ShardEffect) {
        let at = |epoch| ShardEpoch { shard: id, epoch };
        match effect {
            ShardEffect::Seal(epoch) => self.seals.entry(epoch).or_default().push(id),
            ShardEffect::Write(record) => self.records.push(record),
            ShardEffect::Sealed(_) => {}
            ShardEffect::Append(to, range) => self.appends.entry(to).or_default().push(range),
            ShardEffect::Answer(to, answer) => self.answers.entry(to).or_default().push(answer),
            ShardEffect::Fetch(to, fetch) => self.fetches.entry(to).or_default().push(fetch),
            ShardEffect::Give(to, range) => self.gives.entry(to).or_default().push(range),
            ShardEffect::SendSnapshot(to, epoch) => {
                self.snapshots.push(NodeCommand::SendSnapshot { to, shard: at(epoch) });
            }
            ShardEffect::Discard(snapshot) => self.local.push(NodeCommand::DiscardSnapshot { snapshot }),
            ShardEffect::Confirm(epoch) => self.confirms.push(at(epoch)),
            ShardEffect::Serving(epoch) => self.local.push(NodeCommand::Serving { shard: at(epoch) }),
            ShardEffect::NotServing(epoch) => self.local.push(NodeCommand::NotServing { shard: at(epoch) }),
            ShardEffect::Sequenced(epoch, position) => {
                self.local.push(NodeCommand::Sequenced { shard: at(epoch), position });
            }
            ShardEffect::Refused(epoch) => self.local.push(NodeCommand::Refused { shard: at(epoch) }),
            ShardEffect::Committed(epoch, position) => {
                self.local.push(NodeCommand::Committed { shard: at(epoch), position });
            }
            ShardEffect::Apply(upto) => self.local.push(NodeCommand::Apply { shard: id, upto }),
            ShardEffect::Learnt(epoch) => self.learnt.push(at(epoch)),
            ShardEffect::Learning(epoch, progress) => self.learning.push((at(epoch), progress)),
        }
    }

    /// Takes a command that no shard asked for.
    pub(super) fn push(&mut self, command: NodeCommand) {
        self.local.push(command);
    }

    /// The shards whose barrier has come to a write quorum in this step.
    pub(super) fn take_confirms(&mut self) -> Vec<ShardEpoch> {
        std::mem::take(&mut self.confirms)
    }

    /// Hands everything out: first what this node is to know, then the write, then the messages. Says whether there was a
    /// write.
    pub(super) fn flush(
        &mut self,
        seq: WriteSeq,
        disk: DiskId,
        leader: Option<NodeId>,
        commands: &mut Vec<NodeCommand>,
    ) -> bool {
        commands.append(&mut self.local);
        let seals = std::mem::take(&mut self.seals).into_iter();
        let mut records: Vec<Record> = seals.map(|(epoch, shards)| Record::Seal { epoch, shards }).collect();
        records.append(&mut self.records);
        let writes = !records.is_empty();
        if writes {
            commands.push(NodeCommand::Write { seq, records });
        }
        for (to, ranges) in std::mem::take(&mut self.appends) {
            split(ranges, |ranges| commands.push(NodeCommand::SendAppends { to, ranges }));
        }
        for (to, answers) in std::mem::take(&mut self.answers) {
            split(answers, |answers| send(commands, to, PeerMessage::Appended { disk, answers }));
        }
        for (to, fetches) in std::mem::take(&mut self.fetches) {
            split(fetches, |fetches| send(commands, to, PeerMessage::Fetch(fetches)));
        }
        for (to, ranges) in std::mem::take(&mut self.gives) {
            split(ranges, |ranges| commands.push(NodeCommand::SendFetched { to, ranges }));
        }
        commands.append(&mut self.snapshots);
        let (learnt, learning) = (std::mem::take(&mut self.learnt), std::mem::take(&mut self.learning));
        if let Some(to) = leader {
            split(learnt, |shards| send(commands, to, PeerMessage::ToLeader(ToLeader::Learnt { shards })));
            split(learning, |shards| {
                send(commands, to, PeerMessage::ToLeader(ToLeader::Learning { shards }));
            });
        }
        writes
    }
}

/// Sends confirmations to the leader.
pub(super) fn send_confirms(
    to: NodeId,
    boot: Boot,
    shards: Vec<ShardEpoch>,
    commands: &mut Vec<NodeCommand>,
) {
    split(shards, |shards| send(commands, to, PeerMessage::ToLeader(ToLeader::Confirm { boot, shards })));
}

/// Adds the sending of a message.
pub(super) fn send(commands: &mut Vec<NodeCommand>, to: NodeId, message: PeerMessage) {
    commands.push(NodeCommand::Send { to, message });
}

/// Splits a list into parts that one message may carry.
pub(super) fn split<T>(mut list: Vec<T>, mut part: impl FnMut(Vec<T>)) {
    while !list.is_empty() {
        let rest = list.split_off(list.len().min(MESSAGE_SHARDS_MAX));
        part(std::mem::replace(&mut list, rest));
    }
}
