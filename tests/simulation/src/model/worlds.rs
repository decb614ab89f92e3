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
    /// Whether the menu is proposed in its order, one after the other.
    pub in_order: bool,
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
    /// Whether owners ask whether an entry matches, at any time.
    pub probe: bool,
    /// Whether future replicas learn before a proposal.
    pub learn: bool,
    /// Whether acknowledgements of appends reach their owner at once. That takes away only schedules in which the owner knows
    /// less than it might; what it then does, it may still do late.
    pub prompt_acks: bool,
    /// Whether a seal is acknowledged again, with the tail of then.
    pub acknowledge_again: bool,
}

impl Shape {
    fn new(name: &'static str, first: (Id, &'static [Id]), menu: &[(Id, &'static [Id])]) -> Shape {
        Shape {
            name,
            first,
            menu: menu.to_vec(),
            in_order: false,
            proposals: 1,
            writes: 1,
            crashes: 0,
            sync: Sync::AllButOwners,
            regress: false,
            truncate: false,
            probe: false,
            learn: false,
            prompt_acks: false,
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
    let one = |name, owner, replicas| Shape::new(name, (1, ABC), &[(owner, replicas)]);
    vec![
        // Three nodes; the owner changes.
        one("move", 2, ABC),
        one("move, crash", 2, ABC).times(1, 1, 1),
        Shape { sync: Sync::Late, ..one("move, late disks", 2, ABC) },
        Shape {
            sync: Sync::Late,
            prompt_acks: true,
            ..one("move, late disks, crash", 2, ABC).times(1, 1, 1)
        },
        Shape { regress: true, prompt_acks: true, ..one("move, old control state", 2, ABC).times(1, 1, 1) },
        Shape { prompt_acks: true, ..one("move, two writes", 2, ABC).times(1, 2, 0) },
        Shape { prompt_acks: true, ..one("same owner, two writes, crash", 1, ABC).times(1, 2, 1) },
        // Several proposals, of which some are given up.
        Shape { prompt_acks: true, ..one("two moves", 2, ABC).times(2, 1, 0) },
        Shape { prompt_acks: true, ..one("two moves, crash", 2, ABC).times(2, 1, 1) },
        Shape {
            prompt_acks: true,
            ..Shape::new("two owners", (1, ABC), &[(2, ABC), (3, ABC)]).times(2, 1, 0)
        },
        Shape {
            prompt_acks: true,
            acknowledge_again: true,
            ..one("seals told again", 2, ABC).times(2, 1, 0)
        },
        Shape { prompt_acks: true, ..one("three proposals", 2, ABC).times(3, 1, 0) },
        // The replicas change, with or without the owner.
        Shape { prompt_acks: true, ..one("new replicas", 4, BCD) },
        Shape {
            prompt_acks: true,
            ..Shape::new("new replicas and back", (1, ABC), &[(4, BCD), (1, ABC)]).times(2, 1, 0)
        },
        // Other numbers of replicas.
        Shape {
            prompt_acks: true,
            ..Shape::new("two replicas", (1, &[1, 2]), &[(2, &[2, 3]), (1, &[1, 2])]).times(2, 1, 0)
        },
        Shape { prompt_acks: true, ..Shape::new("one to two", (1, &[1]), &[(2, &[1, 2])]).times(2, 1, 1) },
        Shape { prompt_acks: true, ..Shape::new("one to three", (1, &[1]), &[(1, ABC)]).times(1, 1, 1) },
        // What a commit that comes too late would do.
        Shape {
            in_order: true,
            prompt_acks: true,
            ..Shape::new("no log to go by", (1, ABC), &[(2, ABC), (4, &[4]), (4, &[4])]).times(3, 1, 0)
        },
        // A log is given up, and wanted again.
        Shape { ..Shape::new("given up", (1, ABC), &[(4, &[2, 4]), (3, ABC)]).times(2, 2, 1) },
        Shape {
            in_order: true,
            ..Shape::new("three in order", (1, ABC), &[(2, ABC), (3, ABC), (2, ABC)]).times(3, 2, 0)
        },
        Shape { ..Shape::new("two owners, two writes", (1, ABC), &[(2, ABC), (3, ABC)]).times(2, 2, 0) },
        Shape {
            probe: true,
            in_order: true,
            ..Shape::new("probes", (1, ABC), &[(2, ABC), (3, ABC)]).times(2, 3, 0)
        },
        Shape {
            in_order: true,
            ..Shape::new("two in order", (1, ABC), &[(2, ABC), (3, ABC)]).times(2, 2, 1)
        },
        Shape { truncate: true, ..one("snapshots, two writes", 3, ABC).times(1, 3, 0) },
        Shape { truncate: true, sync: Sync::Late, ..one("snapshots, crash", 2, ABC).times(1, 2, 1) },
        // For random walks: everything at once.
        Shape {
            sync: Sync::Late,
            truncate: true,
            learn: true,
            acknowledge_again: true,
            ..Shape::new("everything", (1, ABC), &[(4, BCD), (1, ABC), (2, ABC), (2, &[2, 4])]).times(3, 3, 2)
        },
        Shape {
            sync: Sync::Late,
            ..Shape::new("three, much", (1, ABC), &[(2, ABC), (3, ABC)]).times(3, 3, 2)
        },
        // Truncated logs, snapshots, learners.
        Shape { truncate: true, prompt_acks: true, ..one("snapshots", 2, ABC) },
        Shape { truncate: true, learn: true, prompt_acks: true, ..one("learners", 4, BCD) },
    ]
}
