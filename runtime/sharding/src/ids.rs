//! Names of things: nodes, disks, shards, epochs and places in a log.
//!
//! Random identities (`NodeId`, `DiskId`, `ClusterId`) read as 16 hexadecimal digits wherever a person or a program outside
//! sees them, and travel as plain integers between nodes. Everything else counts from zero.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text is not the 16 hexadecimal digits of an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: 16 hexadecimal digits are expected")]
pub struct ParseIdError {
    text: String,
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
                match u64::from_str_radix(text, 16) {
                    Ok(id) if digits => Ok($name(id)),
                    _ => Err(ParseIdError { text: text.chars().take(40).collect() }),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_u64(self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    u64::deserialize(deserializer).map($name)
                }
            }
        }
    };
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

random_id! {
    /// One node process and its data directory; random, kept on disk, never reused.
    NodeId
}
random_id! {
    /// The logs of one data directory; random, made anew with them, so that a wiped disk is a new replica.
    DiskId
}
random_id! {
    /// One cluster; random, made at bootstrap.
    ClusterId
}
number! {
    /// A shard, `0..shard_count`.
    ShardId(u32)
}
number! {
    /// The control-log index of the proposal that set a shard's owner and replicas; 0 is "never set".
    Epoch(u64)
}
number! {
    /// A place in a shard log, counted on across epochs; the first entry is at 1, and 0 is "before the first".
    Position(u64)
}
number! {
    /// How often a node has started from its data directory; the first start is 1.
    Boot(u64)
}
number! {
    /// A term of the control group's leader.
    Term(u64)
}

impl ShardId {
    /// The shard as an index into a table with one row per shard.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Position {
    /// The place after this one.
    #[must_use]
    pub fn next(self) -> Position {
        Position(self.0 + 1)
    }
}

/// One copy of a shard log: the node that keeps it, and the disk it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Replica {
    /// The node that keeps the copy.
    pub node: NodeId,
    /// The disk that the copy is on.
    pub disk: DiskId,
}

/// The last entry that a replica holds; ordered by stamp, then by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Tail {
    /// The epoch under which the entry was written.
    pub stamp: Epoch,
    /// Where the entry stands.
    pub position: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_as_sixteen_hex_digits_and_back() {
        let node = NodeId(0xab);
        assert_eq!(node.to_string(), "00000000000000ab");
        assert_eq!("00000000000000ab".parse(), Ok(node));
        for bad in ["", "ab", "+0000000000000ab", "00000000000000abc", "zz000000000000ab"] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tails_order_by_stamp_before_position() {
        let tail = |stamp, position| Tail { stamp: Epoch(stamp), position: Position(position) };
        assert!(tail(2, 1) > tail(1, 9));
        assert!(tail(2, 2) > tail(2, 1));
    }
}
