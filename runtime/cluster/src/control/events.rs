//! Events: what has happened in the cluster, told by the control log, so that every node tells the same. A ring of the newest.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use shardloom_protocol::digest::Digest;
use shardloom_sharding::canary::Share;
use shardloom_sharding::ids::{Epoch, NodeId, ShardId, Term};

use super::access::TokenRole;
use super::certificates::RotationPhase;
use super::member::MemberStanding;
use super::settings::Setting;
use crate::formats::Level;

/// Events that are kept: enough for whoever follows to lose its node, find another, and go on.
pub const EVENTS_MAX: usize = 4_096;
/// Ranges of shards that all kept events name together: scattered shards are a range each, and they are in every snapshot.
pub(super) const EVENT_RANGES_MAX: usize = 32_768;

/// Shards from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRange {
    /// The first.
    pub first: ShardId,
    /// The last.
    pub last: ShardId,
}

/// Shards that went from one owner to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Who owned them; nobody before their first epoch.
    pub from: Option<NodeId>,
    /// Who owns them.
    pub to: Option<NodeId>,
    /// Which.
    pub shards: Vec<ShardRange>,
}

/// What has happened. One at most for each entry of the control log. Encoded by position: new ones are only ever added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The cluster began.
    Founded {
        /// How many shards it has.
        shard_count: u32,
    },
    /// A node became a member.
    MemberJoined {
        /// Which.
        node: NodeId,
        /// Whether it waits for an operator.
        standing: MemberStanding,
    },
    /// A member started with other addresses, zone, capacity or disk.
    MemberChanged {
        /// Which.
        node: NodeId,
    },
    /// An operator has added or drains a node.
    MemberStanding {
        /// Which.
        node: NodeId,
        /// What is wanted of it.
        standing: MemberStanding,
    },
    /// A node is no member any more.
    MemberRemoved {
        /// Which.
        node: NodeId,
    },
    /// A term begins.
    LeaderChanged {
        /// Who leads.
        leader: NodeId,
        /// The term.
        term: Term,
    },
    /// Others vote.
    VotersChanged {
        /// Who.
        voters: Vec<NodeId>,
    },
    /// A change of shards was proposed; they are sealed from now on, until it is committed.
    ShardsProposed {
        /// The epoch that they would get.
        epoch: Epoch,
        /// Which.
        shards: Vec<ShardRange>,
    },
    /// A change of shards was committed.
    ShardsMoved {
        /// Their epoch now.
        epoch: Epoch,
        /// Which, from whom and to whom; the same node where only replicas have changed.
        moves: Vec<Moved>,
    },
    /// An operator accepted the loss of data.
    ShardsRepaired {
        /// The epoch that they would get.
        epoch: Epoch,
        /// Which.
        shards: Vec<ShardRange>,
    },
    /// A workload has a new version.
    Deployed {
        /// Its name.
        name: String,
        /// The version.
        version: u64,
        /// Its component.
        component: Digest,
    },
    /// A new version of a workload runs on a share of the shards.
    CanaryDeployed {
        /// Its name.
        name: String,
        /// The version.
        version: u64,
        /// Its component.
        component: Digest,
        /// On how many.
        share: Share,
    },
    /// A workload's canary runs on all shards.
    Promoted {
        /// Its name.
        name: String,
        /// The version.
        version: u64,
    },
    /// A workload's canary has ended, or an earlier version is current again.
    RolledBack {
        /// Its name.
        name: String,
        /// The version that is current.
        version: u64,
    },
    /// A workload is gone.
    Undeployed {
        /// Its name.
        name: String,
    },
    /// Another weigher weighs.
    WeigherSet {
        /// Its component.
        component: Digest,
    },
    /// No weigher weighs.
    WeigherUnset,
    /// An alarm: the weigher gave no weights.
    WeigherFailed {
        /// Its component.
        component: Digest,
        /// Why, for people.
        reason: String,
    },
    /// Shards have other weights.
    WeightsSet {
        /// The weigher that gave them.
        component: Digest,
    },
    /// Settings have other values.
    SettingsChanged {
        /// Which, and what.
        values: Vec<(Setting, u64)>,
    },
    /// A token of the API was made.
    TokenCreated {
        /// Its name.
        name: String,
        /// What its holder may do.
        role: TokenRole,
    },
    /// A token of the API is good no longer.
    TokenRevoked {
        /// Its name.
        name: String,
    },
    /// What the nodes write may be of a newer level of formats.
    FormatsRaised {
        /// Which.
        level: Level,
    },
    /// A phase of a rotation of the nodes' certificates begins.
    CertificatesRotating {
        /// Which authority is to sign them all, counted from 1, that of the founding.
        authority: u64,
        /// The phase.
        phase: RotationPhase,
    },
    /// A rotation of the nodes' certificates has ended.
    CertificatesRotated {
        /// Which authority has signed them all.
        authority: u64,
    },
    /// An alarm: a node is to own no shards.
    NodeQuarantined {
        /// Which.
        node: NodeId,
        /// Why, for people.
        reason: String,
    },
    /// A node may own shards again.
    NodeReleased {
        /// Which.
        node: NodeId,
    },
}

impl Event {
    /// The names of all events.
    pub const NAMES: [&str; 27] = [
        "founded",
        "member-joined",
        "member-changed",
        "member-standing",
        "member-removed",
        "leader-changed",
        "voters-changed",
        "shards-proposed",
        "shards-moved",
        "shards-repaired",
        "deployed",
        "undeployed",
        "weigher-set",
        "weigher-unset",
        "weigher-failed",
        "weights-set",
        "settings-changed",
        "token-created",
        "token-revoked",
        "canary-deployed",
        "promoted",
        "rolled-back",
        "formats-raised",
        "certificates-rotating",
        "certificates-rotated",
        "node-quarantined",
        "node-released",
    ];

