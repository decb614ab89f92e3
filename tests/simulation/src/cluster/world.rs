//! A whole cluster on one seed: the clock, the network, and who gets what.

use std::collections::{BTreeMap, BTreeSet};

use shardloom_sharding::ids::{Boot, DiskId, NodeId, Term};
use shardloom_sharding::plan::{Member, PlanSettings, Standing, Zone};
use shardloom_sharding::protocol::leader::{LeaderCore, LeaderEvent, LeaderSettings};
use shardloom_sharding::protocol::node::{Changed, NodeCore, NodeEvent};
use shardloom_sharding::protocol::timing::{Time, Timing};

use super::control_log::{Applied, ControlLog};
use super::disk::Disk;
use super::node::{Node, Process};
use super::oracle::{Oracle, Violation};
use super::queue::{Event, Queue, Wire};
use super::{Outcome, Setup};
use crate::random::Random;

/// A millisecond of simulated time, in ns.
pub(super) const MS: u64 = 1_000_000;

/// A whole cluster.
pub struct World {
    pub(super) setup: Setup,
    pub(super) random: Random,
    pub(super) now: u64,
    pub(super) queue: Queue,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) log: ControlLog,
    pub(super) oracle: Oracle,
    /// Links that lose everything, by direction.
    pub(super) cut: BTreeSet<(NodeId, NodeId)>,
    /// Nothing goes wrong any more.
    pub(super) calm: bool,
    pub(super) leaderless_since: Option<u64>,
    pub(super) writes: u64,
    pub(super) wiped: bool,
    pub(super) events: u64,
    pub(super) trace: bool,
}

impl World {
    /// A cluster whose nodes all start now.
    pub fn new(setup: Setup, seed: u64, trace: bool) -> World {
        let mut random = Random::new(seed);
        let ids: Vec<NodeId> = (1..=setup.nodes).map(NodeId).collect();
        let members: Vec<Member> = ids.iter().map(|id| member(*id, DiskId(id.0 * 100))).collect();
        let log = ControlLog::new(setup.shards, members.clone(), setup.rules);
        let node = |id: NodeId, random: &mut Random| Node {
            id,
            disk_id: DiskId(id.0 * 100),
            boot: Boot(0),
            disk: Disk::new(setup.shards),
            process: None,
            paused: None,
            term: Term(0),
            saved: Applied::new(setup.shards, members.clone(), setup.rules),
            clock: (random.range(0, 1000) * MS, random.range(9950, 10_050)),
            lag: 0,
            disk_lag: 0,
        };
        let nodes = ids.iter().map(|id| (*id, node(*id, &mut random))).collect();
        let mut world = World {
            random,
            now: 0,
            queue: Queue::default(),
            nodes,
            log,
            oracle: Oracle::new(setup.shards),
            cut: BTreeSet::new(),
            calm: false,
            leaderless_since: None,
            writes: 0,
            wiped: false,
            events: 0,
            trace,
            setup,
        };
        for id in ids {
            world.queue.push(0, Event::Start(id));
        }
        for event in [Event::Heartbeat, Event::Election, Event::Client] {
            world.queue.push(1, event);
        }
        world.queue.push(2500 * MS, Event::Fault);
        world
    }

    /// Runs through the storm and after it until all is well again.
    ///
    /// # Errors
    /// A [`Violation`] of a promise.
    pub fn run(mut self) -> Result<Outcome, Violation> {
        let storm = self.setup.storm_ms * MS;
        while self.now < storm {
            self.next()?;
        }
        self.heal();
        let healed = self.now;
        let mut recovered = None;
        while self.now < healed + self.setup.recovery_ms * MS {
            self.next()?;
            if self.all_served() {
                recovered = Some(self.now - healed);
                break;
            }
        }
        let Some(recovered) = recovered else {
            return Err(Violation(format!(
                "(live) not all shards are served {} ms after the last fault: {}",
                self.setup.recovery_ms,
                self.unserved()
            )));
        };
        // A last look at everything that was promised.
        let end = self.now + 2000 * MS;
        while self.now < end {
            self.next()?;
        }
        self.final_reads()?;
        Ok(Outcome { recovered_ms: recovered / MS, events: self.events, replies: self.oracle.replies })
    }

    fn next(&mut self) -> Result<(), Violation> {
        let Some((at, event)) = self.queue.pop() else {
            return Err(Violation("nothing is to happen".into()));
        };
        self.now = self.now.max(at);
        self.events += 1;
        self.happen(event)
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        if let Some(id) = concerns(&event)
            && let Some(waiting) = self.nodes.get_mut(&id).and_then(|node| node.paused.as_mut())
        {
            waiting.push(event);
            return Ok(());
        }
        match event {
            Event::Tick(id, boot) => self.tick(id, boot),
            Event::Deliver(from, to, wire) => self.deliver(from, to, wire),
            Event::Synced(id, boot, upto) => self.synced(id, boot, upto),
            Event::Apply(id, boot) => self.apply(id, boot),
            Event::Drained(id, boot, shards) => match self.is_running(id, boot) {
                true => self.node_step(id, NodeEvent::Drained { shards }),
                false => Ok(()),
            },
            Event::Checkpoint(id) => self.checkpoint(id),
            Event::Depose(id, boot, term) => self.depose(id, boot, term),
            Event::Heartbeat => self.heartbeat(),
            Event::Election => self.election(),
            Event::Decide => self.decide(),
            Event::Client => self.client(),
            Event::Fault => self.fault(),
            Event::Start(id) => self.start(id),
            Event::Resume(id) => self.resume(id),
            Event::Mend(links) => {
                links.iter().for_each(|link| {
                    self.cut.remove(link);
                });
                Ok(())
            }
        }
    }

