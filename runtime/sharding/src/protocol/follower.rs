//! What an owner knows of another replica, or of a node that is to become one: what that has, and what it is sent next.

use crate::ids::{Position, Replica};

use super::effect::ShardEffect;
use super::log::LogIndex;
use super::messages::{RANGE_ENTRIES_MAX, ShardEpoch};
use super::ranges::{AppendRange, Transfer};
use super::timing::{Time, Timing};

/// The most entries that an owner sends to one replica beyond what that has acknowledged: a slow disk must not make a queue.
pub(super) const UNACKED_ENTRIES_MAX: u64 = 4 * RANGE_ENTRIES_MAX;

/// The most entries that a log keeps for a replica that learns or catches up: what is written while a large snapshot is on its way. Beyond
/// that the replica begins with another snapshot.
pub(super) const KEPT_FOR_LEARNER_ENTRIES_MAX: u64 = 256 << 10;

/// A replica that has left so many messages in a row unanswered is away: the log keeps nothing for it.
const AWAY_TRIES: u8 = 5;

/// A replica that has left so many messages in a row unanswered stays behind: some twenty seconds, longer than a restart or an election takes.
const LAGS_TRIES: u8 = 10;

/// The resend interval doubles no more often than this: 200 ms grow to 3.2 s for a replica that is away.
const RESEND_DOUBLINGS_MAX: u8 = 4;

/// Another replica, or a node that is to become one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Follower {
    /// The replica.
    pub(super) replica: Replica,
    /// Whether it is a replica of the epoch; a learner counts for nothing.
    pub(super) counts: bool,
    /// The next entry to send.
    pub(super) next: Position,
    /// Up to where it has acknowledged; 0 while nothing is known.
    pub(super) acked: Position,
    /// The commit that it was last told.
    pub(super) told: Position,
    /// When it was last sent something.
    pub(super) sent: Time,
    /// How often it was sent something again since it last answered.
    pub(super) tries: u8,
    /// It lacks entries that the log has given up, and is sent the state instead.
    pub(super) by_snapshot: bool,
    /// How far the snapshot is that it is, or was last, sent.
    pub(super) transfer: Option<Transfer>,
}

impl Follower {
    /// One that is to be sent the log from `next` on.
    pub(super) fn new(replica: Replica, counts: bool, next: Position, now: Time) -> Follower {
        Follower {
            replica,
            counts,
            next,
            acked: Position(0),
            told: Position(0),
            sent: now,
            tries: 0,
            by_snapshot: false,
            transfer: None,
        }
    }

    /// Whether it has not answered for so long that it is sent everything again.
    pub(super) fn is_due(&self, now: Time, timing: &Timing) -> bool {
        now.since(self.sent) >= timing.resend * (1 << self.tries.min(RESEND_DOUBLINGS_MAX))
    }

    /// Whether it lacks something and has not answered for long.
    pub(super) fn lags(&self, tail: Position) -> bool {
        self.acked < tail && self.tries >= LAGS_TRIES
    }

    /// The entry after which the log is to keep everything for this one.
    pub(super) fn needs(&self, tail: Position) -> Option<Position> {
        let within = |from: Position, entries: u64| from > Position(0) && from.0 + entries >= tail.0;
        let from = match self.transfer.filter(|_| self.by_snapshot) {
            Some(transfer) => transfer.base.max(self.acked),
            None => self.acked,
        };
        let here = self.tries < AWAY_TRIES && within(from, KEPT_FOR_LEARNER_ENTRIES_MAX);
        (here || within(from, UNACKED_ENTRIES_MAX)).then_some(from)
    }

    pub(super) fn pump(
        &mut self,
        now: Time,
        shard: ShardEpoch,
        commit: Position,
        log: &LogIndex,
        out: &mut Vec<ShardEffect>,
    ) {
        let last = log.tail().position;
        while !self.by_snapshot
            && self.next <= last
            && self.next.0 <= self.acked.0.max(self.floor()) + UNACKED_ENTRIES_MAX
        {
            let Some(previous) = log.tail_at(Position(self.next.0 - 1)) else {
                self.send_snapshot(now, shard, out);
                return;
            };
            let upto = last.min(Position(self.next.0 + RANGE_ENTRIES_MAX - 1));
            out.push(ShardEffect::Append(
                self.replica.node,
                AppendRange { shard, previous, last: upto, commit },
            ));
            self.next = upto.next();
            self.sent = now;
            self.told = commit;
        }
    }

    /// Where counting of unacknowledged entries begins while nothing has been acknowledged.
    pub(super) fn floor(&self) -> u64 {
        if self.acked == Position(0) { self.next.0 } else { 0 }
    }

    /// Sends no entry, to hear whether the one before `next` matches, or to pass on the commit.
    pub(super) fn probe(
        &mut self,
        now: Time,
        shard: ShardEpoch,
        commit: Position,
        log: &LogIndex,
        out: &mut Vec<ShardEffect>,
    ) {
        if self.next <= log.tail().position {
            return;
        }
        let Some(previous) = log.tail_at(Position(self.next.0 - 1)) else { return };
        let range = AppendRange { shard, previous, last: previous.position, commit };
        out.push(ShardEffect::Append(self.replica.node, range));
        self.sent = now;
        self.told = commit;
    }

    pub(super) fn send_snapshot(&mut self, now: Time, shard: ShardEpoch, out: &mut Vec<ShardEffect>) {
        self.by_snapshot = true;
        self.sent = now;
        out.push(ShardEffect::SendSnapshot(self.replica.node, shard.epoch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DiskId, NodeId};

    const TAIL: Position = Position(100_000);

    fn follower() -> Follower {
        let replica = Replica { node: NodeId(2), disk: DiskId(3) };
        Follower::new(replica, false, Position(1), Time(0))
    }

    #[test]
    fn the_log_is_kept_from_the_base_of_a_snapshot_that_is_on_its_way() {
        let mut follower = follower();
        assert_eq!(follower.needs(TAIL), None);
        follower.by_snapshot = true;
        follower.transfer = Some(Transfer { base: Position(7_000), sent_bytes: 0, whole_bytes: 9 });
        assert_eq!(follower.needs(TAIL), Some(Position(7_000)));
        follower.by_snapshot = false;
        follower.acked = Position(7_000);
        assert_eq!(follower.needs(TAIL), Some(Position(7_000)), "it has the snapshot, and catches up");
    }

    #[test]
    fn one_lags_that_lacks_something_and_does_not_answer_for_long() {
        let timing = Timing::DEFAULT;
        let mut follower = follower();
        let mut now = Time(0);
        while !follower.lags(TAIL) {
            now = now + timing.tick;
            if follower.is_due(now, &timing) {
                (follower.sent, follower.tries) = (now, follower.tries + 1);
            }
        }
        assert!((15..30).contains(&now.since(Time(0)).as_secs()), "{now:?}");
        follower.acked = TAIL;
        assert!(!follower.lags(TAIL), "it has everything");
    }

    #[test]
    fn the_log_keeps_nothing_for_one_that_is_away_nor_without_bound() {
        let mut follower = follower();
        follower.acked = Position(7_000);
        follower.tries = AWAY_TRIES;
        assert_eq!(follower.needs(TAIL), None);
        follower.acked = Position(TAIL.0 - 1);
        assert_eq!(follower.needs(TAIL), Some(follower.acked), "the little that it lacks is kept");
        follower.tries = 0;
        assert_eq!(follower.needs(Position(follower.acked.0 + KEPT_FOR_LEARNER_ENTRIES_MAX + 1)), None);
    }
}
