//! The owner of one shard under one epoch: recovers the log, brings the replicas to it, and commits.
//!
//! Its own disk is one replica among the others, under the same rules; it lives beside this core, in [`super::shard`].

use std::time::Duration;

use smallvec::SmallVec;

use crate::ids::{Epoch, NodeId, Position, Replica, ShardId};

use super::effect::{Context, ShardEffect};
use super::follower::Follower;
use super::log::LogIndex;
use super::messages::{LearnProgress, Learners, Outcome, ShardEpoch};
use super::quorum::write_quorum;
use super::ranges::Transfer;
use super::rules::{Rule, Rules};
use super::timing::Time;

/// A log that lacks no more entries than this is near the tail: they are written within one round.
pub const NEAR_ENTRIES_MAX: u64 = 64;

/// Learners that the leader has not asked for in so long are let go: it has given them up, or has planned something else.
const LEARN_FORGOTTEN: Duration = Duration::from_secs(10);

/// How far an owner has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The source's log is being copied.
    Copying {
        /// The replica whose log won.
        source: Replica,
        /// When it was last asked.
        asked: Time,
    },
    /// The barrier is sent, and not yet on a write quorum.
    Recovered,
    /// A write quorum holds the barrier; the commit is not applied yet.
    Confirmed,
    /// The commit is applied.
    Serving,
}

/// The owner of one shard under one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerCore {
    shard: ShardEpoch,
    stage: Stage,
    barrier: Position,
    commit: Position,
    /// Whether this node's own disk is a replica of the epoch.
    own_counts: bool,
    followers: SmallVec<[Follower; 2]>,
    learning: Option<Learners>,
    /// When the leader last asked for learners.
    taught: Time,
    /// Since when nothing has moved that should.
    waiting: Option<Time>,
}

impl OwnerCore {
    /// Begins to copy the log of `source`.
    pub fn copying(shard: ShardId, epoch: Epoch, source: Replica, now: Time) -> OwnerCore {
        OwnerCore {
            shard: ShardEpoch { shard, epoch },
            stage: Stage::Copying { source, asked: now },
            barrier: Position(0),
            commit: Position(0),
            own_counts: false,
            followers: SmallVec::new(),
            learning: None,
            taught: now,
            waiting: Some(now),
        }
    }

    /// Takes the log of this node as recovered, with the barrier at `barrier`, and sends it to the other replicas.
    pub fn recovered<R: Rules>(
        cx: &Context<R>,
        shard: ShardEpoch,
        barrier: Position,
        replicas: &[Replica],
        log: &LogIndex,
        out: &mut Vec<ShardEffect>,
    ) -> OwnerCore {
        let follower = |replica: &Replica| Follower::new(*replica, true, barrier.max(Position(1)), cx.now);
        let mut owner = OwnerCore {
            shard,
            stage: Stage::Recovered,
            barrier,
            commit: Position(0),
            own_counts: replicas.contains(&cx.me),
            followers: replicas.iter().filter(|replica| replica.node != cx.me.node).map(follower).collect(),
            learning: None,
            taught: cx.now,
            waiting: Some(cx.now),
        };
        owner.pump(cx, log, out);
        owner
    }

