//! One leader in one term: hears seals and confirmations, grants leases, proposes and commits.

mod ordering;
mod planning;
mod quarantine;

use std::collections::BTreeMap;

use crate::ids::{Boot, DiskId, Epoch, NodeId, Replica, ShardId, Tail, Term};
use crate::plan::{Member, Reason};

use super::super::control::ShardControl;
use super::super::messages::{FromLeader, SealVerdict, ShardEpoch, Space, ToLeader};
use super::super::node::Changed;
use super::super::quorum::Seal;
use super::super::rules::{Rule, Rules};
use super::super::timing::Time;
use super::flaps::{FlapRule, Flaps};
use super::moves::Moves;
use super::nodes::Nodes;
use super::outbox::Outbox;
use super::rests::Rests;
use super::rounds::{Rounds, old_owner};
use super::setbacks::MoveSetback;
use super::survey::{Plea, Tries};
use super::takeovers::Takeovers;
use super::tally::Tally;
use super::{LeaderCommand, LeaderEvent, LeaderSettings, Levelling, MoveStatus, MovesEnded, Ticket};
use ordering::Orders;

/// What a leader is given, whatever its term.
#[derive(Clone, Debug)]
pub(super) struct Court<R: Rules> {
    pub(super) rules: R,
    pub(super) settings: LeaderSettings,
    pub(super) members: Vec<Member>,
    pub(super) weights: Vec<u32>,
    pub(super) levelling: Levelling,
    pub(super) flaps: FlapRule,
}

impl<R: Rules> Court<R> {
    fn is_member(&self, node: NodeId) -> bool {
        self.members.iter().any(|member| member.replica.node == node)
    }
}

/// What is being written into the control log.
#[derive(Clone, Debug, Default)]
struct Writing {
    ticket: u64,
    /// The proposal under way; one at a time, since the next builds on what it leads to.
    proposal: Option<(Ticket, Time)>,
    /// The commits under way; what becomes ready meanwhile makes up the next.
    commits: BTreeMap<Ticket, (Time, Epoch, Vec<ShardId>)>,
    ready: BTreeMap<Epoch, Vec<ShardId>>,
}

impl Writing {
    fn ticket(&mut self) -> Ticket {
        self.ticket += 1;
        Ticket(self.ticket)
    }
}

/// One leader in one term.
#[derive(Clone, Debug)]
pub(super) struct Reign {
    term: Term,
    elected: Time,
    quorum_heard: Option<Time>,
    nodes: Nodes,
    flaps: Flaps,
    rounds: Rounds,
    moves: Moves,
    takeovers: Takeovers,
    orders: Orders,
    rests: Rests,
    tries: Tries,
    pleas: BTreeMap<ShardId, (Epoch, Plea)>,
    writing: Writing,
    out: Outbox,
    /// What the last survey saw, so that the next is made when something else is to be seen.
    outlook: Outlook,
}

#[derive(Clone, Debug, Default)]
struct Outlook {
    /// Something has changed since the last survey.
    stale: bool,
    live: Vec<NodeId>,
    surveyed: Option<Time>,
    unavailable: Vec<ShardId>,
}

impl Reign {
    /// Begins with what the control state says.
    pub(super) fn begin(now: Time, term: Term, elected: Time, control: &ShardControl) -> Reign {
        let mut rounds = Rounds::default();
        for (shard, _) in control.pendings() {
            rounds.follow(now, control, shard);
        }
        Reign {
            term,
            elected,
            quorum_heard: None,
            nodes: Nodes::new(now),
            flaps: Flaps::new(now),
            rounds,
            moves: Moves::default(),
            takeovers: Takeovers::default(),
            orders: Orders::default(),
            rests: Rests::default(),
            tries: Tries::default(),
            pleas: BTreeMap::new(),
            writing: Writing::default(),
            out: Outbox::default(),
            outlook: Outlook { stale: true, ..Outlook::default() },
        }
    }

    /// Takes one event.
    pub(super) fn step<R: Rules>(
        &mut self,
        court: &Court<R>,
        now: Time,
        control: &ShardControl,
        event: LeaderEvent,
        commands: &mut Vec<LeaderCommand>,
    ) {
        match event {
            LeaderEvent::QuorumHeard { sent } => self.quorum_heard = self.quorum_heard.max(Some(sent)),
            LeaderEvent::Message { from, message } => self.hear(court, now, control, from, message, commands),
            LeaderEvent::Applied { changed } => self.follow(court, now, control, changed),
            LeaderEvent::Written { ticket } => self.written(court, now, control, ticket),
            LeaderEvent::Tick => {
                self.tick(court, now, control);
                self.watch_flaps(court, now, commands);
            }
            LeaderEvent::Elected { .. }
            | LeaderEvent::Deposed
            | LeaderEvent::Members(_)
            | LeaderEvent::Weights(_)
            | LeaderEvent::Settings(_) => {}
        }
        self.act(court, now, control, commands);
        self.out.flush(commands);
    }

