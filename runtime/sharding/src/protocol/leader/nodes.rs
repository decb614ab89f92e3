//! What a leader has heard of each node in its term.

use std::collections::BTreeMap;

use crate::ids::{Boot, DiskId, Epoch, NodeId, Replica};

use super::super::lease::GrantedLease;
use super::super::messages::Space;
use super::super::timing::{Time, Timing};

#[derive(Clone, Debug)]
struct Seen {
    renewed: Time,
    boot: Boot,
    disk: Option<DiskId>,
    through: Epoch,
    lease: GrantedLease,
    leaving: Option<Boot>,
    /// The boot before this one has said that it would end.
    in_order: bool,
    /// What it last said of its disk in this boot, and with which renewal.
    space: (u64, Space),
}

/// The nodes, as one leader has heard them.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    since: Time,
    seen: BTreeMap<NodeId, Seen>,
}

impl Nodes {
    /// Nothing has been heard yet; every node gets the length of a lease to be heard.
    pub(super) fn new(now: Time) -> Nodes {
        Nodes { since: now, seen: BTreeMap::new() }
    }

    fn seen(&mut self, node: NodeId) -> &mut Seen {
        let since = self.since;
        self.seen.entry(node).or_insert_with(|| Seen {
            renewed: since,
            boot: Boot(0),
            disk: None,
            through: Epoch(0),
            lease: GrantedLease::default(),
            leaving: None,
            in_order: false,
            space: (0, Space::Ample),
        })
    }

    /// Notes the boot of a message; false if it comes from a boot that is over.
    pub(super) fn is_current(&mut self, node: NodeId, boot: Boot) -> bool {
        let seen = self.seen(node);
        if boot > seen.boot {
            seen.in_order = seen.leaving == Some(seen.boot);
            seen.boot = boot;
            seen.leaving = None;
            seen.space = (0, Space::Ample);
        }
        boot == seen.boot
    }

    /// Notes a renewal, and the disk of the node's logs.
    pub(super) fn renewed(&mut self, node: NodeId, now: Time, disk: DiskId) {
        let seen = self.seen(node);
        seen.renewed = now;
        seen.disk = Some(disk);
    }

    /// Whether the node's logs are on this disk, as far as is known.
    pub(super) fn is_on(&self, replica: Replica) -> bool {
        self.seen.get(&replica.node).and_then(|seen| seen.disk).is_none_or(|disk| disk == replica.disk)
    }

    /// Notes a grant that is made now.
    pub(super) fn grant(&mut self, node: NodeId, now: Time, proposal: Epoch, timing: &Timing) {
        self.seen(node).lease.grant(now, proposal, timing);
    }

    /// Notes what a node has sealed; says whether that is news.
    pub(super) fn sealed(&mut self, node: NodeId, through: Epoch) -> bool {
        let seen = self.seen(node);
        let news = through > seen.through;
        seen.through = seen.through.max(through);
        news
    }

    /// Notes that a node's process is about to end; says whether that is news.
    pub(super) fn leaves(&mut self, node: NodeId, boot: Boot) -> bool {
        self.seen(node).leaving.replace(boot) != Some(boot)
    }

    /// Notes what a node says of its disk; says whether that is news.
    pub(super) fn said_space(&mut self, node: NodeId, number: u64, space: Space) -> bool {
        let known = &mut self.seen(node).space;
        let news = number >= known.0 && space != known.1;
        if number >= known.0 {
            *known = (number, space);
        }
        news
    }

    /// Whether the node has no room for anything new.
    pub(super) fn is_full(&self, node: NodeId) -> bool {
        self.seen.get(&node).is_some_and(|seen| seen.space.1 == Space::Full)
    }

    /// The proposal up to which the node has sealed everything.
    pub(super) fn through(&self, node: NodeId) -> Epoch {
        self.seen.get(&node).map_or(Epoch(0), |seen| seen.through)
    }

    /// Whether every grant of this leader has run out that the node could use without having applied this proposal.
    pub(super) fn is_out_before(&self, node: NodeId, now: Time, proposal: Epoch) -> bool {
        self.seen.get(&node).is_none_or(|seen| seen.lease.is_out_before(now, proposal))
    }

    /// When the node was last heard, or this leader began.
    pub(super) fn heard(&self, node: NodeId) -> Time {
        self.seen.get(&node).map_or(self.since, |seen| seen.renewed)
    }

    /// Whether the node has renewed within the length of a lease.
    pub(super) fn is_live(&self, node: NodeId, now: Time, timing: &Timing) -> bool {
        now.since(self.heard(node)) < timing.lease
    }

    /// Whether the process before this one has said that it would end.
    pub(super) fn came_in_order(&self, node: NodeId) -> bool {
        self.seen.get(&node).is_some_and(|seen| seen.in_order)
    }

    /// Whether the node's process is about to end.
    pub(super) fn is_leaving(&self, node: NodeId) -> bool {
        self.seen.get(&node).is_some_and(|seen| seen.leaving == Some(seen.boot))
    }
}
