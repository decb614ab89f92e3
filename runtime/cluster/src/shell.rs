//! The protocol's shell on this node: one task that feeds the pure cores and does what they say.
//!
//! Everything that may block goes elsewhere: messages to the [`Outbox`], entries of the control log to tasks of their own, disk writes to the
//! queue of the write-ahead log, the making of states to threads of their own. What the cores decide is decided there; here is only `select!`,
//! `step`, `match`. `obey` does what the node's core says, `room` keeps out what the disk cannot take, `states` is between it and the states of shards.

mod obey;
mod room;
mod states;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use shardloom_protocol::envelope::{self, Kind};
use shardloom_protocol::peer::HealingReport;
use shardloom_sharding::ids::{Epoch, NodeId, Position, ShardId};
use shardloom_sharding::map_codec::encode_changes;
use shardloom_sharding::protocol::leader::{
    LeaderCommand, LeaderCore, LeaderEvent, Order, Ordered, PlanAsk, PlanRefusal, Preview, Ticket,
};
use shardloom_sharding::protocol::messages::{PeerMessage, ShardEpoch, Space};
use shardloom_sharding::protocol::node::{Changed, NodeCommand, NodeCore, NodeEvent};
use shardloom_sharding::protocol::record::WriteSeq;
use shardloom_store::{DiskSpace, Progress, Wal, WriteSeq as StoreSeq};
use shardloom_transport::Class;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};

use crate::control::{Absence, Author, ControlCommand, Setting};
use crate::formats::Level;
use crate::leading::{LeaderNews, Leading, MovesNews};
use crate::outbox::Outbox;
use crate::raft::{Applied, AppliedEvent, Raft};
use crate::serving::ServingTable;
use crate::shard_logs::ShardLogs;
use crate::standing::StandingCell;
use crate::state::limits::TURN_BATCHES_MAX;
use crate::state::{StateLinks, Submission};
use crate::writer::dated;
use crate::{ClusterError, clock};

/// A message for the shell from a peer.
#[derive(Debug)]
pub enum Incoming {
    /// The shard protocol's.
    Protocol(NodeId, PeerMessage),
    /// The leader says how everybody is.
    News(NodeId, LeaderNews),
    /// This node is about to stop, and is to hand over what it owns.
    Leave,
    /// Somebody wants to know a plan.
    Plan(Box<PlanAsk>, oneshot::Sender<Result<Preview, PlanRefusal>>),
    /// Somebody wants a plan carried out.
    Order(Order, oneshot::Sender<Result<Ordered, PlanRefusal>>),
    /// Somebody wants to know what does not heal by itself.
    Healing(oneshot::Sender<HealingReport>),
}

/// What the shell works with.
pub struct ShellParts {
    /// The node's core.
    pub node: NodeCore,
    /// The leader's core; listens only, unless this node leads.
    pub leader: LeaderCore,
    /// The shard logs.
    pub logs: ShardLogs,
    /// The states of shards.
    pub(crate) state: StateLinks,
    /// The log below them.
    pub wal: Wal,
    /// What the control log says.
    pub applied: Arc<Applied>,
    /// The control group.
    pub raft: Raft,
    /// What this node serves.
    pub serving: Arc<ServingTable>,
    /// How this node and the others are.
    pub standing: Arc<StandingCell>,
    /// The room on the disk.
    pub space: DiskSpace,
    /// To the peers.
    pub outbox: Outbox,
    /// Everything that only a leader's shell needs.
    pub leading: Leading,
    /// Batches of applied entries.
    pub events: mpsc::Receiver<AppliedEvent>,
    /// Messages from peers.
    pub incoming: mpsc::Receiver<Incoming>,
    /// This node.
    pub me: NodeId,
    /// How often the cores are ticked.
    pub tick: std::time::Duration,
}

/// Messages that one turn takes at most: they share a write where they come together.
const TURN_MESSAGES_MAX: usize = 64;

/// How often the others are let go before a turn while they bring more each time: on a busy node nearly all that a round of calls writes has
/// come by then, and the tick must not wait for long.
const GATHER_YIELDS_MAX: usize = 8;

/// The shell of the protocol.
pub struct Shell {
    parts: ShellParts,
    /// Writes that are not durable yet: the store's number, and the core's.
    unsynced: VecDeque<(StoreSeq, WriteSeq)>,
    /// Shards that the core wants to know idle.
    draining: BTreeSet<ShardId>,
    /// Control-log writes under way.
    writes: JoinSet<Ticket>,
    /// Messages of this node to itself.
    looped: VecDeque<PeerMessage>,
    /// What the node's core was last told of the room on the disk.
    space: Space,
    /// Shards that are to be served once their state is there, and where their logs end.
    to_open: Vec<(ShardEpoch, Position)>,
    /// States that are being made.
    opening: JoinSet<states::MadeStates>,
    node_commands: Vec<NodeCommand>,
    leader_commands: Vec<LeaderCommand>,
}

