//! Everything that nodes say to each other about shards. Each message may be lost, doubled, late or out of order.
//!
//! | message | from | to | answered by | sent again |
//! |---|---|---|---|---|
//! | `Renew` | node | leader | `Grant` | each `renew_every`, with a new number |
//! | `SealAck` | node | leader | `SealAnswer` | until answered by the leader of the day |
//! | `Recover` | leader | new owner | `Confirm` | until confirmed or replaced |
//! | `Fetch` | new owner | source | `Fetched` | until the copy is whole |
//! | `Append` | owner | replica, learner | `Appended` | until acknowledged |
//! | `Confirm` | new owner | leader | the commit in the control log | until committed or replaced |
//! | `Trouble` | owner | leader | a new proposal | while it lasts |
//! | `Leaving` | node | leader | moves | each `renew_every` |
//! | `Space` | node | leader | moves | each `renew_every`, once the disk has been full |
//! | `Learn` | leader | owner | `Learnt`, or `Learning` | until learnt or given up |
//! | `Hold` | leader | owner | `Held` | no: a courtesy |

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::change::Replicas;
use crate::ids::{Boot, DiskId, Epoch, NodeId, Position, Replica, ShardId, Tail, Term};

use super::log::LogIndex;

/// The most shards that one message speaks of; a longer list is split.
pub const MESSAGE_SHARDS_MAX: usize = 1024;

/// The most entries that one append or fetch of one shard carries.
pub const RANGE_ENTRIES_MAX: u64 = 256;

/// What a shard log holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Body {
    /// The first entry under an epoch: it fences what came before, and changes nothing.
    Barrier,
    /// The writes of one call.
    Batch(#[serde(with = "batch_bytes")] Arc<[u8]>),
}

/// Writes a batch as bytes, not as a list of numbers: the same on the wire, and copied at once.
mod batch_bytes {
    use std::fmt;
    use std::sync::Arc;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(batch: &Arc<[u8]>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(batch)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<[u8]>, D::Error> {
        struct Batch;

        impl<'de> Visitor<'de> for Batch {
            type Value = Arc<[u8]>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Arc<[u8]>, E> {
                Ok(Arc::from(bytes))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Arc<[u8]>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = list.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes.into())
            }
        }

        from.deserialize_bytes(Batch)
    }
}

/// One entry of a shard log; its position follows from where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The epoch under which it was written.
    pub stamp: Epoch,
    /// What it says.
    pub body: Body,
}

/// A shard under an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardEpoch {
    /// The shard.
    pub shard: ShardId,
    /// The epoch that is meant.
    pub epoch: Epoch,
}

/// A message between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// For the leader core.
    ToLeader(ToLeader),
    /// For the node core, from the leader core.
    FromLeader(FromLeader),
    /// For the node core: entries from owners.
    Append(Vec<Append>),
    /// For the node core: what became of appends.
    Appended {
        /// The disk of the sender's logs.
        disk: DiskId,
        /// The results.
        answers: Vec<Appended>,
    },
    /// For the node core: new owners ask for logs.
    Fetch(Vec<Fetch>),
    /// For the node core: parts of those logs.
    Fetched(Vec<Fetched>),
}

/// What a node tells the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToLeader {
    /// Asks for the lease to be prolonged.
    Renew {
        /// The boot of the sender.
        boot: Boot,
        /// The disk of the sender's logs.
        disk: DiskId,
        /// Counts the renewals of a boot.
        number: u64,
    },
    /// Says what is sealed.
    SealAck {
        /// The boot of the sender.
        boot: Boot,
        /// The disk of the sender's logs.
        disk: DiskId,
        /// Names this message in the answer; counts up within a boot.
        number: u64,
        /// Every shard that any proposal up to this one changes is sealed, durably, at that proposal or above.
        through: Epoch,
        /// The tails of the pending shards of which this disk is a replica in the committed map.
        tails: Vec<(ShardEpoch, Tail)>,
    },
    /// Says that a write quorum of the new replicas holds the barrier.
    Confirm {
        /// The boot of the sender, in which it sealed and recovered.
        boot: Boot,
        /// The recovered shards and their epochs.
        shards: Vec<ShardEpoch>,
    },
    /// Names shards that stand still until the leader proposes anew.
    Trouble {
        /// The boot of the sender.
        boot: Boot,
        /// Owned under this epoch, which another boot of the sender had begun: the same owner can have them again.
        lost: Vec<ShardEpoch>,
        /// Appends under this epoch have no quorum, or its log cannot be fetched: another owner should have them.
        stuck: Vec<ShardEpoch>,
    },
    /// Says that these shards' future owner, a write quorum of their future replicas and all that are new among them are near the tail.
    Learnt {
        /// The shards and the committed epochs under which they learnt.
        shards: Vec<ShardEpoch>,
    },
    /// Asks that others be given what the sender owns, because its process is about to end. It stays a replica.
    Leaving {
        /// The boot that is about to end.
        boot: Boot,
    },
    /// Says that no call of these shards is under way, or that the wait for them is over.
    Held {
        /// The shards and the committed epochs under which they are held.
        shards: Vec<ShardEpoch>,
    },
    /// Says whether the sender's disk has room. Full, it asks that others be given what it owns; it stays a replica.
    Space {
        /// The boot of the sender.
        boot: Boot,
        /// The number of the renewal beside it: the newest word counts.
        number: u64,
        /// How much room there is.
        space: Space,
    },
    /// Says how far the learners of these shards have come, where they have not learnt yet.
    Learning {
        /// The shards, the committed epochs under which they learn, and how far they are.
        shards: Vec<(ShardEpoch, LearnProgress)>,
    },
}

