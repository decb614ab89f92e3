//! The small worlds that are searched.

use super::message::Id;

/// When a node's writes become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// At once, but for what an owner writes into its own log: that is one delivery among others.
    AllButOwners,
    /// Whenever it pleases.
    Late,
}

/// The shape of a world: what may happen in it, and how often.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// The first owner and replicas.
    pub first: (Id, &'static [Id]),
    /// What may be proposed.
    pub menu: Vec<(Id, &'static [Id])>,
    /// How many proposals.
    pub proposals: u8,
    /// How many writes.
    pub writes: u8,
    /// How many crashes.
    pub crashes: u8,
    /// When writes become durable.
    pub sync: Sync,
    /// Whether a node may restart from a control state that is older than its disk.
    pub regress: bool,
    /// Whether logs are truncated, so that snapshots are sent.
    pub truncate: bool,
    /// Whether future replicas learn before a proposal.
    pub learn: bool,
    /// Whether a seal is acknowledged again, with the tail of then.
    pub acknowledge_again: bool,
}

impl Shape {
    fn new(name: &'static str, first: (Id, &'static [Id]), menu: &[(Id, &'static [Id])]) -> Shape {
        Shape {
            name,
            first,
            menu: menu.to_vec(),
            proposals: 2,
            writes: 1,
            crashes: 0,
            sync: Sync::AllButOwners,
            regress: false,
            truncate: false,
            learn: false,
            acknowledge_again: false,
        }
    }

    fn times(self, proposals: u8, writes: u8, crashes: u8) -> Shape {
        Shape { proposals, writes, crashes, ..self }
    }
}

/// All worlds.
pub fn shapes() -> Vec<Shape> {
    const ABC: &[Id] = &[1, 2, 3];
    const BCD: &[Id] = &[2, 3, 4];
    const ACD: &[Id] = &[1, 3, 4];
    let three = || Shape::new("three", (1, ABC), &[(2, ABC), (3, ABC)]);
    let four = || Shape::new("four", (1, ABC), &[(4, BCD), (1, ACD)]);
    vec![
        // Three nodes, the owner changes.
        three().times(2, 1, 1),
        Shape { name: "three, no crash", ..three().times(2, 2, 0) },
        Shape { name: "three, late disks", sync: Sync::Late, ..three().times(1, 2, 1) },
        Shape { name: "three, old control state", regress: true, ..three().times(1, 1, 2) },
        Shape { name: "three, seals told again", acknowledge_again: true, ..three().times(2, 1, 0) },
        Shape { name: "three, three proposals", ..Shape::new("", (1, ABC), &[(2, ABC)]).times(3, 1, 0) },
        // The replicas change, with or without the owner.
        four().times(2, 1, 0),
        Shape { name: "four, crash", ..Shape::new("", (1, ABC), &[(4, BCD)]).times(1, 1, 1) },
        Shape { name: "four, back again", ..Shape::new("", (1, ABC), &[(4, BCD), (1, ABC)]).times(2, 1, 0) },
        // Truncated logs, snapshots, learners.
        Shape { name: "snapshots", truncate: true, ..Shape::new("", (1, ABC), &[(2, ABC)]).times(1, 2, 0) },
        Shape {
            name: "learners",
            learn: true,
            truncate: true,
            ..Shape::new("", (1, ABC), &[(4, BCD)]).times(1, 1, 0)
        },
        // Other numbers of replicas.
        Shape { name: "two", ..Shape::new("", (1, &[1, 2]), &[(2, &[2, 3]), (1, &[1, 2])]).times(2, 1, 1) },
        Shape { name: "one to three", ..Shape::new("", (1, &[1]), &[(1, ABC), (2, ABC)]).times(2, 1, 1) },
    ]
}