impl Shell {
    /// Makes a shell around the cores.
    pub fn new(parts: ShellParts) -> Shell {
        Shell {
            parts,
            unsynced: VecDeque::new(),
            draining: BTreeSet::new(),
            writes: JoinSet::new(),
            looped: VecDeque::new(),
            space: Space::default(),
            to_open: Vec::new(),
            opening: JoinSet::new(),
            node_commands: Vec::new(),
            leader_commands: Vec::new(),
        }
    }

    /// Runs until the write-ahead log fails or the node ends.
    ///
    /// # Errors
    ///
    /// The write-ahead log or the control group has failed: the process must end.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is as if the node had crashed.
    pub async fn run(mut self) -> Result<(), ClusterError> {
        let mut tick: Interval = tokio::time::interval(self.parts.tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut progress: Progress = self.parts.wal.progress();
        let mut metrics = self.parts.raft.server_metrics();
        let newest_proposal = {
            let applied = self.parts.applied.read();
            applied.control.as_ref().map_or(Epoch(0), |state| state.shards.newest_proposal())
        };
        let (mut messages, mut batches) = (Vec::new(), Vec::new());
        self.on_applied(AppliedEvent { index: 0, newest_proposal, changed: Vec::new(), replaced: true })
            .await?;
        loop {
            // Fair on purpose: however many messages come, the tick that renews leases gets its turn.
            tokio::select! {
                _ = tick.tick() => self.on_tick().await?,
                event = self.parts.events.recv() => match event {
                    Some(event) => self.on_applied(event).await?,
                    None => return Ok(()),
                },
                durable = progress.changed() => {
                    let upto = durable?;
                    self.on_durable(upto).await?;
                }
                changed = metrics.changed() => {
                    if changed.is_err() {
                        return Err(ClusterError::Raft { reason: "it has stopped".into() });
                    }
                    metrics.borrow_and_update();
                    self.on_raft().await?;
                }
                Some(written) = self.writes.join_next(), if !self.writes.is_empty() => {
                    // What was written is applied: the core hears of that first.
                    while let Ok(event) = self.parts.events.try_recv() {
                        self.on_applied(event).await?;
                    }
                    if let Ok(ticket) = written {
                        self.leader_step(LeaderEvent::Written { ticket });
                    }
                    self.act().await?;
                }
                _ = self.parts.serving.idle() => {
                    self.tell_idle();
                    self.act().await?;
                }
                1.. = self.parts.incoming.recv_many(&mut messages, TURN_MESSAGES_MAX) => {
                    self.on_inputs(&mut messages, &mut batches).await?;
                }
                1.. = self.parts.state.batches.recv_many(&mut batches, TURN_BATCHES_MAX) => {
                    self.on_inputs(&mut messages, &mut batches).await?;
                }
                Some(news) = self.parts.state.news.recv() => {
                    self.on_state_news(news);
                    self.act().await?;
                }
                Some(opened) = self.opening.join_next(), if !self.opening.is_empty() => {
                    self.on_opened(opened)?;
                }
            }
        }
    }

    /// One turn over what peers and calls have brought. Who is about to bring more is let go first, and again as long as more comes: a turn costs
    /// a submission to the log and a message to each peer, however much it carries. With 256 clients that makes a third of the flushes for each
    /// write; a single caller waits for one turn of the others, who have nothing to do.
    async fn on_inputs(
        &mut self,
        messages: &mut Vec<Incoming>,
        batches: &mut Vec<Submission>,
    ) -> Result<(), ClusterError> {
        for _ in 0..GATHER_YIELDS_MAX {
            tokio::task::yield_now().await;
            let before = messages.len() + batches.len();
            while messages.len() < TURN_MESSAGES_MAX
                && let Ok(message) = self.parts.incoming.try_recv()
            {
                messages.push(message);
            }
            while batches.len() < TURN_BATCHES_MAX
                && let Ok(batch) = self.parts.state.batches.try_recv()
            {
                batches.push(batch);
            }
            if messages.len() + batches.len() == before {
                break;
            }
        }
        for message in messages.drain(..) {
            self.on_incoming(message);
        }
        if !batches.is_empty() {
            self.on_batches(batches.drain(..));
        }
        self.act().await
    }

    async fn on_applied(&mut self, event: AppliedEvent) -> Result<(), ClusterError> {
        let changed = if event.replaced { Changed::All } else { Changed::Shards(event.changed) };
        let newest_proposal = event.newest_proposal;
        self.node_step(NodeEvent::Applied { changed: changed.clone(), newest_proposal });
        self.leader_step(LeaderEvent::Applied { changed });
        for event in self.parts.leading.control_changed(&self.parts.applied) {
            self.leader_step(event);
        }
        if let Some(state) = &self.parts.applied.read().control {
            self.parts.state.pace.set(state.settings.move_rate_bytes());
        }
        self.on_raft().await?;
        self.parts.serving.bump();
        Ok(())
    }

    async fn on_durable(&mut self, upto: StoreSeq) -> Result<(), ClusterError> {
        let mut reached = None;
        while let Some((_, seq)) = self.unsynced.pop_front_if(|(stored, _)| *stored <= upto) {
            reached = Some(seq);
        }
        if let Some(upto) = reached {
            self.node_step(NodeEvent::Durable { upto });
            self.act().await?;
        }
        Ok(())
    }

    async fn on_raft(&mut self) -> Result<(), ClusterError> {
        let metrics = self.parts.raft.metrics().borrow().clone();
        metrics.running_state.as_ref().map_err(|fatal| ClusterError::Raft { reason: fatal.to_string() })?;
        let changes = self.parts.leading.raft_changed(&metrics, &self.parts.applied, clock::now());
        self.parts.standing.see_leader(changes.leader, metrics.current_term, clock::now());
        if let Some(leader) = changes.leader {
            self.node_step(NodeEvent::Leader(leader));
            self.parts.serving.bump();
        }
        for event in changes.events {
            self.leader_step(event);
        }
        self.act().await
    }

    fn on_incoming(&mut self, message: Incoming) {
        match message {
            Incoming::Protocol(from, message) => self.deliver(from, message),
            Incoming::News(from, news) => {
                if self.parts.standing.take_news(from, news) {
                    self.parts.serving.bump();
                }
            }
            Incoming::Leave => self.node_step(NodeEvent::Leave),
            // Who does not wait for the answer any more, need not have it.
            Incoming::Plan(ask, answer) => {
                let _ = answer.send(self.preview(&ask));
            }
            Incoming::Order(order, answer) => {
                let _ = answer.send(self.order(order));
            }
            Incoming::Healing(answer) => {
                let setbacks = self.parts.leader.setbacks(clock::now());
                let _ = answer.send(HealingReport { setbacks, laggards: self.parts.node.laggards() });
            }
        }
    }

    async fn on_tick(&mut self) -> Result<(), ClusterError> {
        let now = clock::now();
        self.parts.serving.tell_lease();
        self.tell_space();
        self.node_step(NodeEvent::Tick);
        for event in self.parts.leading.tick(&self.parts.raft, &self.parts.applied, now) {
            self.leader_step(event);
        }
        self.leader_step(LeaderEvent::Tick);
        let leader = &self.parts.leader;
        let members = leader.members().iter().map(|member| member.replica.node);
        let (mut silent, mut full) = (Vec::new(), Vec::new());
        for node in members {
            if !leader.is_live(now, node) {
                silent.push(node);
            } else if leader.is_full(node) {
                full.push(node);
            }
        }
        let moves = || MovesNews::of(leader.moves(now));
        if let Some(news) = self.parts.leading.news((silent, full), moves, now) {
            self.tell_news(news);
        }
        if let Some((term, tally)) = self.parts.leader.tally()
            && self.parts.standing.take_tally(term, tally)
        {
            self.parts.serving.bump();
        }
        self.tell_idle();
        // A write without a record is durable with what was before it, and nobody says so.
        self.on_durable(self.parts.wal.progress().durable()).await?;
        self.act().await
    }

    fn tell_news(&mut self, news: LeaderNews) {
        let members: Vec<NodeId> = {
            let applied = self.parts.applied.read();
            applied.control.as_ref().map(|c| c.members.keys().copied().collect()).unwrap_or_default()
        };
        self.parts.outbox.retain(|node| members.contains(&node));
        if let Ok(body) = envelope::encode(Kind::News, &news) {
            for node in members.into_iter().filter(|node| *node != self.parts.me) {
                self.parts.outbox.post(node, Class::Control, body.clone());
            }
        }
        if self.parts.standing.take_news(self.parts.me, news) {
            self.parts.serving.bump();
        }
    }

    /// Gives a message to the core that it is for.
    fn deliver(&mut self, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::ToLeader(message) => self.leader_step(LeaderEvent::Message { from, message }),
            message => {
                if let Some(message) = self.with_room(message) {
                    self.node_step(NodeEvent::Message { from, message });
                }
            }
        }
    }