    /// The weights are others from now on.
    pub(super) fn weigh_anew(&mut self) {
        self.rests.weigh_anew();
    }

    /// Whether the node has been heard within the length of a lease.
    pub(super) fn is_live<R: Rules>(&self, court: &Court<R>, now: Time, node: NodeId) -> bool {
        court.is_member(node) && self.nodes.is_live(node, now, &court.settings.timing)
    }

    /// Whether the node has said that its disk is full.
    pub(super) fn is_full(&self, node: NodeId) -> bool {
        self.nodes.is_full(node)
    }

    /// Whether the node's process is about to end.
    pub(super) fn is_leaving(&self, node: NodeId) -> bool {
        self.nodes.is_leaving(node)
    }

    /// How the planned moves fare.
    pub(super) fn moves(&self, now: Time) -> (Vec<MoveStatus>, usize, MovesEnded) {
        (self.moves.status(now), self.moves.waiting(), self.moves.tally().ended())
    }

    /// What became of all changes so far.
    pub(super) fn tally(&self) -> (Term, &Tally) {
        (self.term, self.moves.tally())
    }

    /// The moves that were given up again and again.
    pub(super) fn setbacks(&self, now: Time) -> Vec<MoveSetback> {
        self.moves.setbacks(now)
    }

    /// The members that have renewed within the length of a lease, in order.
    fn live<R: Rules>(&self, court: &Court<R>, now: Time) -> Vec<NodeId> {
        let nodes = court.members.iter().map(|member| member.replica.node);
        let timing = &court.settings.timing;
        let mut live: Vec<NodeId> = nodes.filter(|node| self.nodes.is_live(*node, now, timing)).collect();
        live.sort_unstable();
        live
    }

    fn hear<R: Rules>(
        &mut self,
        court: &Court<R>,
        now: Time,
        control: &ShardControl,
        from: NodeId,
        message: ToLeader,
        commands: &mut Vec<LeaderCommand>,
    ) {
        match message {
            ToLeader::Renew { boot, disk, number } => {
                if self.nodes.is_current(from, boot) {
                    self.nodes.renewed(from, now, disk);
                    self.flaps.heard(now, from, boot, self.nodes.came_in_order(from));
                    self.grant(court, now, control, from, (boot, number), commands);
                }
            }
            ToLeader::SealAck { boot, disk, number, through, tails } => {
                if !self.nodes.is_current(from, boot) {
                    return;
                }
                self.sealed(court, now, control, (from, disk), (through, tails));
                let current = control.newest_proposal();
                let verdict =
                    if through < current { SealVerdict::Behind { current } } else { SealVerdict::Ok };
                let answer = FromLeader::SealAnswer { term: self.term, boot, number, verdict };
                commands.push(LeaderCommand::Send { to: from, message: answer });
            }
            ToLeader::Confirm { boot, shards } => {
                if self.nodes.is_current(from, boot) {
                    self.confirmed(court, now, control, from, shards);
                }
            }
            ToLeader::Trouble { boot, lost, stuck } => {
                if self.nodes.is_current(from, boot) {
                    self.plead(control, lost, Plea::Lost);
                    self.plead(control, stuck, Plea::Stuck(from));
                }
            }
            ToLeader::Learnt { shards } => {
                shards.into_iter().for_each(|at| self.moves.learnt(now, control, at, &mut self.out));
            }
            ToLeader::Learning { shards } => {
                shards.into_iter().for_each(|(at, progress)| self.moves.advanced(now, at, progress));
            }
            ToLeader::Held { shards } => shards.into_iter().for_each(|at| self.moves.held(now, at)),
            ToLeader::Leaving { boot } => {
                if self.nodes.is_current(from, boot) {
                    self.outlook.stale |= self.nodes.leaves(from, boot);
                }
            }
            ToLeader::Space { boot, number, space } => {
                if self.nodes.is_current(from, boot) && self.nodes.said_space(from, number, space) {
                    self.outlook.stale = true;
                    if space == Space::Full {
                        self.moves.drop_towards(from);
                    }
                }
            }
        }
    }

