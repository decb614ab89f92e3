//! Why a shard changes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Standing;
use super::draft::{Made, Placement, Step};
use super::peers::{NOBODY, Peer, Peers};
use crate::change::Change;
use crate::ids::NodeId;
use crate::map::{ShardMap, Slot};

/// A change, and why it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The change.
    pub change: Change,
    /// Why: without it, the shard would stay as it is.
    pub reason: Reason,
}

/// Why a shard changes. Encoded by position: new ones are only ever added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// It has never been anywhere.
    New,
    /// This node, which has it, is silent, given up, or on another disk.
    NodeLost(NodeId),
    /// This node, which has it, is asked to leave.
    NodeDrains(NodeId),
    /// This node, which owns it, has no room on its disk.
    DiskFull(NodeId),
    /// It has fewer replicas than are wanted.
    TooFewReplicas,
    /// It has more replicas than are wanted.
    TooManyReplicas,
    /// Two of its replicas share a zone without need.
    SpreadsZones,
    /// This node, which takes it in, holds nothing yet.
    Newcomer(NodeId),
    /// Some nodes hold more than their share of all replicas, by weight.
    LevelsReplicas,
    /// Some nodes own more than their share of all shards, by weight.
    LevelsOwners,
    /// This node, which owns it, is in quarantine.
    NodeQuarantined(NodeId),
    /// This node, which owns it, lacks a label that a workload asks for.
    LabelMissing(NodeId),
}

impl Reason {
    /// Whether the change is for the sake of balance only; others restore owners and replicas.
    pub fn is_levelling(self) -> bool {
        matches!(
            self,
            Reason::SpreadsZones | Reason::Newcomer(_) | Reason::LevelsReplicas | Reason::LevelsOwners
        )
    }

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Reason::New => "new",
            Reason::NodeLost(_) => "node-lost",
            Reason::NodeDrains(_) => "node-drains",
            Reason::DiskFull(_) => "disk-full",
            Reason::TooFewReplicas => "too-few-replicas",
            Reason::TooManyReplicas => "too-many-replicas",
            Reason::SpreadsZones => "spreads-zones",
            Reason::Newcomer(_) => "newcomer",
            Reason::LevelsReplicas => "levels-replicas",
            Reason::LevelsOwners => "levels-owners",
            Reason::NodeQuarantined(_) => "node-quarantined",
            Reason::LabelMissing(_) => "label-missing",
        }
    }

    /// All names, for the description of the API.
    pub const NAMES: [&'static str; 12] = [
        "new",
        "node-lost",
        "node-drains",
        "disk-full",
        "too-few-replicas",
        "too-many-replicas",
        "spreads-zones",
        "newcomer",
        "levels-replicas",
        "levels-owners",
        "node-quarantined",
        "label-missing",
    ];

    /// The node that it is about, where it is about one.
    pub fn node(self) -> Option<NodeId> {
        match self {
            Reason::NodeLost(node)
            | Reason::NodeDrains(node)
            | Reason::DiskFull(node)
            | Reason::Newcomer(node)
            | Reason::NodeQuarantined(node)
            | Reason::LabelMissing(node) => Some(node),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::New => f.write_str("it has never been anywhere"),
            Reason::NodeLost(node) => write!(f, "node {node} is lost"),
            Reason::NodeDrains(node) => write!(f, "node {node} drains"),
            Reason::DiskFull(node) => write!(f, "the disk of node {node} is full"),
            Reason::TooFewReplicas => f.write_str("it has too few replicas"),
            Reason::TooManyReplicas => f.write_str("it has too many replicas"),
            Reason::SpreadsZones => f.write_str("spreads its replicas over zones"),
            Reason::Newcomer(node) => write!(f, "node {node} holds nothing yet"),
            Reason::LevelsReplicas => f.write_str("levels the weight that nodes hold"),
            Reason::LevelsOwners => f.write_str("levels the weight that nodes own"),
            Reason::NodeQuarantined(node) => write!(f, "node {node} is in quarantine"),
            Reason::LabelMissing(node) => write!(f, "node {node} lacks a label that a workload asks for"),
        }
    }
}

/// Why the shard is planned to be elsewhere than it was, given how that came about and how many replicas are wanted.
pub(super) fn of(map: &ShardMap, peers: &Peers, made: &Made, wanted: usize) -> Reason {
    let Made { step, before, after } = *made;
    match step {
        Step::Repair => of_repair(peers, wanted, before),
        Step::Spread => Reason::SpreadsZones,
        Step::LevelOwners => Reason::LevelsOwners,
        Step::LevelReplicas => {
            let mut gained = after.set().iter().filter(|peer| !before.has(**peer));
            let newcomer = gained.find(|peer| holds_nothing(map, peers, **peer));
            newcomer
                .map_or(Reason::LevelsReplicas, |newcomer| Reason::Newcomer(peers.replica(*newcomer).node))
        }
    }
}

fn of_repair(peers: &Peers, wanted: usize, before: Placement) -> Reason {
    if before.set().is_empty() {
        return Reason::New;
    }
    let owner = Some(before.owner).filter(|owner| *owner != NOBODY);
    let of_owner = owner.and_then(|owner| match peers.standing(owner) {
        Standing::Live => None,
        Standing::Silent | Standing::Gone => Some(Reason::NodeLost(peers.replica(owner).node)),
        Standing::Full => Some(Reason::DiskFull(peers.replica(owner).node)),
        Standing::Quarantined => Some(Reason::NodeQuarantined(peers.replica(owner).node)),
        Standing::Unfit => Some(Reason::LabelMissing(peers.replica(owner).node)),
        Standing::Draining => Some(Reason::NodeDrains(peers.replica(owner).node)),
    });
    let with = |standing| before.set().iter().find(|peer| peers.standing(**peer) == standing);
    let of_others = || {
        let lost = with(Standing::Gone).map(|peer| Reason::NodeLost(peers.replica(*peer).node));
        lost.or_else(|| with(Standing::Draining).map(|peer| Reason::NodeDrains(peers.replica(*peer).node)))
    };
    let of_count = || match before.set().len() {
        count if count > wanted => Reason::TooManyReplicas,
        _ => Reason::TooFewReplicas,
    };
    of_owner.or_else(of_others).unwrap_or_else(of_count)
}

fn holds_nothing(map: &ShardMap, peers: &Peers, peer: Peer) -> bool {
    let rows = map.table().iter().enumerate();
    let mut of_peer = rows.filter(|(slot, _)| peers.of_slot(Slot(*slot as u16)) == peer);
    of_peer.all(|(_, row)| row.uses.held == 0)
}
