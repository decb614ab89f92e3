//! What is to happen, in the order of time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use shardloom_sharding::ids::{Boot, NodeId, ShardId, Term};
use shardloom_sharding::protocol::messages::{PeerMessage, ShardEpoch};
use shardloom_sharding::protocol::record::WriteSeq;
use shardloom_sharding::protocol::timing::Time;

use super::disk::Snapshot;

/// What travels between nodes.
#[derive(Clone, Debug)]
pub(super) enum Wire {
    /// A message of the protocol.
    Peer(PeerMessage),
    /// A snapshot of a shard.
    Snapshot(ShardEpoch, Snapshot),
    /// The leader of a term, at a moment of its own clock.
    Heartbeat(Term, Time),
    /// The answer to that.
    HeartbeatAck(Term, Time),
}

/// Something that is to happen.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A process looks at the clock.
    Tick(NodeId, Boot),
    /// A message arrives.
    Deliver(NodeId, NodeId, Wire),
    /// A sync ends.
    Synced(NodeId, Boot, WriteSeq),
    /// A process applies what the control log has for it.
    Apply(NodeId, Boot),
    /// No call of these shards is under way.
    Drained(NodeId, Boot, Vec<ShardId>),
    /// A process makes some state durable and gives up log entries.
    Checkpoint(NodeId),
    /// A process hears that it no longer leads.
    Depose(NodeId, Boot, Term),
    /// The leader shows that it is there.
    Heartbeat,
    /// Is there still a leader?
    Election,
    /// The next write of the control log comes to its end.
    Decide,
    /// A client does something.
    Client,
    /// Something goes wrong.
    Fault,
    /// A node starts.
    Start(NodeId),
    /// A node goes on.
    Resume(NodeId),
    /// Links work again.
    Mend(Vec<(NodeId, NodeId)>),
}

/// What is to happen, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    order: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    count: u64,
}

impl Queue {
    /// Adds an event.
    pub(super) fn push(&mut self, at: u64, event: Event) {
        self.count += 1;
        self.order.push(Reverse((at, self.count)));
        self.events.insert(self.count, event);
    }

    /// Takes the next event.
    pub(super) fn pop(&mut self) -> Option<(u64, Event)> {
        let Reverse((at, number)) = self.order.pop()?;
        self.events.remove(&number).map(|event| (at, event))
    }
}
