//! Does what the node's core says.

use shardloom_protocol::envelope::{self, Kind};
use shardloom_sharding::ids::{NodeId, ShardId};
use shardloom_sharding::protocol::messages::{Append, Entry, Fetched, PeerMessage, ShardEpoch};
use shardloom_sharding::protocol::node::{AppendRange, FetchedRange, NodeCommand, NodeEvent};
use shardloom_sharding::protocol::record::{Record, WriteSeq};
use shardloom_store::WriteSeq as StoreSeq;
use shardloom_transport::Class;

use super::Shell;
use crate::ClusterError;
use crate::log_entries::LoggedEntry;
use crate::state::SnapshotRequest;

/// Bytes of entries in one message, beyond the first entry: what its receiver writes at once.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// What an entry takes beside its batch in a message and in the receiver's log, about, in bytes.
const ENTRY_BYTES: usize = 64;

impl Shell {
    /// Does one thing; whether it may let a waiting call start, or must stop one.
    pub(super) async fn obey(&mut self, command: NodeCommand) -> Result<bool, ClusterError> {
        match command {
            NodeCommand::Write { seq, records } => self.write_records(seq, records).await?,
            NodeCommand::Send { to, message } => self.send(to, message),
            NodeCommand::SendAppends { to, ranges } => self.send_appends(to, ranges)?,
            NodeCommand::SendFetched { to, ranges } => self.send_fetched(to, ranges)?,
            NodeCommand::Serving { shard } => self.begin_serving(shard),
            NodeCommand::NotServing { shard } => {
                self.parts.serving.stop(shard.shard);
                self.parts.state.states.stop(shard.shard);
                self.draining.remove(&shard.shard);
                return Ok(true);
            }
            NodeCommand::Drain { shards } => {
                shards.iter().for_each(|shard| self.parts.serving.hold(*shard, true));
                self.draining.extend(shards);
                self.tell_idle();
            }
            NodeCommand::Resume { shards } => {
                for shard in shards {
                    self.draining.remove(&shard);
                    self.parts.serving.hold(shard, false);
                }
                return Ok(true);
            }
            NodeCommand::LeaseUntil(until) => self.parts.serving.set_lease(until),
            NodeCommand::SendSnapshot { to, shard } => {
                // The core says it again where there is no room.
                let _ = self.parts.state.snapshots.try_send(SnapshotRequest { to, at: shard });
            }
            NodeCommand::DiscardSnapshot { snapshot } => self.discard(snapshot),
            NodeCommand::Sequenced { shard, position } => {
                self.parts.state.states.sequenced(shard, position)?;
            }
            NodeCommand::Refused { shard } => self.refused(shard),
            NodeCommand::Committed { shard, position } => {
                self.parts.state.states.committed(shard, position);
            }
            NodeCommand::Apply { shard, upto } => self.parts.state.unflushed.applied(shard, upto),
        }
        Ok(false)
    }

    async fn write_records(&mut self, seq: WriteSeq, records: Vec<Record>) -> Result<(), ClusterError> {
        let mut last = StoreSeq(0);
        for records in self.parts.logs.translate(records)? {
            // What the core was told of is written in any case: `room` has kept out what there is no room for.
            last = self.parts.wal.submit_on_reserve(records).await?.seq();
        }
        self.parts.logs.submitted();
        self.unsynced.push_back((last, seq));
        Ok(())
    }

    /// Tells the core of held shards that are idle.
    pub(super) fn tell_idle(&mut self) {
        let serving = &self.parts.serving;
        let idle: Vec<ShardId> = self.draining.iter().copied().filter(|s| serving.is_idle(*s)).collect();
        idle.iter().for_each(|shard| {
            self.draining.remove(shard);
        });
        if !idle.is_empty() {
            self.node_step(NodeEvent::Drained { shards: idle });
        }
    }

    pub(super) fn send(&mut self, to: NodeId, message: PeerMessage) {
        if to == self.parts.me {
            self.looped.push_back(message);
            return;
        }
        let class = match message {
            PeerMessage::ToLeader(_) | PeerMessage::FromLeader(_) => Class::Control,
            _ => Class::Appends,
        };
        match envelope::encode(Kind::Shard, &message) {
            Ok(body) => {
                self.parts.outbox.post(to, class, body);
            }
            Err(error) => tracing::error!(%error, "a message of the protocol cannot be written"),
        }
    }

    /// Sends ranges of logs in messages of bounded size; a range that does not fit goes in parts, each of which stands for itself.
    fn send_appends(&mut self, to: NodeId, ranges: Vec<AppendRange>) -> Result<(), ClusterError> {
        let (mut appends, mut bytes) = (Vec::with_capacity(ranges.len()), 0);
        for AppendRange { shard, mut previous, last, commit } in ranges {
            loop {
                let room = MESSAGE_BYTES_MAX.saturating_sub(bytes);
                let first = previous.position.next();
                let entries = self.parts.logs.read_some(shard.shard, first, last, room)?;
                bytes += entries_bytes(&entries);
                let end = entries.last().map_or(previous, |entry| entry.at);
                let done = entries.is_empty() || end.position >= last;
                let entries = entries.into_iter().map(Entry::from).collect();
                appends.push(Append { shard, previous, entries, commit });
                if bytes >= MESSAGE_BYTES_MAX || !done {
                    self.send(to, PeerMessage::Append(std::mem::take(&mut appends)));
                    bytes = 0;
                }
                if done {
                    break;
                }
                previous = end;
            }
        }
        if !appends.is_empty() {
            self.send(to, PeerMessage::Append(appends));
        }
        Ok(())
    }

    /// Sends ranges of logs in messages of bounded size; of a range that does not fit the rest is asked for again.
    fn send_fetched(&mut self, to: NodeId, ranges: Vec<FetchedRange>) -> Result<(), ClusterError> {
        let (mut fetched, mut bytes) = (Vec::with_capacity(ranges.len()), 0);
        for FetchedRange { shard: ShardEpoch { shard, epoch }, previous, last, tail } in ranges {
            let first = previous.position.next();
            let entries = self.parts.logs.read_some(shard, first, last, MESSAGE_BYTES_MAX)?;
            bytes += entries_bytes(&entries);
            let entries = entries.into_iter().map(Entry::from).collect();
            fetched.push(Fetched { shard: ShardEpoch { shard, epoch }, previous, entries, tail });
            if bytes >= MESSAGE_BYTES_MAX {
                self.send(to, PeerMessage::Fetched(std::mem::take(&mut fetched)));
                bytes = 0;
            }
        }
        if !fetched.is_empty() {
            self.send(to, PeerMessage::Fetched(fetched));
        }
        Ok(())
    }
}

fn entries_bytes(entries: &[LoggedEntry]) -> usize {
    entries.iter().map(|entry| ENTRY_BYTES + entry.batch.as_ref().map_or(0, |batch| batch.len())).sum()
}