    pub(super) fn note(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>9.3} ms  {}", self.now as f64 / MS as f64, text());
        }
    }

    pub(super) fn is_running(&self, id: NodeId, boot: Boot) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.process.is_some() && node.boot == boot)
    }

    pub(super) fn clock(&self, id: NodeId) -> Time {
        self.nodes.get(&id).map_or(Time(0), |node| node.clock(self.now))
    }

    /// Starts a node from its disk.
    pub(super) fn start(&mut self, id: NodeId) -> Result<(), Violation> {
        let (rules, timing, setup) = (self.setup.rules, Timing::DEFAULT, self.setup);
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        if node.process.is_some() {
            return Ok(());
        }
        node.boot = Boot(node.boot.0 + 1);
        let boot = node.boot;
        let plan = PlanSettings { replicas: setup.replicas, threshold_percent: 10, moves_max: Some(4) };
        let settings = LeaderSettings { timing, plan, moves_in_flight: 4 };
        let core =
            NodeCore::with_rules(rules, node.replica(), boot, timing, setup.shards, node.disk.stored());
        let process = Process {
            core,
            leader: LeaderCore::with_rules(rules, settings),
            applied: node.saved.clone(),
            applying: false,
            syncing: false,
            served: BTreeMap::new(),
            held: BTreeSet::new(),
            lease_until: Time(0),
            won: None,
            leads: None,
            written: Vec::new(),
            heartbeats: BTreeMap::new(),
        };
        let (newest, members) = (process.applied.control.newest_proposal(), process.applied.members.clone());
        node.process = Some(process);
        self.note(|| format!("{id} starts, boot {boot}"));
        self.queue.push(now + self.random.range(1, 50) * MS, Event::Tick(id, boot));
        self.leader_step(id, LeaderEvent::Members(members))?;
        self.node_step(id, NodeEvent::Applied { changed: Changed::All, newest_proposal: newest })
    }

    pub(super) fn resume(&mut self, id: NodeId) -> Result<(), Violation> {
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let Some(waiting) = node.paused.take() else { return Ok(()) };
        self.note(|| format!("{id} goes on"));
        for event in waiting {
            self.happen(event)?;
        }
        Ok(())
    }

    fn tick(&mut self, id: NodeId, boot: Boot) -> Result<(), Violation> {
        if !self.is_running(id, boot) {
            return Ok(());
        }
        self.queue.push(self.now + 50 * MS + self.random.range(0, 3) * MS, Event::Tick(id, boot));
        self.leader_step(id, LeaderEvent::Tick)?;
        self.node_step(id, NodeEvent::Tick)
    }

    /// Puts a message on the network, which may do anything to it but change it.
    pub(super) fn send(&mut self, from: NodeId, to: NodeId, wire: Wire) {
        if from == to {
            self.queue.push(self.now, Event::Deliver(from, to, wire));
            return;
        }
        let (loss, double) = if self.calm { (0, 0) } else { (self.setup.loss_permille, 10) };
        if self.cut.contains(&(from, to)) || self.random.permille(loss) {
            return;
        }
        let bulk = if matches!(wire, Wire::Snapshot(..)) { self.random.range(1, 50) * MS } else { 0 };
        let copies = 1 + u64::from(self.random.permille(double));
        for _ in 0..copies {
            let slow = !self.calm && self.random.permille(20);
            let delay =
                if slow { self.random.range(1, 800) * MS } else { self.random.range(100_000, 3 * MS) };
            self.queue.push(self.now + delay + bulk, Event::Deliver(from, to, wire.clone()));
        }
    }

    pub(super) fn linked(&self, a: NodeId, b: NodeId) -> bool {
        !self.cut.contains(&(a, b)) && !self.cut.contains(&(b, a))
    }

    /// Whether a node runs and is not paused.
    pub(super) fn is_up(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.process.is_some() && node.paused.is_none())
    }

    /// The voters: all nodes that the cluster began with.
    pub(super) fn voters(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().filter(|id| id.0 <= self.setup.nodes).collect()
    }

    /// The voters that hear a node and are heard by it, itself included.
    pub(super) fn reachable(&self, id: NodeId) -> Vec<NodeId> {
        let mut voters = self.voters();
        voters.retain(|other| self.is_up(*other) && (*other == id || self.linked(id, *other)));
        voters
    }

    pub(super) fn has_majority(&self, id: NodeId) -> bool {
        self.is_up(id) && self.reachable(id).len() * 2 > self.voters().len()
    }
}

/// A live member of ordinary size.
pub(super) fn member(node: NodeId, disk: DiskId) -> Member {
    let replica = shardloom_sharding::ids::Replica { node, disk };
    Member { replica, capacity: 1, zone: Zone(node.0 as u32), standing: Standing::Live }
}

/// The node that an event cannot reach while it is paused.
fn concerns(event: &Event) -> Option<NodeId> {
    match event {
        Event::Tick(id, _)
        | Event::Deliver(_, id, _)
        | Event::Synced(id, _, _)
        | Event::Apply(id, _)
        | Event::Drained(id, _, _)
        | Event::Checkpoint(id)
        | Event::Depose(id, _, _) => Some(*id),
        Event::Heartbeat
        | Event::Election
        | Event::Decide
        | Event::Client
        | Event::Fault
        | Event::Start(_)
        | Event::Resume(_)
        | Event::Mend(_) => None,
    }
}
