//! What goes wrong, and the end of it.

use shardloom_sharding::ids::{DiskId, NodeId, ShardId};
use shardloom_sharding::plan::{Member, Standing};
use shardloom_sharding::protocol::messages::{ShardEpoch, Space};
use shardloom_sharding::protocol::node::NodeEvent;

use super::Mix;
use super::control_log::{Decision, Write};
use super::disk::Disk;
use super::oracle::Violation;
use super::queue::Event;
use super::world::{MS, World, member};

impl World {
    pub(super) fn fault(&mut self) -> Result<(), Violation> {
        if self.calm {
            return Ok(());
        }
        let pause = self.random.range(self.setup.fault_every_ms / 4, self.setup.fault_every_ms * 2);
        self.queue.push(self.now + pause * MS, Event::Fault);
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        let id = *self.random.pick(&ids);
        let dice = match self.setup.mix {
            Mix::All => self.random.range(0, 99),
            Mix::Laggards => *self.random.pick(&[68, 68, 76, 76, 86, 86, 86, 30]),
            Mix::Disks => *self.random.pick(&[0, 0, 30, 45, 76, 82, 82, 95]),
        };
        match dice {
            0..22 => {
                self.crash(id);
                let delay = self.down_time();
                self.queue.push(self.now + delay, Event::Start(id));
            }
            22..25 => {
                self.note(|| "the power fails".into());
                for id in ids {
                    self.crash(id);
                    let delay = self.random.range(5, 400) * MS;
                    self.queue.push(self.now + delay, Event::Start(id));
                }
            }
            25..42 => self.pause(id),
            42..60 => self.isolate(id, &ids),
            60..68 => self.cut_link(&ids),
            68..76 => self.elect(),
            76..82 => self.change_members(id),
            82..86 => self.wipe(id),
            86..91 => {
                let lag = self.random.range(0, 1200) * MS;
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.lag = if node.lag == 0 { lag } else { 0 };
                }
            }
            91..95 => {
                let lag = self.random.range(0, 700) * MS;
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.disk_lag = if node.disk_lag == 0 { lag } else { 0 };
                }
            }
            95..97 => {
                self.note(|| format!("{id} is about to end"));
                self.node_step(id, NodeEvent::Leave)?;
            }
            _ => self.change_space(id)?,
        }
        Ok(())
    }

    /// A disk is full, or has room again; a full one may have come too suddenly for what calls have written.
    fn change_space(&mut self, id: NodeId) -> Result<(), Violation> {
        if self.random.permille(400) {
            self.note(|| format!("the disk of {id} has room"));
            return self.node_step(id, NodeEvent::Space(Space::Ample));
        }
        self.note(|| format!("the disk of {id} is full"));
        self.node_step(id, NodeEvent::Space(Space::Full))?;
        let process = self.nodes.get(&id).and_then(|node| node.process.as_ref());
        let shards: Vec<ShardEpoch> = process.map_or_else(Vec::new, |process| {
            let map = process.applied.control.committed();
            map.shards().map(|shard| ShardEpoch { shard, epoch: map.epoch(shard) }).collect()
        });
        let lost = shards.into_iter().filter(|_| self.random.permille(300)).collect();
        self.node_step(id, NodeEvent::Forgo { shards: lost })
    }

    fn down_time(&mut self) -> u64 {
        if self.random.permille(400) {
            self.random.range(5, 60) * MS
        } else {
            self.random.range(60, 3500) * MS
        }
    }

    pub(super) fn crash(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.process.is_some()) else { return };
        node.process = None;
        node.paused = None;
        let kept = self.random.range(0, node.disk.queued() as u64) as usize;
        node.disk.crash(kept);
        self.note(|| format!("{id} crashes; {kept} queued records were on the disk"));
    }

    fn pause(&mut self, id: NodeId) {
        let delay = self.down_time();
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.paused.is_none()) else { return };
        node.paused = Some(Vec::new());
        self.note(|| format!("{id} pauses for {} ms", delay / MS));
        self.queue.push(self.now + delay, Event::Resume(id));
    }

    fn isolate(&mut self, id: NodeId, ids: &[NodeId]) {
        let mut links = Vec::new();
        for other in ids.iter().filter(|other| **other != id) {
            links.extend([(id, *other), (*other, id)]);
        }
        self.note(|| format!("{id} is cut off"));
        self.cut_for_a_while(links);
    }

    fn cut_link(&mut self, ids: &[NodeId]) {
        let (a, b) = (*self.random.pick(ids), *self.random.pick(ids));
        if a != b {
            self.note(|| format!("{a} no longer reaches {b}"));
            let mut links = vec![(a, b)];
            if self.random.permille(500) {
                links.push((b, a));
            }
            self.cut_for_a_while(links);
        }
    }

    fn cut_for_a_while(&mut self, links: Vec<(NodeId, NodeId)>) {
        let delay = self.down_time() * 2;
        self.cut.extend(links.iter().copied());
        self.queue.push(self.now + delay, Event::Mend(links));
    }

    /// Begins or ends a drain, or lets a node join.
    fn change_members(&mut self, id: NodeId) {
        let mut members = self.log.newest.members.clone();
        let newcomer = NodeId(self.nodes.len() as u64 + 1);
        if self.random.permille(400) && newcomer.0 <= self.setup.nodes + 2 {
            let mut node = self.nodes[&id].clone();
            node.id = newcomer;
            node.disk_id = DiskId(newcomer.0 * 100);
            node.disk = Disk::new(self.setup.shards);
            node.boot = shardloom_sharding::ids::Boot(0);
            (node.process, node.paused) = (None, None);
            node.saved = self.log.newest.clone();
            members.push(member(newcomer, node.disk_id));
            self.nodes.insert(newcomer, node);
            self.queue.push(self.now + MS, Event::Start(newcomer));
            self.note(|| format!("{newcomer} joins"));
        } else {
            let live = members.iter().filter(|member| member.standing == Standing::Live).count();
            for member in members.iter_mut().filter(|member| member.replica.node == id) {
                member.standing = match member.standing {
                    Standing::Live if live > usize::from(self.setup.replicas) => Standing::Draining,
                    _ => Standing::Live,
                };
                self.note(|| format!("{id} is {:?}", member.standing));
            }
        }
        self.write_members(members);
    }

    fn write_members(&mut self, members: Vec<Member>) {
        if let Some(leader) = self.log.leader {
            let term = self.log.term;
            self.begin_write(Write {
                from: leader,
                term,
                decision: Decision::Members(members),
                ticket: None,
            });
        }
    }

    /// A disk is lost, once in a run: no more than a minority of any shard's replicas.
    fn wipe(&mut self, id: NodeId) {
        if self.wiped || self.setup.replicas < 3 {
            return;
        }
        self.wiped = true;
        self.crash(id);
        self.note(|| format!("{id} loses its disk"));
        let shards = self.setup.shards;
        if let Some(node) = self.nodes.get_mut(&id) {
            node.disk = Disk::new(shards);
            node.disk_id = DiskId(node.disk_id.0 + 1);
        }
        let disk = self.nodes[&id].disk_id;
        let mut members = self.log.newest.members.clone();
        members
            .iter_mut()
            .filter(|member| member.replica.node == id)
            .for_each(|member| member.replica.disk = disk);
        self.write_members(members);
        self.queue.push(self.now + 100 * MS, Event::Start(id));
    }

    /// Ends all faults: links work, nodes run, nobody drains, nobody is slow.
    pub(super) fn heal(&mut self) {
        self.note(|| "all is well again".into());
        self.calm = true;
        self.cut.clear();
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in ids {
            self.queue.push(self.now, Event::Resume(id));
            self.queue.push(self.now + MS, Event::Start(id));
            if let Some(node) = self.nodes.get_mut(&id) {
                (node.lag, node.disk_lag) = (0, 0);
            }
        }
        if self.log.leader.is_none_or(|leader| !self.has_majority(leader)) {
            self.leaderless_since = None;
        }
    }

    fn owner_serves(&self, shard: ShardId) -> bool {
        let control = &self.log.newest.control;
        let (epoch, owner) = (control.committed().epoch(shard), control.committed().owner(shard));
        let Some(node) = owner.and_then(|owner| self.nodes.get(&owner)) else { return false };
        let Some(process) = &node.process else { return false };
        node.paused.is_none()
            && process.core.serving(shard) == Some(epoch)
            && node.clock(self.now) < process.lease_until
    }

    pub(super) fn all_served(&self) -> bool {
        (0..self.setup.shards).all(|shard| self.owner_serves(ShardId(shard)))
    }

    pub(super) fn unserved(&self) -> String {
        let control = &self.log.newest.control;
        let shards = (0..self.setup.shards).map(ShardId).filter(|shard| !self.owner_serves(*shard));
        let list: Vec<String> = shards.map(|shard| format!("{shard}: {:?}", control.row(shard))).collect();
        list.join("; ")
    }

    /// Reads every shard at its owner.
    pub(super) fn final_reads(&mut self) -> Result<(), Violation> {
        for shard in (0..self.setup.shards).map(ShardId) {
            let owner = self.log.newest.control.committed().owner(shard).filter(|_| self.owner_serves(shard));
            if let Some(owner) = owner {
                self.read(owner, shard)?;
            }
        }
        Ok(())
    }
}
