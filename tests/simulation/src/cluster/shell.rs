//! The shell around the cores of one process: carries out what they ask for.

use shardloom_sharding::ids::{Boot, NodeId, Position, ShardId};
use shardloom_sharding::plan::{Member, Standing};
use shardloom_sharding::protocol::leader::{LeaderCommand, LeaderEvent};
use shardloom_sharding::protocol::messages::{PeerMessage, ShardEpoch};
use shardloom_sharding::protocol::node::{NodeCommand, NodeEvent};
use shardloom_sharding::protocol::record::{Record, WriteSeq};

use super::control_log::{Decision, Write};
use super::node::Served;
use super::oracle::Violation;
use super::queue::{Event, Wire};
use super::world::{MS, World};

impl World {
    pub(super) fn deliver(&mut self, from: NodeId, to: NodeId, wire: Wire) -> Result<(), Violation> {
        if !self.is_up(to) {
            return Ok(());
        }
        self.note(|| format!("{from} -> {to} {wire:?}"));
        match wire {
            Wire::Peer(PeerMessage::ToLeader(message)) => {
                self.leader_step(to, LeaderEvent::Message { from, message })
            }
            Wire::Peer(message) => self.node_step(to, NodeEvent::Message { from, message }),
            Wire::Snapshot(shard, snapshot) => {
                let Some(node) = self.nodes.get_mut(&to) else { return Ok(()) };
                let base = snapshot.base;
                let snapshot = node.disk.keep(snapshot);
                self.node_step(to, NodeEvent::SnapshotArrived { from, shard, base, snapshot })
            }
            Wire::Heartbeat(term, sent) => self.hear_heartbeat(from, to, term, sent),
            Wire::HeartbeatAck(term, sent) => self.hear_heartbeat_ack(from, to, term, sent),
        }
    }