    /// Grants a lease, if a quorum has lately heard this leader (rules 16 and 17).
    fn grant<R: Rules>(
        &mut self,
        court: &Court<R>,
        now: Time,
        control: &ShardControl,
        from: NodeId,
        (boot, number): (Boot, u64),
        commands: &mut Vec<LeaderCommand>,
    ) {
        let timing = &court.settings.timing;
        let heard = self.quorum_heard.is_some_and(|sent| now.since(sent) <= timing.quorum_window);
        if !court.is_member(from) || (!heard && court.rules.holds(Rule::GrantWithQuorum)) {
            return;
        }
        let proposal = control.newest_proposal();
        self.nodes.grant(from, now, proposal, timing);
        let grant = FromLeader::Grant { boot, number, proposal };
        commands.push(LeaderCommand::Send { to: from, message: grant });
    }

    fn sealed<R: Rules>(
        &mut self,
        court: &Court<R>,
        now: Time,
        control: &ShardControl,
        (node, disk): (NodeId, DiskId),
        (through, tails): (Epoch, Vec<(ShardEpoch, Tail)>),
    ) {
        for (at, tail) in &tails {
            self.rounds.sealed(*at, Seal { replica: Replica { node, disk }, tail: *tail });
        }
        if self.nodes.sealed(node, through) {
            self.gather(court, now, control);
            self.release(court, now, control);
        }
        for (at, _) in tails {
            self.rounds.recover(court.rules, now, control, at.shard, &mut self.out);
        }
    }

    /// Lets proposals go on whose seals are all there, or have been waited for long enough.
    fn gather<R: Rules>(&mut self, court: &Court<R>, now: Time, control: &ShardControl) {
        let timing = &court.settings.timing;
        let live = self.live(court, now);
        let nodes = &self.nodes;
        let ready = self.rounds.gathered(|epoch, since| {
            now.since(since) >= timing.ack_wait || live.iter().all(|node| nodes.through(*node) >= epoch)
        });
        for shard in ready {
            self.rounds.recover(court.rules, now, control, shard, &mut self.out);
        }
    }

    fn confirmed<R: Rules>(
        &mut self,
        court: &Court<R>,
        now: Time,
        control: &ShardControl,
        from: NodeId,
        shards: Vec<ShardEpoch>,
    ) {
        for at in shards {
            let named = control.pending(at.shard).is_some_and(|pending| pending.is_owned_by(from));
            if let Some(round) = self.rounds.at(at).filter(|_| named) {
                round.confirmed = true;
                // Who has recovered under an epoch has sealed it.
                if old_owner(control, at.shard) == Some(from) {
                    self.ready(at);
                } else {
                    self.try_commit(court, now, control, at.shard);
                }
            }
        }
    }

    /// Looks again at the confirmed shards whose old owner might have served.
    fn release<R: Rules>(&mut self, court: &Court<R>, now: Time, control: &ShardControl) {
        for shard in std::mem::take(&mut self.rounds.lingering) {
            self.try_commit(court, now, control, shard);
        }
    }

    /// Has a confirmed shard committed, unless its old owner may still serve.
    fn try_commit<R: Rules>(&mut self, court: &Court<R>, now: Time, control: &ShardControl, shard: ShardId) {
        let Some(epoch) = control.pending(shard).map(|pending| pending.epoch) else { return };
        let at = ShardEpoch { shard, epoch };
        if !self.rounds.at(at).is_some_and(|round| round.confirmed && !round.committing) {
            return;
        }
        let over = old_owner(control, shard).is_none_or(|old| self.has_stopped(court, now, old, epoch));
        if over {
            self.ready(at);
        } else {
            self.rounds.lingering.insert(shard);
        }
    }

    fn ready(&mut self, at: ShardEpoch) {
        if let Some(round) = self.rounds.at(at).filter(|round| !round.committing) {
            round.committing = true;
            self.writing.ready.entry(at.epoch).or_default().push(at.shard);
        }
    }

    /// Whether the old owner has sealed this epoch or a newer one, or its lease has surely run out (rule 17).
    fn has_stopped<R: Rules>(&self, court: &Court<R>, now: Time, old: NodeId, epoch: Epoch) -> bool {
        let timing = &court.settings.timing;
        let mine = self.nodes.is_out_before(old, now, epoch) || !court.rules.holds(Rule::WaitForLease);
        let others = timing.lease + timing.quorum_window + timing.drift;
        let others = now.since(self.elected) >= others || !court.rules.holds(Rule::WaitAfterElection);
        self.nodes.through(old) >= epoch || (mine && others)
    }

    fn plead(&mut self, control: &ShardControl, shards: Vec<ShardEpoch>, plea: Plea) {
        for ShardEpoch { shard, epoch } in shards {
            let wanted =
                control.pending(shard).map_or(control.committed().epoch(shard), |pending| pending.epoch);
            if wanted == epoch {
                self.pleas.insert(shard, (epoch, plea));
                self.outlook.stale = true;
            }
        }
    }

