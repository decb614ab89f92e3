//! What a leader's shell keeps beside the pure core: it turns what openraft and the control state say into the core's events.

use std::collections::BTreeSet;
use std::sync::Arc;

use openraft::ServerState;
use serde::{Deserialize, Serialize};
use shardloom_sharding::ids::{NodeId, Replica, ShardId, Term};
use shardloom_sharding::plan::{Member, Standing, Zone};
use shardloom_sharding::protocol::leader::{Alarm, ClusterSettings, LeaderEvent, MoveStatus, MovesEnded};
use shardloom_sharding::protocol::timing::Time;

use crate::control::{ControlState, MemberStanding};
use crate::raft::{Applied, HeartbeatLedger, Raft, RaftMetrics};

/// What the leader tells every member about the others, again and again: hints for `status` and for routing, never authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderNews {
    /// The term of the leader that says so.
    pub term: Term,
    /// Members whose lease has run out.
    pub silent: Vec<NodeId>,
    /// Shards with too few live replicas.
    pub unavailable: Vec<ShardId>,
    /// Members without room on their disks.
    pub full: Vec<NodeId>,
    /// How data moves.
    pub moves: MovesNews,
}

/// How data moves by plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovesNews {
    /// How many moves are under way.
    pub in_flight: u32,
    /// How many more are planned and wait for room.
    pub waiting: u32,
    /// Bytes that those under way still have to take in, as far as it is known.
    pub bytes_to_go: u64,
    /// Some of those under way.
    pub list: Vec<MoveStatus>,
    /// What became of the others since the leader began to lead.
    pub ended: MovesEnded,
}

/// Moves that are told one by one: a list for people.
const MOVES_TOLD_MAX: usize = 64;

impl MovesNews {
    /// The news of a leader's core.
    pub fn of((mut list, waiting, ended): (Vec<MoveStatus>, usize, MovesEnded)) -> MovesNews {
        let in_flight = list.len() as u32;
        let bytes_to_go = list.iter().map(MoveStatus::bytes_to_go).sum();
        list.truncate(MOVES_TOLD_MAX);
        MovesNews { in_flight, waiting: waiting as u32, bytes_to_go, list, ended }
    }
}

/// What has changed in the control group.
#[derive(Debug, Default)]
pub struct RaftChanges {
    /// The leader now, if it is another.
    pub leader: Option<Option<(NodeId, Term)>>,
    /// For the leader's core.
    pub events: Vec<LeaderEvent>,
}

/// How often the leader tells its news.
const NEWS_EVERY_MS: u64 = 250;

/// The leader's side of the shell.
#[derive(Debug)]
pub struct Leading {
    me: NodeId,
    ledger: Arc<HeartbeatLedger>,
    leader: Option<(NodeId, Term)>,
    /// The term in which this node leads and has applied an entry.
    elected: Option<Term>,
    members: Vec<Member>,
    weights_of: Option<u64>,
    settings: Option<ClusterSettings>,
    unavailable: Vec<ShardId>,
    told: Time,
}

impl Leading {
    /// Keeps the books of node `me`; acknowledged heartbeats are in `ledger`.
    pub fn new(me: NodeId, ledger: Arc<HeartbeatLedger>) -> Leading {
        Leading {
            me,
            ledger,
            leader: None,
            elected: None,
            members: Vec::new(),
            weights_of: None,
            settings: None,
            unavailable: Vec::new(),
            told: Time(0),
        }
    }

