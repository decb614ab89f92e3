//! A workload's guest: one warm instance, its calls one after another.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use shardloom_sharding::ids::{Epoch, NodeId, ShardId};

use crate::digest::Digest;
use crate::limits::Limits;
use crate::logs::LogSink;

/// A compiled handler, checked and linked; cheap to clone.
#[derive(Clone, Debug)]
pub struct PreparedHandler {
    digest: Digest,
}

/// Where and as what an instance runs: what `shard-info` tells the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The shard whose requests the instance gets.
    pub shard: ShardId,
    /// How many shards the cluster has.
    pub shard_count: u32,
    /// The epoch under which the node owns the shard.
    pub epoch: Epoch,
    /// The node.
    pub node: NodeId,
    /// The workload's name.
    pub workload: Arc<str>,
    /// The workload's version.
    pub version: u64,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The key that picked the shard.
    pub key: String,
    /// Which operation; empty where none was named.
    pub method: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The caller's bytes.
    pub body: Vec<u8>,
}

/// What the guest answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// Headers for the caller; as the guest gave them, unchecked.
    pub headers: Vec<(String, String)>,
    /// Bytes for the caller.
    pub body: Vec<u8>,
}

/// A refusal by the guest, in its own words; the instance stays usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The request makes no sense.
    #[error("invalid: {0}")]
    Invalid(String),
    /// It is about something that does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// It contradicts the state.
    #[error("conflict: {0}")]
    Conflict(String),
    /// Anything else.
    #[error("failed: {0}")]
    Failed(String),
}

/// Why a call has no reply. After anything but a failure the instance is dead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest refused; the instance lives.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The guest trapped.
    #[error("the guest trapped: {}", .0.reason)]
    Trap(GuestTrap),
    /// The guest went over one of its limits.
    #[error("the guest went over its limit: {0}")]
    Limit(LimitHit),
    /// The guest ran too long.
    #[error("the guest ran too long: {0}")]
    Timeout(TimeoutKind),
    /// The instance was dead before the call: a new one is needed. The guest did not run.
    #[error("the instance is dead")]
    Dead,
}

/// A trap, and where in the guest it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestTrap {
    /// The trap in one line.
    pub reason: String,
    /// The guest's stack, one frame a line; may be empty.
    pub backtrace: String,
}

/// Which limit a guest went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitHit {
    /// Linear memory; the bytes allowed.
    Memory(u64),
    /// Elements of tables; the number allowed.
    Tables(u32),
    /// The stack; the bytes allowed.
    Stack(u64),
    /// What it hands over in one call, its reply above all; the bytes allowed.
    Reply(u64),
    /// Headers of its reply; the number allowed.
    ReplyHeaders(u32),
    /// Bytes of its reply's headers; the number allowed.
    ReplyHeaderBytes(u32),
}

/// Which time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeoutKind {
    /// The guest's own run time; the milliseconds allowed.
    RunTime(u32),
    /// The deadline of the request came while the guest ran.
    Deadline,
}

/// An instance could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstantiateError {
    /// What the component needs from the start is over a limit.
    #[error("the guest starts over its limit: {0}")]
    Limit(LimitHit),
    /// Its start code trapped.
    #[error("the guest trapped as it started: {}", .0.reason)]
    Trap(GuestTrap),
    /// Its start code ran too long.
    #[error("the guest ran too long as it started: {0}")]
    Timeout(TimeoutKind),
    /// This host has no room for another instance.
    #[error("no room for another instance: {0}")]
    Full(String),
}

/// One warm instance of a handler, for one shard.
#[derive(Debug)]
pub struct HandlerInstance {
    dead: bool,
}

impl PreparedHandler {
    /// The component's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl HandlerInstance {
    /// Makes an instance and runs its start code, within the limits.
    ///
    /// # Errors
    /// See [`InstantiateError`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the instance.
    pub async fn instantiate(
        handler: &PreparedHandler,
        place: Place,
        limits: &Limits,
        config: Arc<BTreeMap<String, String>>,
        logs: LogSink,
    ) -> Result<HandlerInstance, InstantiateError> {
        let _ = (handler, place, limits, config, logs);
        todo!()
    }

    /// Runs one call. The guest runs on a fiber of its own and yields the thread at every tick.
    ///
    /// # Errors
    /// See [`CallError`].
    ///
    /// # Cancel safety
    /// Dropping the future unwinds the guest and leaves the instance dead.
    pub async fn call(&mut self, request: Request, deadline: Instant) -> Result<Reply, CallError> {
        let _ = (request, deadline);
        todo!()
    }

    /// Whether the instance can never be called again: after a trap, a timeout, a limit, or a call that was dropped.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Tells the guest a newer epoch, from the next call on.
    pub fn set_epoch(&mut self, epoch: Epoch) {
        let _ = epoch;
        todo!()
    }

    /// Bytes of linear memory that the instance has now.
    pub fn memory_bytes(&self) -> u64 {
        todo!()
    }
}

impl fmt::Display for LimitHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitHit::Memory(bytes) => write!(f, "memory ({bytes} bytes)"),
            LimitHit::Tables(elements) => write!(f, "tables ({elements} elements)"),
            LimitHit::Stack(bytes) => write!(f, "stack ({bytes} bytes)"),
            LimitHit::Reply(bytes) => write!(f, "reply ({bytes} bytes)"),
            LimitHit::ReplyHeaders(count) => write!(f, "headers of the reply ({count})"),
            LimitHit::ReplyHeaderBytes(bytes) => write!(f, "headers of the reply ({bytes} bytes)"),
        }
    }
}

impl fmt::Display for TimeoutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeoutKind::RunTime(ms) => write!(f, "{ms} ms of run time"),
            TimeoutKind::Deadline => f.write_str("the deadline of the request"),
        }
    }
}