    /// What it is called.
    pub fn name(&self) -> &'static str {
        let place = match self {
            Event::Founded { .. } => 0,
            Event::MemberJoined { .. } => 1,
            Event::MemberChanged { .. } => 2,
            Event::MemberStanding { .. } => 3,
            Event::MemberRemoved { .. } => 4,
            Event::LeaderChanged { .. } => 5,
            Event::VotersChanged { .. } => 6,
            Event::ShardsProposed { .. } => 7,
            Event::ShardsMoved { .. } => 8,
            Event::ShardsRepaired { .. } => 9,
            Event::Deployed { .. } => 10,
            Event::Undeployed { .. } => 11,
            Event::WeigherSet { .. } => 12,
            Event::WeigherUnset => 13,
            Event::WeigherFailed { .. } => 14,
            Event::WeightsSet { .. } => 15,
            Event::SettingsChanged { .. } => 16,
            Event::TokenCreated { .. } => 17,
            Event::TokenRevoked { .. } => 18,
            Event::CanaryDeployed { .. } => 19,
            Event::Promoted { .. } => 20,
            Event::RolledBack { .. } => 21,
            Event::FormatsRaised { .. } => 22,
            Event::CertificatesRotating { .. } => 23,
            Event::CertificatesRotated { .. } => 24,
            Event::NodeQuarantined { .. } => 25,
            Event::NodeReleased { .. } => 26,
        };
        Event::NAMES[place]
    }

    /// How many ranges it names.
    fn ranges(&self) -> usize {
        match self {
            Event::ShardsProposed { shards, .. } | Event::ShardsRepaired { shards, .. } => shards.len(),
            Event::ShardsMoved { moves, .. } => moves.iter().map(|moved| moved.shards.len()).sum(),
            _ => 0,
        }
    }
}

/// The ranges that these shards make; they come in order.
pub(super) fn ranges(shards: impl IntoIterator<Item = ShardId>) -> Vec<ShardRange> {
    let mut ranges: Vec<ShardRange> = Vec::new();
    for shard in shards {
        match ranges.last_mut().filter(|range| range.last.0 + 1 == shard.0) {
            Some(range) => range.last = shard,
            None => ranges.push(ShardRange { first: shard, last: shard }),
        }
    }
    ranges
}

/// The newest events, each under the index of its entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRing {
    events: VecDeque<(u64, Event)>,
    ranges: usize,
    /// Index of the newest event that is not kept any more; 0 if all are.
    dropped_to: u64,
}

/// What is kept of the events after an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsAfter {
    /// If some that came after it are not kept any more: the index of the last of them.
    pub gap: Option<u64>,
    /// Those that are kept, the oldest first.
    pub events: Vec<(u64, Event)>,
}

impl EventRing {
    /// Adds what happened at an index, which is higher than all before.
    pub fn add(&mut self, index: u64, event: Event) {
        self.ranges += event.ranges();
        self.events.push_back((index, event));
        while self.events.len() > EVENTS_MAX || (self.ranges > EVENT_RANGES_MAX && self.events.len() > 1) {
            let Some((index, event)) = self.events.pop_front() else { return };
            self.ranges -= event.ranges();
            self.dropped_to = index;
        }
    }

    /// At most so many of the events after an index, the oldest first.
    pub fn after(&self, index: u64, most: usize) -> EventsAfter {
        let first = self.events.partition_point(|(at, _)| *at <= index);
        EventsAfter {
            gap: (index < self.dropped_to).then_some(self.dropped_to),
            events: self.events.range(first..).take(most).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undeployed(number: u64) -> Event {
        Event::Undeployed { name: number.to_string() }
    }

    #[test]
    fn shards_in_a_row_are_one_range() {
        let shards = [0, 1, 2, 5, 7, 8].map(ShardId);
        let told: Vec<_> = ranges(shards).iter().map(|range| (range.first.0, range.last.0)).collect();
        assert_eq!(told, [(0, 2), (5, 5), (7, 8)]);
        assert!(ranges([]).is_empty());
    }

    #[test]
    fn who_asks_from_where_it_was_misses_nothing_and_is_told_of_a_gap() {
        let mut ring = EventRing::default();
        for index in 1..=EVENTS_MAX as u64 {
            ring.add(2 * index, undeployed(index));
        }
        assert_eq!(ring.after(0, 2).events.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(ring.after(0, 1).gap, None);
        ring.add(100_000, undeployed(0));
        assert_eq!(ring.after(0, 1), EventsAfter { gap: Some(2), events: vec![(4, undeployed(2))] });
        assert_eq!(ring.after(1, 1).gap, Some(2));
        assert_eq!(ring.after(2, 1).gap, None, "it has had all that is gone");
        assert_eq!(ring.after(100_000, 9), EventsAfter::default());
    }

    #[test]
    fn scattered_shards_are_bounded_too() {
        let mut ring = EventRing::default();
        let scattered = ranges((0..10_000).map(|number| ShardId(2 * number)));
        for index in 1..=100 {
            ring.add(index, Event::ShardsProposed { epoch: Epoch(index), shards: scattered.clone() });
        }
        let kept = ring.after(0, usize::MAX);
        assert_eq!((kept.events.len(), kept.gap), (EVENT_RANGES_MAX / 10_000, Some(97)));
    }
}