    fn follow<R: Rules>(&mut self, court: &Court<R>, now: Time, control: &ShardControl, changed: Changed) {
        let changed: Vec<ShardId> = match changed {
            Changed::All => control.committed().shards().collect(),
            Changed::Shards(shards) => shards,
        };
        for shard in changed {
            self.rounds.follow(now, control, shard);
            if self.moves.follow(control, shard).is_some_and(Reason::is_levelling) {
                self.rests.note(shard, now);
            }
            if let Some(reason) = self.takeovers.follow(control, shard) {
                self.moves.count_urgent(reason);
            }
            if control.pending(shard).is_none() {
                self.tries.committed(shard);
            }
        }
        self.outlook.stale = true;
        self.gather(court, now, control);
    }

    fn written<R: Rules>(&mut self, court: &Court<R>, now: Time, control: &ShardControl, ticket: Ticket) {
        self.writing.proposal = self.writing.proposal.filter(|(proposal, _)| *proposal != ticket);
        if let Some((_, epoch, shards)) = self.writing.commits.remove(&ticket) {
            self.commit_again(court, now, control, epoch, shards);
        }
        self.outlook.stale = true;
    }

    /// A commit was written, or was lost: what is still pending of it is to be written again.
    fn commit_again<R: Rules>(
        &mut self,
        court: &Court<R>,
        now: Time,
        control: &ShardControl,
        epoch: Epoch,
        shards: Vec<ShardId>,
    ) {
        for shard in shards {
            if let Some(round) = self.rounds.at(ShardEpoch { shard, epoch }) {
                round.committing = false;
                self.try_commit(court, now, control, shard);
            }
        }
    }

    fn tick<R: Rules>(&mut self, court: &Court<R>, now: Time, control: &ShardControl) {
        let timing = &court.settings.timing;
        self.gather(court, now, control);
        self.release(court, now, control);
        for shard in self.rounds.forgotten(|asked| now.since(asked) >= timing.resend) {
            self.rounds.recover(court.rules, now, control, shard, &mut self.out);
        }
        self.moves.tick(now, timing, control, &mut self.out);
        self.tries.forget(now);
        self.writing.proposal = self.writing.proposal.filter(|(_, since)| now.since(*since) < timing.retry);
        let lost = self.writing.commits.extract_if(.., |_, (since, _, _)| now.since(*since) >= timing.retry);
        for (_, (_, epoch, shards)) in lost.collect::<Vec<_>>() {
            self.commit_again(court, now, control, epoch, shards);
        }
        let live = self.live(court, now);
        if live != self.outlook.live {
            self.outlook.live = live;
            self.outlook.stale = true;
        }
        // Rounds and tries have deadlines of their own, so look from time to time even if nothing has changed.
        let looked = self.outlook.surveyed;
        self.outlook.stale |= looked.is_none_or(|looked| now.since(looked) >= timing.renew_every);
        if self.outlook.stale && self.writing.proposal.is_none() {
            self.outlook.surveyed = None;
        }
    }

    /// Writes what is ready, and what has to be proposed.
    fn act<R: Rules>(
        &mut self,
        court: &Court<R>,
        now: Time,
        control: &ShardControl,
        commands: &mut Vec<LeaderCommand>,
    ) {
        if self.writing.commits.is_empty() {
            for (epoch, shards) in std::mem::take(&mut self.writing.ready) {
                let ticket = self.writing.ticket();
                self.writing.commits.insert(ticket, (now, epoch, shards.clone()));
                commands.push(LeaderCommand::Commit { ticket, epoch, term: self.term, shards });
            }
        }
        if self.writing.proposal.is_some() {
            return;
        }
        let mut changes = if self.outlook.surveyed.is_none() {
            self.survey(court, now, control, commands)
        } else {
            Vec::new()
        };
        self.moves.fill(now, control, court.settings.moves_in_flight, &mut self.out);
        // What has begun and is given up is not begun again.
        let moves = &self.moves;
        self.orders.prune(|change| !moves.has(change.shard));
        let urgent: Vec<ShardId> = changes.iter().map(|change| change.shard).collect();
        let due = self.moves.due(now, &court.settings.timing);
        changes.extend(due.into_iter().filter(|change| !urgent.contains(&change.shard)));
        if changes.is_empty() {
            return;
        }
        changes.sort_by_key(|change| change.shard);
        let ticket = self.writing.ticket();
        self.writing.proposal = Some((ticket, now));
        commands.push(LeaderCommand::Propose { ticket, changes });
    }
}
