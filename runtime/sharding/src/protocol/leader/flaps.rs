//! How often members have fallen silent or come back in another boot, as one leader counts: who does so again and again is to be quarantined.
//!
//! What counts is an outage: the silence and the new boot that ends it are one. It does not count where the node has said that it would end, where this
//! leader has not heard of the node before, and where it may be this leader that hears nothing: it has been asleep, or no quorum hears it. A new
//! leader counts from zero, so a restart of the whole cluster counts for nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::ids::{Boot, NodeId};

use super::super::timing::{Time, Timing};

/// Outages that are remembered of a member: more than any limit asks for.
pub const FLAPS_MAX: u32 = 100;

/// How many outages are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlapRule {
    /// A member that has had more outages within the window is quarantined; 0: none is.
    pub limit: u32,
    /// The window.
    pub window: Duration,
}

impl FlapRule {
    /// A machine that ends four times in ten minutes ends again; one that was restarted by hand twice need not.
    pub const DEFAULT: FlapRule = FlapRule { limit: 3, window: Duration::from_secs(600) };
}

impl Default for FlapRule {
    fn default() -> FlapRule {
        FlapRule::DEFAULT
    }
}

/// Whether so many of the active members may be in quarantine: fewer than half, so that most go on to share the load.
pub fn may_be_quarantined(quarantined: usize, active: usize) -> bool {
    2 * quarantined < active
}

#[derive(Clone, Debug)]
struct Record {
    boot: Boot,
    /// The outage that goes on is counted, or need not be.
    noted: bool,
    /// When outages began, the oldest first.
    outages: VecDeque<Time>,
    /// When its quarantine was last asked for.
    asked: Option<Time>,
}

impl Record {
    fn note(&mut self, now: Time) {
        if self.outages.len() == FLAPS_MAX as usize {
            self.outages.pop_front();
        }
        self.outages.push_back(now);
    }
}

/// The outages of all members, as one leader has seen them.
#[derive(Clone, Debug)]
pub(super) struct Flaps {
    of: BTreeMap<NodeId, Record>,
    ticked: Time,
    /// Since when this leader has been awake, with a quorum that hears it.
    awake: Time,
}

impl Flaps {
    /// Nothing has been seen yet.
    pub(super) fn new(now: Time) -> Flaps {
        Flaps { of: BTreeMap::new(), ticked: now, awake: now }
    }

    /// A member has renewed its lease in this boot; `in_order`: the boot before has said that it would end.
    pub(super) fn heard(&mut self, now: Time, node: NodeId, boot: Boot, in_order: bool) {
        let first = Record { boot, noted: false, outages: VecDeque::new(), asked: None };
        let record = self.of.entry(node).or_insert(first);
        if boot > record.boot && !record.noted && !in_order {
            record.note(now);
        }
        record.boot = boot;
        record.noted = false;
    }

    /// Looks who has fallen silent; `is_heard`: a quorum hears this leader.
    pub(super) fn tick(
        &mut self,
        now: Time,
        timing: &Timing,
        is_heard: bool,
        is_silent: impl Fn(NodeId) -> bool,
        is_leaving: impl Fn(NodeId) -> bool,
    ) {
        if !is_heard || now.since(self.ticked) >= timing.renew_every {
            self.awake = now;
        }
        self.ticked = now;
        if now.since(self.awake) < timing.lease {
            return;
        }
        for (node, record) in self.of.iter_mut().filter(|(node, record)| !record.noted && is_silent(**node)) {
            record.noted = true;
            if !is_leaving(*node) {
                record.note(now);
            }
        }
    }

    /// Keeps the books of these only.
    pub(super) fn retain(&mut self, is_member: impl Fn(NodeId) -> bool) {
        self.of.retain(|node, _| is_member(*node));
    }

    /// Forgets the outages of a member: it is in quarantine, and counts from zero once it is released.
    pub(super) fn forget(&mut self, node: NodeId) {
        if let Some(record) = self.of.get_mut(&node) {
            record.outages.clear();
            record.asked = None;
        }
    }

    /// The members that have had too many outages, and how many: who had most comes first. Each is told once in a while.
    pub(super) fn too_many(&mut self, now: Time, rule: FlapRule, timing: &Timing) -> Vec<(NodeId, u32)> {
        let mut found = Vec::new();
        for (node, record) in &mut self.of {
            while record.outages.front().is_some_and(|began| now.since(*began) >= rule.window) {
                record.outages.pop_front();
            }
            let count = record.outages.len() as u32;
            let rests = record.asked.is_some_and(|asked| now.since(asked) < timing.retry);
            if rule.limit > 0 && count > rule.limit && !rests {
                found.push((*node, count));
            }
        }
        found.sort_by_key(|(node, count)| (std::cmp::Reverse(*count), *node));
        found
    }