    /// The epoch of the ownership.
    pub fn epoch(&self) -> Epoch {
        self.shard.epoch
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Up to where a write quorum is known to hold the log; 0 before the shard is served.
    pub fn commit(&self) -> Position {
        self.commit
    }

    /// Turns to another source, or asks the same again.
    pub fn copy_from(&mut self, source: Replica, now: Time) {
        self.stage = Stage::Copying { source, asked: now };
    }

    /// Takes note that a part of the source's log has come.
    pub fn copied(&mut self, now: Time) {
        self.waiting = Some(now);
    }

    /// Starts to serve; says whether it did not before.
    pub fn serve(&mut self) -> bool {
        let starts = self.stage != Stage::Serving;
        self.stage = Stage::Serving;
        starts
    }

    /// Up to where a write quorum of the epoch's replicas holds the log.
    fn quorum(&self, own: Position) -> Position {
        let counting =
            self.followers.iter().filter(|follower| follower.counts).map(|follower| follower.acked);
        let mut reached: SmallVec<[Position; 5]> = counting.chain(self.own_counts.then_some(own)).collect();
        reached.sort_unstable();
        let needed = write_quorum(reached.len());
        reached.len().checked_sub(needed).map_or(Position(0), |place| reached[place])
    }

    /// Looks at what the replicas hold by now; `own` is up to where the own disk does.
    pub fn advance<R: Rules>(
        &mut self,
        cx: &Context<R>,
        log: &LogIndex,
        own: Position,
        out: &mut Vec<ShardEffect>,
    ) {
        let reached = self.quorum(own);
        match self.stage {
            Stage::Recovered if reached >= self.barrier => {
                self.stage = Stage::Confirmed;
                self.waiting = None;
                out.push(ShardEffect::Confirm(self.shard.epoch));
                if !cx.rules.holds(Rule::ServeAfterCommit) {
                    self.stage = Stage::Serving;
                    out.push(ShardEffect::Serving(self.shard.epoch));
                }
            }
            Stage::Serving => {
                if reached > self.commit {
                    self.commit = reached;
                    self.waiting = Some(cx.now);
                    out.push(ShardEffect::Committed(self.shard.epoch, reached));
                }
                if self.commit >= log.tail().position {
                    self.waiting = None;
                } else if self.waiting.is_none() {
                    self.waiting = Some(cx.now);
                }
                self.look_at_learners(cx, log, own, out);
            }
            Stage::Copying { .. } | Stage::Recovered | Stage::Confirmed => {}
        }
    }

    /// Since when a write quorum has been missing, or the source silent.
    pub fn waiting_since(&self) -> Option<Time> {
        self.waiting
    }

    /// Whether ticks have work here.
    pub fn is_busy(&self, log: &LogIndex) -> bool {
        let behind =
            |follower: &Follower| follower.acked < log.tail().position || follower.told < self.commit;
        let learns = |follower: &Follower| !follower.counts;
        self.stage != Stage::Serving
            || self.learning.is_some()
            || self.followers.iter().any(|follower| behind(follower) || learns(follower))
    }

    /// Sends each replica what it lacks, as far as it may.
    pub fn pump<R: Rules>(&mut self, cx: &Context<R>, log: &LogIndex, out: &mut Vec<ShardEffect>) {
        if matches!(self.stage, Stage::Copying { .. }) {
            return;
        }
        let (shard, commit) = (self.shard, self.commit);
        for follower in &mut self.followers {
            follower.pump(cx.now, shard, commit, log, out);
        }
    }

    /// Takes a replica's answer.
    pub fn answered<R: Rules>(
        &mut self,
        cx: &Context<R>,
        from: Replica,
        outcome: Outcome,
        log: &LogIndex,
        out: &mut Vec<ShardEffect>,
    ) {
        let (shard, commit) = (self.shard, self.commit);
        let same = |follower: &&mut Follower| follower.replica == from;
        let Some(follower) = self.followers.iter_mut().find(same) else { return };
        follower.tries = 0;
        match outcome {
            Outcome::Matched(position) => {
                follower.acked = follower.acked.max(position.min(log.tail().position));
                follower.next = follower.next.max(follower.acked.next());
                follower.by_snapshot &= follower.acked < log.base().position;
            }
            Outcome::Mismatch(theirs) => match log.last_common(&theirs) {
                Some(common) => {
                    follower.next = common.position.max(follower.acked).next();
                    follower.by_snapshot = false;
                    follower.probe(cx.now, shard, commit, log, out);
                }
                None => follower.send_snapshot(cx.now, shard, out),
            },
        }
        follower.pump(cx.now, shard, commit, log, out);
    }

    /// Sends again what has not been answered for long, and passes on the commit.
    pub fn tick<R: Rules>(&mut self, cx: &Context<R>, log: &LogIndex, out: &mut Vec<ShardEffect>) {
        let (shard, commit, barrier) = (self.shard, self.commit, self.barrier);
        if let Stage::Copying { .. } = self.stage {
            return;
        }
        if cx.now.since(self.taught) >= LEARN_FORGOTTEN {
            self.learning = None;
            self.followers.retain(|follower| follower.counts);
        }
        for follower in &mut self.followers {
            let due = follower.is_due(cx.now, &cx.timing);
            if follower.acked < log.tail().position && due {
                follower.tries = follower.tries.saturating_add(1);
                if follower.by_snapshot {
                    follower.send_snapshot(cx.now, shard, out);
                    continue;
                }
                follower.next = if follower.acked > Position(0) {
                    follower.acked.next()
                } else {
                    barrier.max(Position(1))
                };
                follower.pump(cx.now, shard, commit, log, out);
            } else if follower.told < commit && follower.acked == log.tail().position {
                follower.probe(cx.now, shard, commit, log, out);
            }
        }
    }

    /// Takes note of how far a snapshot is on its way.
    pub fn snapshot_sent(&mut self, now: Time, to: NodeId, transfer: Transfer) {
        let to =
            self.followers.iter_mut().find(|follower| follower.replica.node == to && follower.by_snapshot);
        if let Some(follower) = to {
            follower.transfer = Some(transfer);
            follower.sent = now;
            follower.tries = 0;
        }
    }

    /// Brings future replicas near the tail (rule 21), or says how far they are.
    pub fn learn<R: Rules>(
        &mut self,
        cx: &Context<R>,
        learners: Learners,
        log: &LogIndex,
        own: Position,
        out: &mut Vec<ShardEffect>,
    ) {
        self.taught = cx.now;
        self.followers.retain(|follower| follower.counts || learners.replicas.contains(&follower.replica));
        for replica in learners.replicas.iter().filter(|replica| replica.node != cx.me.node) {
            if self.followers.iter().any(|follower| follower.replica == *replica) {
                continue;
            }
            let mut follower = Follower::new(*replica, false, log.tail().position.next(), cx.now);
            follower.probe(cx.now, self.shard, self.commit, log, out);
            self.followers.push(follower);
        }
        self.learning = Some(learners);
        self.look_at_learners(cx, log, own, out);
        if self.learning.is_some() {
            out.push(ShardEffect::Learning(self.shard.epoch, self.progress(log)));
        }
    }

    /// How far the learners are.
    fn progress(&self, log: &LogIndex) -> LearnProgress {
        let learners = || self.followers.iter().filter(|follower| !follower.counts);
        let transfers = || learners().filter_map(|follower| follower.transfer);
        LearnProgress {
            sent_bytes: transfers().map(|transfer| transfer.sent_bytes).sum(),
            whole_bytes: transfers().map(|transfer| transfer.whole_bytes).sum(),
            reached: learners().map(|follower| follower.acked).min().unwrap_or_default(),
            tail: log.tail().position,
        }
    }

    fn look_at_learners<R: Rules>(
        &mut self,
        cx: &Context<R>,
        log: &LogIndex,
        own: Position,
        out: &mut Vec<ShardEffect>,
    ) {
        let Some(learners) = &self.learning else { return };
        let near = |replica: &&Replica| {
            let held = match replica.node == cx.me.node {
                true => own,
                false => self
                    .followers
                    .iter()
                    .find(|follower| follower.replica == **replica)
                    .map_or(Position(0), |follower| follower.acked),
            };
            held > Position(0) && held.0 + NEAR_ENTRIES_MAX >= log.tail().position.0
        };
        let owner = learners
            .replicas
            .iter()
            .filter(|replica| replica.node == learners.owner)
            .any(|owner| near(&owner));
        let enough = learners.replicas.iter().filter(near).count() >= write_quorum(learners.replicas.len());
        // Those that are new, too: the old ones give up their data when the change is committed.
        let new = self.followers.iter().filter(|follower| !follower.counts);
        let new = new.filter(|follower| learners.replicas.contains(&follower.replica));
        if owner && enough && new.map(|follower| &follower.replica).all(|replica| near(&replica)) {
            self.learning = None;
            out.push(ShardEffect::Learnt(self.shard.epoch));
        }
    }

    /// The last entry that every replica has which the log still serves: what comes after it is on its way to one of them, which would need the
    /// whole state if the log gave it up now. None where there is no such replica.
    pub fn needed(&self, log: &LogIndex) -> Option<Position> {
        let tail = log.tail().position;
        self.followers.iter().filter_map(|follower| follower.needs(tail)).min()
    }

    /// The nodes of replicas that have answered nothing for long, though they lack something; and how many entries.
    pub fn lagging(&self, log: &LogIndex) -> impl Iterator<Item = (NodeId, u64)> {
        let tail = log.tail().position;
        let lags = move |follower: &&Follower| follower.counts && follower.lags(tail);
        let lacking = move |follower: &Follower| tail.0.saturating_sub(follower.acked.0);
        self.followers.iter().filter(lags).map(move |follower| (follower.replica.node, lacking(follower)))
    }

    /// Whether calls may run under this epoch as far as the owner knows; the lease is for the caller to look at.
    pub fn is_serving(&self) -> bool {
        self.stage == Stage::Serving
    }
}
