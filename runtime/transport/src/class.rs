//! Classes of traffic: each has streams, queues and bounds of its own, so that none can starve another.

use std::fmt;

/// What a message is for; decides on which stream it travels and what bounds hold for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Agreement, leases, the hand-over protocol: small, urgent.
    Control,
    /// Appends to shard logs and their acknowledgements.
    Appends,
    /// Calls forwarded to the owner of their shard.
    Requests,
    /// Components and snapshots: large, each on a stream of its own.
    Bulk,
    /// A node without a certificate that asks to be let in.
    Join,
}

impl Class {
    /// Every class, in the order of its number on the wire.
    pub const ALL: [Class; 5] = [Class::Control, Class::Appends, Class::Requests, Class::Bulk, Class::Join];

    /// The class as an index into [`Class::ALL`], and its number on the wire.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn from_wire(number: u8) -> Option<Class> {
        Class::ALL.get(usize::from(number)).copied()
    }

    /// Which streams go first when the connection is full.
    pub(crate) fn priority(self) -> i32 {
        match self {
            Class::Control => 3,
            Class::Appends => 2,
            Class::Requests => 1,
            Class::Bulk | Class::Join => 0,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Control => "control",
            Class::Appends => "appends",
            Class::Requests => "requests",
            Class::Bulk => "bulk",
            Class::Join => "join",
        })
    }
}
