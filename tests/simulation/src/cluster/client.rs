//! Clients that write and read, and what the shell tells them.

use shardloom_sharding::ids::{NodeId, Position, ShardId};
use shardloom_sharding::protocol::messages::ShardEpoch;
use shardloom_sharding::protocol::node::NodeEvent;

use super::node::{PendingRead, PendingWrite};
use super::oracle::{Invoked, Violation};
use super::queue::Event;
use super::world::{MS, World};

/// The most writes of one run to a shard; states are kept whole.
const SHARD_WRITES_MAX: u64 = 150;

impl World {
    pub(super) fn client(&mut self) -> Result<(), Violation> {
        self.queue.push(self.now + self.random.range(MS, 2 * self.setup.call_every_ms * MS), Event::Client);
        let shard = ShardId(self.random.range(0, u64::from(self.setup.shards) - 1) as u32);
        let serves = |id: &NodeId| {
            let node = &self.nodes[id];
            let Some(process) = node.process.as_ref().filter(|_| node.paused.is_none()) else { return false };
            process.served.contains_key(&shard)
                && !process.held.contains(&shard)
                && node.clock(self.now) < process.lease_until
        };
        let able: Vec<NodeId> = self.nodes.keys().copied().filter(serves).collect();
        if able.is_empty() {
            return Ok(());
        }
        let id = *self.random.pick(&able);
        if self.random.permille(600) && self.writes < SHARD_WRITES_MAX * u64::from(self.setup.shards) {
            return self.write_call(id, shard);
        }
        self.read(id, shard)
    }

    fn write_call(&mut self, id: NodeId, shard: ShardId) -> Result<(), Violation> {
        self.writes += 1;
        let epoch = self.nodes[&id].process.as_ref().map(|process| process.served[&shard].epoch);
        let Some(epoch) = epoch else { return Ok(()) };
        let batch = self.writes.to_le_bytes().as_slice().into();
        self.node_step(id, NodeEvent::Batches { batches: vec![(ShardEpoch { shard, epoch }, batch)] })
    }

    /// The batch of the newest write stands in the log.
    pub(super) fn sequenced(&mut self, id: NodeId, at: ShardEpoch, position: Position) {
        let write = PendingWrite { id: self.writes, invoked: self.oracle.invoked(at.shard) };
        let process = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut());
        if let Some(served) = process.and_then(|process| process.served.get_mut(&at.shard)) {
            served.writes.insert(position, write);
        }
    }

    /// A guest reads everything; the answer waits until that is committed.
    pub(super) fn read(&mut self, id: NodeId, shard: ShardId) -> Result<(), Violation> {
        let invoked: Invoked = self.oracle.invoked(shard);
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let disk = &node.disk.shards[shard.index()];
        let read = PendingRead { last: disk.last(), seen: disk.seen(), invoked };
        let Some(served) = node.process.as_mut().and_then(|process| process.served.get_mut(&shard)) else {
            return Ok(());
        };
        served.reads.push(read);
        let at = ShardEpoch { shard, epoch: served.epoch };
        let committed = served.committed;
        self.committed(id, at, committed)
    }

    /// Replies leave that rest on the log up to here, if the node may still reply.
    pub(super) fn committed(
        &mut self,
        id: NodeId,
        at: ShardEpoch,
        position: Position,
    ) -> Result<(), Violation> {
        let now = self.clock(id);
        let Some(process) = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut()) else {
            return Ok(());
        };
        let may_reply = process.core.may_reply(now, at);
        let served = process.served.get_mut(&at.shard).filter(|served| served.epoch == at.epoch);
        let Some(served) = served else { return Ok(()) };
        served.committed = served.committed.max(position);
        let committed = served.committed;
        let later = served.writes.split_off(&committed.next());
        let writes = std::mem::replace(&mut served.writes, later);
        let reads: Vec<PendingRead> = served.reads.extract_if(.., |read| read.last <= committed).collect();
        if !may_reply {
            return Ok(());
        }
        let who = (at.shard, at.epoch, id);
        for (position, write) in writes {
            self.oracle.acknowledged(who, position, write.id, write.invoked)?;
        }
        for read in reads {
            self.oracle.read(who, &read.seen, read.invoked)?;
        }
        Ok(())
    }
}