    fn node_step(&mut self, event: NodeEvent) {
        let applied = self.parts.applied.read();
        if let Some(state) = &applied.control {
            self.parts.node.step(clock::now(), &state.shards, event, &mut self.node_commands);
        }
    }

    fn leader_step(&mut self, event: LeaderEvent) {
        let applied = self.parts.applied.read();
        if let Some(state) = &applied.control {
            self.parts.leader.step(clock::now(), &state.shards, event, &mut self.leader_commands);
        }
    }

    fn preview(&mut self, ask: &PlanAsk) -> Result<Preview, PlanRefusal> {
        let applied = self.parts.applied.read();
        let control = applied.control.as_ref().ok_or(PlanRefusal::NotLeader)?;
        self.parts.leader.preview(clock::now(), &control.shards, ask)
    }

    fn order(&mut self, order: Order) -> Result<Ordered, PlanRefusal> {
        let ordered = {
            let applied = self.parts.applied.read();
            let control = applied.control.as_ref().ok_or(PlanRefusal::NotLeader)?;
            self.parts.leader.order(clock::now(), &control.shards, order)?
        };
        self.leader_step(LeaderEvent::Tick);
        Ok(ordered)
    }

    /// Does what the cores have said, until they have nothing more to say.
    async fn act(&mut self) -> Result<(), ClusterError> {
        let mut woken = false;
        loop {
            let leader_commands = std::mem::take(&mut self.leader_commands);
            let node_commands = std::mem::take(&mut self.node_commands);
            let idle = leader_commands.is_empty() && node_commands.is_empty() && self.looped.is_empty();
            for command in leader_commands {
                self.lead(command);
            }
            for command in node_commands {
                woken |= self.obey(command).await?;
            }
            while let Some(message) = self.looped.pop_front() {
                let me = self.parts.me;
                self.deliver(me, message);
            }
            if idle {
                break;
            }
        }
        if woken {
            self.parts.serving.bump();
        }
        self.open_states();
        Ok(())
    }

