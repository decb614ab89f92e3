//! The control group at work: heartbeats, elections, writes and their application.

use shardloom_sharding::ids::{Boot, NodeId, Term};
use shardloom_sharding::protocol::leader::LeaderEvent;
use shardloom_sharding::protocol::node::{Changed, NodeEvent};
use shardloom_sharding::protocol::timing::Time;

use super::control_log::{Decision, Write};
use super::oracle::Violation;
use super::queue::{Event, Wire};
use super::world::{MS, World};

impl World {
    pub(super) fn begin_write(&mut self, write: Write) {
        self.log.writes.push_back(write);
        let delay = self.random.range(MS, 15 * MS);
        self.queue.push(self.now + delay, Event::Decide);
    }

    /// The oldest write under way comes to its end, or has to wait.
    pub(super) fn decide(&mut self) -> Result<(), Violation> {
        let Some(write) = self.log.writes.front() else { return Ok(()) };
        let current = write.term == self.log.term;
        if current && !self.has_majority(write.from) {
            self.queue.push(self.now + 20 * MS, Event::Decide);
            return Ok(());
        }
        let Some(Write { from, decision, ticket, .. }) = self.log.writes.pop_front() else { return Ok(()) };
        // What a leader of the past wanted is lost, or reaches the leader of now, who takes it as its own.
        let lost = !current && (self.log.leader.is_none() || self.random.permille(400));
        let at = if lost { 0 } else { self.log.decide(self.log.term, decision) };
        let told = !lost || self.random.permille(500);
        let applied = match self.nodes.get_mut(&from).and_then(|node| node.process.as_mut()) {
            Some(process) => {
                process.written.extend(ticket.filter(|_| told).map(|ticket| (at, ticket)));
                process.applied.index
            }
            None => 0,
        };
        self.spread();
        if applied >= at {
            self.tell_written(from)?;
        }
        Ok(())
    }