    /// Lets a node core take an event, and does what it says.
    pub(super) fn node_step(&mut self, id: NodeId, event: NodeEvent) -> Result<(), Violation> {
        let now = self.clock(id);
        let mut commands = Vec::new();
        let Some(process) = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut()) else {
            return Ok(());
        };
        process.core.step(now, &process.applied.control, event, &mut commands);
        for command in commands {
            self.obey(id, command)?;
        }
        Ok(())
    }

    fn obey(&mut self, id: NodeId, command: NodeCommand) -> Result<(), Violation> {
        match command {
            NodeCommand::Write { seq, records } => self.write(id, seq, records)?,
            NodeCommand::Send { to, message } => self.send(id, to, Wire::Peer(message)),
            NodeCommand::SendAppends { to, ranges } => {
                let mut appends = Vec::new();
                for range in ranges {
                    let entries =
                        self.read_log(id, range.shard.shard, range.previous.position, range.last)?;
                    appends.push(range.with_entries(entries));
                }
                self.send(id, to, Wire::Peer(PeerMessage::Append(appends)));
            }
            NodeCommand::SendFetched { to, ranges } => {
                let mut parts = Vec::new();
                for range in ranges {
                    let entries =
                        self.read_log(id, range.shard.shard, range.previous.position, range.last)?;
                    parts.push(range.with_entries(entries));
                }
                self.send(id, to, Wire::Peer(PeerMessage::Fetched(parts)));
            }
            NodeCommand::SendSnapshot { to, shard } => {
                let snapshot = self.nodes[&id].disk.snapshot(shard.shard);
                self.note(|| format!("{id} sends {to} a snapshot of shard {}", shard.shard));
                self.send(id, to, Wire::Snapshot(shard, snapshot));
            }
            NodeCommand::DiscardSnapshot { .. } => {}
            NodeCommand::Serving { shard } => self.serving(id, shard)?,
            NodeCommand::NotServing { shard } => {
                self.note(|| format!("{id} stops serving shard {} under {}", shard.shard, shard.epoch));
                if let Some(process) = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut()) {
                    process.served.remove(&shard.shard);
                    process.held.remove(&shard.shard);
                }
            }
            NodeCommand::Drain { shards } => {
                let boot = self.nodes[&id].boot;
                let delay = self.random.range(0, 150) * MS;
                if let Some(process) = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut()) {
                    process.held.extend(shards.iter().copied());
                }
                self.queue.push(self.now + delay, Event::Drained(id, boot, shards));
            }
            NodeCommand::Resume { shards } => {
                if let Some(process) = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut()) {
                    shards.iter().for_each(|shard| {
                        process.held.remove(shard);
                    });
                }
            }
            NodeCommand::LeaseUntil(until) => {
                if let Some(process) = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut()) {
                    process.lease_until = until;
                }
            }
            NodeCommand::Sequenced { shard, position } => self.sequenced(id, shard, position),
            NodeCommand::Refused { .. } => {}
            NodeCommand::Committed { shard, position } => self.committed(id, shard, position)?,
            NodeCommand::Apply { shard, upto } => self.apply_state(id, shard, upto)?,
        }
        Ok(())
    }

    fn read_log(
        &self,
        id: NodeId,
        shard: ShardId,
        previous: Position,
        last: Position,
    ) -> Result<Vec<shardloom_sharding::protocol::messages::Entry>, Violation> {
        let disk = &self.nodes[&id].disk.shards[shard.index()];
        if previous < disk.base.position || last > disk.last() || previous > last {
            return Err(Violation(format!("(a) shard {shard}: {id} is to send what its log does not hold")));
        }
        Ok(disk.read(previous, last))
    }

    fn write(&mut self, id: NodeId, seq: WriteSeq, records: Vec<Record>) -> Result<(), Violation> {
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        for record in records {
            if let Record::Append { shard, previous, .. } = &record {
                let disk = &node.disk.shards[shard.index()];
                if (previous.position.0 as usize) < disk.state.len() || previous.position > disk.last() {
                    return Err(Violation(format!(
                        "(a) shard {shard}: {id} writes after {}, but its state ends at {} and its log at {}",
                        previous.position,
                        disk.state.len(),
                        disk.last()
                    )));
                }
            }
            if self.trace && !matches!(record, Record::Seal { .. }) {
                println!("{:>9.3} ms  {id} writes {} {record:?}", self.now as f64 / MS as f64, seq.0);
            }
            node.disk.write(seq, record);
        }
        self.sync(id);
        Ok(())
    }

    fn sync(&mut self, id: NodeId) {
        let calm = self.calm;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let (boot, lag, newest) = (node.boot, node.disk_lag, node.disk.newest());
        let Some(process) = node.process.as_mut().filter(|process| !process.syncing) else { return };
        if let Some(upto) = newest {
            process.syncing = true;
            let slow = !calm && self.random.permille(30);
            let delay =
                if slow { self.random.range(1, 300) * MS } else { self.random.range(100_000, 4 * MS) };
            self.queue.push(self.now + delay + lag, Event::Synced(id, boot, upto));
        }
    }

    pub(super) fn synced(&mut self, id: NodeId, boot: Boot, upto: WriteSeq) -> Result<(), Violation> {
        if !self.is_running(id, boot) {
            return Ok(());
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.disk.sync(upto);
            if let Some(process) = node.process.as_mut() {
                process.syncing = false;
            }
        }
        self.node_step(id, NodeEvent::Durable { upto })?;
        self.sync(id);
        Ok(())
    }

    fn serving(&mut self, id: NodeId, shard: ShardEpoch) -> Result<(), Violation> {
        self.note(|| format!("{id} serves shard {} under {}", shard.shard, shard.epoch));
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let seen = node.disk.shards[shard.shard.index()].seen();
        if let Some(process) = node.process.as_mut() {
            process.served.insert(shard.shard, Served { epoch: shard.epoch, ..Served::default() });
            process.held.remove(&shard.shard);
        }
        self.oracle.serves((shard.shard, shard.epoch, id), &seen)
    }

    fn apply_state(&mut self, id: NodeId, shard: ShardId, upto: Position) -> Result<(), Violation> {
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let disk = &node.disk.shards[shard.index()];
        let from = disk.state.len();
        if upto > disk.last() || (from as u64) < disk.base.position.0.min(upto.0) {
            return Err(Violation(format!(
                "(a) shard {shard}: {id} is to apply up to {upto}, its state ends at {from}, and its log holds {} to {}",
                disk.base.position,
                disk.last()
            )));
        }
        node.disk.apply(shard, upto);
        let state = node.disk.shards[shard.index()].state.clone();
        if self.random.permille(if self.calm { 0 } else { 30 }) {
            self.queue.push(self.now + self.random.range(0, 200) * MS, Event::Checkpoint(id));
        }
        self.oracle.applies(shard, id, from, &state[from..])
    }

    pub(super) fn checkpoint(&mut self, id: NodeId) -> Result<(), Violation> {
        let shard = ShardId(self.random.range(0, u64::from(self.setup.shards) - 1) as u32);
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.process.is_some()) else { return Ok(()) };
        let upto = node.disk.checkpoint(shard);
        let kept = self.random.range(0, 4);
        let upto = Position(upto.0.saturating_sub(kept));
        self.node_step(id, NodeEvent::Compact { shard, upto })
    }

    /// Lets a leader core take an event, and does what it says.
    pub(super) fn leader_step(&mut self, id: NodeId, event: LeaderEvent) -> Result<(), Violation> {
        let now = self.clock(id);
        let mut commands = Vec::new();
        let Some(process) = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut()) else {
            return Ok(());
        };
        process.leader.step(now, &process.applied.control, event, &mut commands);
        let leads = process.leads;
        for command in commands {
            match command {
                LeaderCommand::Send { to, message } => {
                    self.send(id, to, Wire::Peer(PeerMessage::FromLeader(message)));
                }
                LeaderCommand::Propose { ticket, changes } => {
                    self.note(|| format!("{id} proposes {changes:?}"));
                    let term = leads.unwrap_or_default();
                    self.begin_write(Write {
                        from: id,
                        term,
                        decision: Decision::Propose(changes),
                        ticket: Some(ticket),
                    });
                }
                LeaderCommand::Commit { ticket, epoch, term, shards } => {
                    self.note(|| format!("{id} commits {epoch} for {shards:?} in term {term}"));
                    let decision = Decision::Commit(term, epoch, shards);
                    let term = leads.unwrap_or_default();
                    self.begin_write(Write { from: id, term, decision, ticket: Some(ticket) });
                }
                LeaderCommand::Quarantine { ticket, node, outages, .. } => {
                    self.note(|| format!("{id} has {node} quarantined after {outages} outages"));
                    let mut members = self.log.newest.members.clone();
                    let live = |member: &&mut Member| {
                        member.replica.node == node && member.standing == Standing::Live
                    };
                    members
                        .iter_mut()
                        .filter(live)
                        .for_each(|member| member.standing = Standing::Quarantined);
                    let (decision, term) = (Decision::Members(members), leads.unwrap_or_default());
                    self.begin_write(Write { from: id, term, decision, ticket: Some(ticket) });
                }
                LeaderCommand::Alarm(alarm) => self.note(|| format!("{id}: {alarm:?}")),
            }
        }
        Ok(())
    }
}