    fn lead(&mut self, command: LeaderCommand) {
        match command {
            LeaderCommand::Propose { ticket, changes } => {
                tracing::info!(shards = changes.len(), "proposing");
                match encode_changes(&changes) {
                    Ok(changes) => {
                        let absent = self.absent();
                        self.write(ticket, ControlCommand::Propose { changes: changes.into(), absent });
                    }
                    Err(error) => {
                        tracing::error!(%error, "a proposal cannot be written");
                        self.leader_step(LeaderEvent::Written { ticket });
                    }
                }
            }
            LeaderCommand::Commit { ticket, epoch, term, shards } => {
                tracing::debug!(%epoch, shards = shards.len(), "committing");
                self.write(ticket, ControlCommand::Commit { epoch, term, shards });
            }
            // Nobody is quarantined before every node can read that.
            LeaderCommand::Quarantine { ticket, .. } if self.parts.applied.level() < Level(2) => {
                self.leader_step(LeaderEvent::Written { ticket });
            }
            LeaderCommand::Quarantine { ticket, node, outages, window } => {
                tracing::warn!(%node, outages, "a node ends again and again: it is to be quarantined");
                let reason = format!(
                    "it fell silent or started again {outages} times within {}",
                    Setting::FlapWindow.show(window.as_millis() as u64)
                );
                let command = ControlCommand::Quarantine { node, reason }.by(Author::Node(self.parts.me));
                self.write(ticket, dated(command));
            }
            LeaderCommand::Send { to, message } => self.send(to, PeerMessage::FromLeader(message)),
            LeaderCommand::Alarm(alarm) => self.parts.leading.alarm(alarm),
        }
    }

    /// On whom the leader does not count.
    fn absent(&self) -> BTreeMap<NodeId, Absence> {
        let (leader, now) = (&self.parts.leader, clock::now());
        let members = leader.members().iter().map(|member| member.replica.node);
        let absence = |node: NodeId| {
            if !leader.is_live(now, node) {
                Some((node, Absence::Silent))
            } else if leader.is_leaving(node) {
                Some((node, Absence::Leaving))
            } else {
                leader.is_full(node).then_some((node, Absence::Full))
            }
        };
        members.filter_map(absence).collect()
    }

    /// Writes what every node can read by now; the core asks again for the rest.
    fn write(&mut self, ticket: Ticket, command: ControlCommand) {
        let (needs, active) = (command.level(), self.parts.applied.read().level());
        if needs > active {
            tracing::info!(%needs, %active, "an entry of the leader waits until every node can read it");
            return self.leader_step(LeaderEvent::Written { ticket });
        }
        let raft = self.parts.raft.clone();
        self.writes.spawn(async move {
            if let Err(error) = raft.client_write(command).await {
                tracing::info!(%error, "an entry of the leader was not written");
            }
            ticket
        });
    }
}