    fn tell_written(&mut self, id: NodeId) -> Result<(), Violation> {
        let Some(process) = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut()) else {
            return Ok(());
        };
        let applied = process.applied.index;
        let tickets: Vec<_> = process.written.extract_if(.., |(at, _)| *at <= applied).collect();
        for (_, ticket) in tickets {
            self.leader_step(id, LeaderEvent::Written { ticket })?;
        }
        Ok(())
    }

    /// Lets everybody who hears the leader apply what there is.
    fn spread(&mut self) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        ids.into_iter().for_each(|id| self.plan_apply(id));
    }

    fn plan_apply(&mut self, id: NodeId) {
        let hears = self
            .log
            .leader
            .is_some_and(|leader| leader == id || (self.is_up(leader) && self.linked(leader, id)));
        let (behind, calm) = (self.log.len(), self.calm);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let (boot, lag) = (node.boot, node.lag);
        let Some(process) = node.process.as_mut().filter(|process| !process.applying) else { return };
        if hears && process.applied.index < behind {
            process.applying = true;
            let slow = !calm && self.random.permille(20);
            let delay =
                if slow { self.random.range(1, 600) * MS } else { self.random.range(100_000, 3 * MS) };
            self.queue.push(self.now + delay + lag, Event::Apply(id, boot));
        }
    }

    pub(super) fn apply(&mut self, id: NodeId, boot: Boot) -> Result<(), Violation> {
        if !self.is_running(id, boot) {
            return Ok(());
        }
        let behind = self.log.len();
        let at_once = if self.random.permille(200) { self.random.range(1, 3) } else { 1 };
        let by_snapshot = !self.calm && self.random.permille(15);
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let Some(process) = node.process.as_mut() else { return Ok(()) };
        process.applying = false;
        let mut changes = Vec::new();
        if by_snapshot && behind > process.applied.index {
            process.applied = self.log.newest.clone();
            changes.push((Changed::All, process.applied.control.newest_proposal(), true));
        }
        // The state may be ahead of what the cores have been told.
        for _ in 0..at_once {
            if let Some(entry) = self.log.entry(process.applied.index) {
                let (changed, members) = process.applied.apply(entry);
                changes.push((changed, process.applied.control.newest_proposal(), members));
            }
        }
        if self.random.permille(100) {
            node.saved = process.applied.clone();
        }
        let members = process.applied.members.clone();
        for (changed, newest_proposal, new_members) in changes {
            if new_members {
                self.leader_step(id, LeaderEvent::Members(members.clone()))?;
            }
            self.leader_step(id, LeaderEvent::Applied { changed: changed.clone() })?;
            self.node_step(id, NodeEvent::Applied { changed, newest_proposal })?;
        }
        self.tell_written(id)?;
        self.take_office(id)?;
        self.plan_apply(id);
        Ok(())
    }

    /// Tells a process that it leads, once it has applied an entry of its own term.
    fn take_office(&mut self, id: NodeId) -> Result<(), Violation> {
        let Some(process) = self.nodes.get_mut(&id).and_then(|node| node.process.as_mut()) else {
            return Ok(());
        };
        let Some((term, first, at)) = process.won.filter(|(_, first, _)| process.applied.index >= *first)
        else {
            return Ok(());
        };
        let _ = first;
        process.won = None;
        process.leads = Some(term);
        self.note(|| format!("{id} leads in term {term}"));
        self.leader_step(id, LeaderEvent::Elected { term, at })
    }

    pub(super) fn depose(&mut self, id: NodeId, boot: Boot, term: Term) -> Result<(), Violation> {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.boot == boot) else { return Ok(()) };
        let Some(process) = node.process.as_mut() else { return Ok(()) };
        process.won = process.won.filter(|(won, _, _)| *won > term);
        if process.leads == Some(term) {
            process.leads = None;
            self.leader_step(id, LeaderEvent::Deposed)?;
        }
        Ok(())
    }

    pub(super) fn heartbeat(&mut self) -> Result<(), Violation> {
        self.queue.push(self.now + 100 * MS, Event::Heartbeat);
        let Some(leader) = self.log.leader.filter(|leader| self.is_up(*leader)) else { return Ok(()) };
        let sent = self.clock(leader);
        let term = self.log.term;
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in ids {
            self.send(leader, id, Wire::Heartbeat(term, sent));
        }
        self.spread();
        Ok(())
    }

    pub(super) fn hear_heartbeat(
        &mut self,
        from: NodeId,
        to: NodeId,
        term: Term,
        sent: Time,
    ) -> Result<(), Violation> {
        let Some(node) = self.nodes.get_mut(&to).filter(|node| node.term <= term) else { return Ok(()) };
        node.term = term;
        self.send(to, from, Wire::HeartbeatAck(term, sent));
        self.node_step(to, NodeEvent::Leader(Some((from, term))))
    }

    pub(super) fn hear_heartbeat_ack(
        &mut self,
        from: NodeId,
        to: NodeId,
        term: Term,
        sent: Time,
    ) -> Result<(), Violation> {
        let voters = self.voters();
        let Some(process) = self.nodes.get_mut(&to).and_then(|node| node.process.as_mut()) else {
            return Ok(());
        };
        if process.leads != Some(term) || !voters.contains(&from) {
            return Ok(());
        }
        let acks = process.heartbeats.entry(sent).or_default();
        acks.insert(from);
        if acks.len() * 2 <= voters.len() {
            return Ok(());
        }
        process.heartbeats.retain(|other, _| *other > sent);
        self.leader_step(to, LeaderEvent::QuorumHeard { sent })
    }

    /// Elects a new leader where the old one has been out of reach for a while.
    pub(super) fn election(&mut self) -> Result<(), Violation> {
        self.queue.push(self.now + 50 * MS, Event::Election);
        // A leader that has restarted leads no more.
        let leads = |id: NodeId| {
            let process = self.nodes.get(&id).and_then(|node| node.process.as_ref());
            process.is_some_and(|process| process.leads == Some(self.log.term) || process.won.is_some())
        };
        if self.log.leader.is_some_and(|leader| self.has_majority(leader) && leads(leader)) {
            self.leaderless_since = None;
            return Ok(());
        }
        let since = *self.leaderless_since.get_or_insert(self.now);
        if self.log.term == Term(0) || self.now - since > self.random.range(300, 900) * MS {
            self.elect();
        }
        Ok(())
    }

    /// Elects somebody, if anybody can be.
    pub(super) fn elect(&mut self) {
        let able: Vec<NodeId> = self.voters().into_iter().filter(|id| self.has_majority(*id)).collect();
        if able.is_empty() {
            return;
        }
        let winner = *self.random.pick(&able);
        self.leaderless_since = None;
        let old = self.log.leader.replace(winner);
        // Of what the old leader had under way, a part is in the log of the new one.
        let kept = self.random.range(0, self.log.writes.len() as u64);
        for _ in 0..kept {
            let ours = self.log.writes.front().is_some_and(|write| write.term == self.log.term);
            if ours && let Some(write) = self.log.writes.pop_front() {
                self.log.decide(self.log.term, write.decision);
            }
        }
        self.log.term = Term(self.log.term.0 + 1);
        let term = self.log.term;
        let first = self.log.decide(term, Decision::Blank);
        let mut voters = self.reachable(winner);
        while voters.len() * 2 > self.voters().len() + 2 && self.random.permille(500) {
            let other = self.random.range(0, voters.len() as u64 - 1) as usize;
            if voters[other] != winner {
                voters.remove(other);
            }
        }
        for voter in voters {
            if let Some(node) = self.nodes.get_mut(&voter) {
                node.term = term;
            }
        }
        self.note(|| format!("{winner} wins the election of term {term}"));
        let at = self.clock(winner);
        if let Some(process) = self.nodes.get_mut(&winner).and_then(|node| node.process.as_mut()) {
            process.won = Some((term, first, at));
            process.leads = None;
            process.heartbeats.clear();
        }
        if let Some(old) = old {
            let boot = self.nodes[&old].boot;
            let delay = if old == winner { 0 } else { self.random.range(1, 1500) * MS };
            self.queue.push(self.now + delay, Event::Depose(old, boot, Term(term.0 - 1)));
        }
        self.spread();
    }
}