    /// Notes that a member's quarantine is asked for.
    pub(super) fn asked(&mut self, now: Time, node: NodeId) {
        if let Some(record) = self.of.get_mut(&node) {
            record.asked = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(7);
    const TIMING: Timing = Timing::DEFAULT;

    /// A node that this leader hears, and its time, which goes by in ticks.
    struct World {
        flaps: Flaps,
        now: Time,
        silent: bool,
        leaving: bool,
        heard: bool,
    }

    impl World {
        fn new() -> World {
            let now = Time(0) + Duration::from_secs(1);
            let mut flaps = Flaps::new(now);
            flaps.heard(now, NODE, Boot(1), false);
            let mut world = World { flaps, now, silent: false, leaving: false, heard: true };
            world.pass(2_000);
            world
        }

        fn pass(&mut self, ms: u64) {
            for _ in 0..ms / 50 {
                self.now = self.now + Duration::from_millis(50);
                let (silent, leaving) = (self.silent, self.leaving);
                self.flaps.tick(self.now, &TIMING, self.heard, |_| silent, |_| leaving);
            }
        }

        fn come_back(&mut self, boot: u64) {
            let in_order = self.leaving;
            self.flaps.heard(self.now, NODE, Boot(boot), in_order);
            self.silent = false;
            self.leaving = false;
        }

        fn count(&mut self) -> u32 {
            let rule = FlapRule { limit: 1, ..FlapRule::DEFAULT };
            let found = self.flaps.too_many(self.now, rule, &TIMING);
            found.first().map_or_else(|| self.flaps.of[&NODE].outages.len() as u32, |(_, count)| *count)
        }
    }

    #[test]
    fn a_silence_and_the_boot_that_ends_it_are_one_outage() {
        let mut world = World::new();
        world.silent = true;
        world.pass(2_000);
        world.come_back(2);
        world.pass(500);
        assert_eq!(world.count(), 1);
        // So fast that nobody noticed a silence.
        world.come_back(3);
        assert_eq!(world.count(), 2);
        // The same boot again: the net, perhaps.
        world.silent = true;
        world.pass(500);
        world.come_back(3);
        assert_eq!(world.count(), 3);
    }

    #[test]
    fn who_says_that_it_ends_has_no_outage() {
        let mut world = World::new();
        world.leaving = true;
        world.silent = true;
        world.pass(3_000);
        world.come_back(2);
        world.leaving = true;
        world.come_back(3);
        world.pass(500);
        assert_eq!(world.count(), 0);
    }

    #[test]
    fn a_leader_that_hears_nothing_itself_counts_nothing() {
        let mut world = World::new();
        world.silent = true;
        world.heard = false;
        world.pass(3_000);
        world.heard = true;
        world.pass(500);
        world.come_back(1);
        assert_eq!(world.count(), 0, "no quorum heard it");
        // It sleeps, and finds all silent when it wakes up.
        world.now = world.now + Duration::from_secs(60);
        world.silent = true;
        world.pass(500);
        world.come_back(1);
        assert_eq!(world.count(), 0, "it was asleep");
    }

    #[test]
    fn outages_count_within_the_window_and_are_told_once_in_a_while() {
        let mut world = World::new();
        for boot in 2..=5 {
            world.come_back(boot);
            world.pass(1_000);
        }
        let told = |world: &mut World| world.flaps.too_many(world.now, FlapRule::DEFAULT, &TIMING);
        assert_eq!(told(&mut world), [(NODE, 4)]);
        world.flaps.asked(world.now, NODE);
        assert_eq!(told(&mut world), []);
        world.pass(TIMING.retry.as_millis() as u64);
        assert_eq!(told(&mut world), [(NODE, 4)], "it was not written");
        let off = FlapRule { limit: 0, ..FlapRule::DEFAULT };
        assert_eq!(world.flaps.too_many(world.now, off, &TIMING), []);
        world.now = world.now + FlapRule::DEFAULT.window;
        assert_eq!(told(&mut world), [], "that is long ago");
        world.come_back(6);
        world.flaps.forget(NODE);
        assert_eq!(world.count(), 0);
    }

    #[test]
    fn fewer_than_half_may_be_in_quarantine() {
        let most = |active: usize| (0..=active).rev().find(|count| may_be_quarantined(*count, active));
        assert_eq!((1..=6).map(most).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2].map(Some));
    }
}
