//! A state of a world.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::message::{Id, Message};
use super::node::Node;
use super::seen::Fingerprint;

/// The most nodes of a world.
pub(super) const NODES: usize = 4;

/// The most writes of a world.
pub(super) const WRITES: usize = 4;

/// An entry of the control log; its index, counted from 1, is the epoch of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    /// What is proposed (0: the first map; otherwise the place in the menu, counted from 1), and the epoch it builds on.
    Propose(u8, u8),
    Commit(u8),
}

/// What clients know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Facts {
    /// Where each write was first acknowledged, and under which epoch; 0: not yet.
    pub(super) at: [(u8, u8); WRITES],
    /// The newest epoch with an acknowledgement.
    pub(super) newest: u8,
    /// Who has acknowledged under each epoch.
    pub(super) by: Vec<(u8, Id)>,
    /// Something was acknowledged under an epoch after something under a newer one, or by two nodes under one.
    pub(super) out_of_order: bool,
}

/// What has happened, to be shown.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "shown by Debug in a counterexample")]
pub(super) enum Step {
    Propose(u8),
    Commit(u8),
    Apply(Id),
    Recover(Id),
    Deliver(Message),
    Sync(Id),
    Crash(Id, usize, bool),
    Write(Id, u8),
    Acknowledge(Id),
    Truncate(Id),
    Learn(Id, u8),
    AcknowledgeSeal(Id),
    Renew(Id),
    Probe(Id, Id, u64),
}

/// A state of a world. Nodes and messages are shared between states that have them in common.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) log: Vec<Entry>,
    pub(super) nodes: [Arc<Node>; NODES],
    pub(super) net: Arc<Vec<Message>>,
    pub(super) facts: Facts,
    pub(super) proposals: u8,
    pub(super) writes: u8,
    pub(super) crashes: u8,
}

impl State {
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = Fingerprint::new();
        self.log.hash(&mut hasher);
        for node in &self.nodes {
            node.hash(&mut hasher);
        }
        // A set: the order in which messages were sent does not matter.
        let one = |message: &Message| {
            let mut hasher = Fingerprint::new();
            message.hash(&mut hasher);
            hasher.finish()
        };
        let sum = self.net.iter().fold(0_u64, |sum, message| sum.wrapping_add(one(message)));
        sum.hash(&mut hasher);
        self.facts.hash(&mut hasher);
        [self.proposals, self.writes, self.crashes].hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[usize::from(id) - 1]
    }

    pub(super) fn node_mut(&mut self, id: Id) -> &mut Node {
        Arc::make_mut(&mut self.nodes[usize::from(id) - 1])
    }

    pub(super) fn send(&mut self, message: Message) {
        if !self.net.contains(&message) {
            Arc::make_mut(&mut self.net).push(message);
        }
    }
}
