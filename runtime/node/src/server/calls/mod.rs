//! The way of a call: from the node that took it to the guest on the shard's owner, and back.
//!
//! In reading order: [`router`] decides and acts, again and again until the call has an answer; [`trip`] is what it remembers
//! of one call; [`dispatch`] hands a call to a shard task here, [`forward`] to the owner elsewhere, [`wait`] keeps it;
//! [`exchange`] holds the bodies of one that streams them, and [`elsewhere`] sends it to the owner; [`slots`] holds the shard tasks, [`task`] is one of them, with [`ticket`], [`gate`] keeps its results until they may leave,
//! [`idempotency`] finds the first reply of a call that is made again, [`outcome`] turns what the host says into what callers hear,
//! [`version_counts`] says how each version fares, [`failed_functions`] remembers keys that have no shard.

pub mod dispatch;
pub mod elsewhere;
pub mod exchange;
pub mod failed_functions;
pub mod forward;
pub mod gate;
pub mod idempotency;
pub mod in_flight;
pub mod outcome;
pub mod router;
pub mod slots;
pub mod task;
pub mod ticket;
pub mod trip;
pub mod version_counts;
pub mod wait;