/// Whether a node's disk has room for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Space {
    /// It has.
    #[default]
    Ample,
    /// It has not: nothing new may be taken on.
    Full,
}

/// How far the learners of one shard have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct LearnProgress {
    /// Bytes of snapshots that the learners have taken in.
    pub sent_bytes: u64,
    /// Bytes that these snapshots have in all, as far as it is known.
    pub whole_bytes: u64,
    /// Up to where the learner that is least far holds the log; 0 while it has none.
    pub reached: Position,
    /// Where the log ends.
    pub tail: Position,
}

/// What the leader tells a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromLeader {
    /// Prolongs the lease from the sending of that renewal, once the proposal is applied.
    Grant {
        /// The boot that renewed.
        boot: Boot,
        /// The number of the renewal.
        number: u64,
        /// The newest proposal in the control log.
        proposal: Epoch,
    },
    /// Takes note of a seal acknowledgement.
    SealAnswer {
        /// The leader's term; a new leader wants to hear it again.
        term: Term,
        /// The boot that sent the acknowledgement.
        boot: Boot,
        /// The number of the acknowledgement.
        number: u64,
        /// The newest proposal, where the acknowledgement is behind it.
        verdict: SealVerdict,
    },
    /// Names the log from which each shard is to be recovered.
    Recover {
        /// The shards, their pending epochs, and the replica whose log wins; none where there is no log yet.
        shards: Vec<(ShardEpoch, Option<Replica>)>,
    },
    /// Asks an owner to bring future replicas near the tail.
    Learn {
        /// The shards, their committed epochs, and who is to learn.
        shards: Vec<(ShardEpoch, Learners)>,
    },
    /// Asks an owner to start no new call of these shards, and to say when those under way are done.
    Hold {
        /// The shards and their committed epochs.
        shards: Vec<ShardEpoch>,
    },
}

/// The leader's answer to a seal acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SealVerdict {
    /// The acknowledgement is about the newest proposal.
    Ok,
    /// There is a newer proposal, which the node has yet to apply and seal.
    Behind {
        /// That proposal.
        current: Epoch,
    },
}

/// Who is to have a shard after a planned change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Learners {
    /// The future owner.
    pub owner: NodeId,
    /// The future replicas.
    pub replicas: Replicas,
}

/// Entries of one shard from its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// The shard, and the epoch under which its owner sends.
    pub shard: ShardEpoch,
    /// The entry before the first of `entries`.
    pub previous: Tail,
    /// The entries; none to probe, or to pass on the commit alone.
    pub entries: Vec<Entry>,
    /// Up to where a write quorum of the epoch's replicas holds the log; 0 before the owner serves.
    pub commit: Position,
}

/// What became of an append, a probe or a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// The shard, and the epoch of the append.
    pub shard: ShardEpoch,
    /// The result.
    pub outcome: Outcome,
}

/// The result of an append.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Everything up to here equals the owner's log and is durable.
    Matched(Position),
    /// The entry before the append is missing or another, or the append came before the seal; this is the replica's log.
    Mismatch(LogIndex),
}

/// A new owner asks for a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The shard, and the epoch under which the owner recovers.
    pub shard: ShardEpoch,
    /// The disk whose log won: the same node with another disk has nothing to give.
    pub disk: DiskId,
    /// What the owner already has.
    pub log: LogIndex,
}

/// A part of the source's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The shard, and the epoch of the request.
    pub shard: ShardEpoch,
    /// The entry before the first of `entries`.
    pub previous: Tail,
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where the source's log ends.
    pub tail: Tail,
}