    /// What is new in the control group.
    pub fn raft_changed(&mut self, metrics: &RaftMetrics, applied: &Applied, now: Time) -> RaftChanges {
        let mut changes = RaftChanges::default();
        let leader = metrics.current_leader.map(|node| (node, Term(metrics.current_term)));
        if leader != self.leader {
            self.leader = leader;
            changes.leader = Some(leader);
        }
        let term = Term(metrics.current_term);
        let leads = metrics.state == ServerState::Leader;
        if self.elected.is_some_and(|elected| !leads || elected != term) {
            self.elected = None;
            self.unavailable.clear();
            changes.events.push(LeaderEvent::Deposed);
        }
        let of_this_term = |last: Option<crate::raft::LogId>| {
            last.is_some_and(|last| last.leader_id.term == term.0 && last.leader_id.node_id == self.me)
        };
        if leads && self.elected.is_none() && of_this_term(applied.read().last) {
            self.elected = Some(term);
            changes.events.push(LeaderEvent::Elected { term, at: now });
        }
        changes
    }

    /// What is new in the control state.
    pub fn control_changed(&mut self, applied: &Applied) -> Vec<LeaderEvent> {
        let applied = applied.read();
        let Some(state) = &applied.control else { return Vec::new() };
        let mut events = Vec::new();
        let members = self.members_of(state);
        if members != self.members {
            self.members.clone_from(&members);
            events.push(LeaderEvent::Members(members));
        }
        let weights_of = state.weigher.as_ref().map_or(0, |weigher| weigher.weights_since);
        if self.weights_of != Some(weights_of) {
            self.weights_of = Some(weights_of);
            events.push(LeaderEvent::Weights(state.weights.clone()));
        }
        let settings = ClusterSettings {
            replicas: state.settings.replicas(),
            moves_in_flight: state.settings.moves_in_flight(),
            replica_grace: state.settings.replica_grace(),
            threshold_percent: state.settings.balance_threshold_percent(),
            cool_down: state.settings.cool_down(),
            levelling: state.settings.levelling(),
            flaps: state.settings.flaps(),
        };
        if self.settings.replace(settings) != Some(settings) {
            events.push(LeaderEvent::Settings(settings));
        }
        events
    }

    fn members_of(&self, state: &ControlState) -> Vec<Member> {
        let zones: BTreeSet<&str> = state.members.values().map(|member| member.zone.as_str()).collect();
        let zone = |name: &str| Zone(zones.range(..name).count() as u32);
        let taken_in = state.members.values().filter(|member| member.standing != MemberStanding::Pending);
        taken_in
            .map(|member| Member {
                replica: Replica { node: member.node, disk: member.disk },
                capacity: member.capacity,
                zone: zone(&member.zone),
                standing: match member.standing {
                    MemberStanding::Draining => Standing::Draining,
                    _ if state.later.exclusions.quarantine(member.node).is_some() => Standing::Quarantined,
                    _ if state.later.exclusions.lacking(&member.labels).next().is_some() => Standing::Unfit,
                    _ => Standing::Live,
                },
            })
            .collect()
    }

    /// What the leader's core wants to know regularly.
    pub fn tick(&mut self, raft: &Raft, _applied: &Applied, now: Time) -> Vec<LeaderEvent> {
        let Some(term) = self.elected else { return Vec::new() };
        let voters: Vec<NodeId> =
            raft.metrics().borrow().membership_config.membership().voter_ids().collect();
        let sent = self.ledger.quorum_sent_at(self.me, term.0, &voters, now);
        sent.map(|sent| LeaderEvent::QuorumHeard { sent }).into_iter().collect()
    }

    /// Notes what the core wants people to know.
    pub fn alarm(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Unavailable { shards } => {
                tracing::warn!(shards = shards.len(), "shards with too few live replicas");
                self.unavailable = shards;
                self.told = Time(0);
            }
        }
    }

    /// The news, when they are due and this node leads: who is silent and who has no room, and how data moves.
    pub fn news(
        &mut self,
        (silent, full): (Vec<NodeId>, Vec<NodeId>),
        moves: impl FnOnce() -> MovesNews,
        now: Time,
    ) -> Option<LeaderNews> {
        let term = self.elected?;
        if now.since(self.told).as_millis() < u128::from(NEWS_EVERY_MS) {
            return None;
        }
        self.told = now;
        Some(LeaderNews { term, silent, unavailable: self.unavailable.clone(), full, moves: moves() })
    }
}
