//! A call on its way from the node that took it to the shard's owner, and what comes back.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shardloom_sharding::ids::{Epoch, ShardId};

/// A call as the router forwards it; the deadline is what is left of it at sending, since clocks are not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Random, made by the node that took the request; the same on every attempt.
    pub id: u128,
    /// The workload by name.
    pub workload: String,
    /// The control-log index of the last change of what runs of the workload, as the router knows it; an owner that has applied less waits for it.
    pub activation: u64,
    /// The shard that the router found for the key.
    pub shard: ShardId,
    /// The epoch that the router went by.
    pub epoch: Epoch,
    /// How often the call has been forwarded, this time included.
    pub hops: u8,
    /// What is left until the caller's deadline, in milliseconds.
    pub time_left_ms: u32,
    /// What the guest gets; shared with the router, which keeps it for another attempt.
    pub request: Arc<GuestRequest>,
}

/// What a guest is called with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRequest {
    /// The key that picked the shard.
    pub key: String,
    /// The method, empty if the caller named none.
    pub method: String,
    /// The caller's headers, without hop-by-hop ones and our own.
    pub headers: Vec<(String, String)>,
    /// The caller's body.
    pub body: Bytes,
    /// Where the request goes, if it came as plain HTTP for a component of wasi:http; its `method` is HTTP's then.
    pub http: Option<HttpTarget>,
}

/// What an HTTP request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpTarget {
    /// Whether the caller came by TLS.
    pub tls: bool,
    /// The host, and the port if there is one, that the caller meant.
    pub authority: String,
    /// The path behind the workload's name, and the query.
    pub path_and_query: String,
}

/// What a guest answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestReply {
    /// The status of HTTP; 200 from a handler of calls.
    pub status: u16,
    /// Headers for the caller.
    pub headers: Vec<(String, String)>,
    /// The body for the caller.
    pub body: Bytes,
}

/// How a call ended at the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallReply {
    /// The guest ran; under which epoch and version, and what it answered.
    Ran {
        /// The epoch that the owner served under.
        epoch: Epoch,
        /// The version that ran.
        version: u64,
        /// Whether the answer was made by this attempt.
        given: Given,
        /// The reply, or the guest's own failure.
        answer: Result<GuestReply, GuestFailure>,
    },
    /// The node does not own the shard (any more) and did not run the call; its committed epoch of the shard.
    Moved {
        /// What the node that answers has committed for the shard.
        epoch: Epoch,
    },
    /// The call ran, and the node lost the shard before what it wrote was safe: the log of the shard's next owner knows what became of it.
    InDoubt {
        /// What the node that answers has committed for the shard.
        epoch: Epoch,
    },
    /// The call ended without an answer of the guest.
    Failed {
        /// What happened, by its name in the outside contract (`guest-trap`, `overloaded`, ...).
        code: String,
        /// What to tell the caller.
        detail: String,
        /// Whether it ran.
        executed: Executed,
        /// The epoch in which that happened, 0 if none.
        epoch: Epoch,
    },
}

/// When an answer was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Given {
    /// By the guest, for this request.
    Now,
    /// For an earlier request under the same idempotency key.
    Before,
}

/// The guest's own failure, told apart as in the `handler` interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestFailure {
    /// The request makes no sense to the guest.
    Invalid(String),
    /// There is no such thing.
    NotFound(String),
    /// The request contradicts the state.
    Conflict(String),
    /// Anything else.
    Failed(String),
}

/// What became of a call that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Executed {
    /// It did not run and will not.
    No,
    /// It ran, and nothing of it remains.
    RolledBack,
    /// It may have run.
    Unknown,
}
