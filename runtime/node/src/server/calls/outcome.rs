//! How a call can end at the owner, and what of that a caller hears.

use bytes::Bytes;
use shardloom_host::{CallError, Failure, InstantiateError, Reply};
use shardloom_protocol::call::{CallReply, Executed, Given, GuestFailure, GuestReply};
use shardloom_sharding::ids::{Epoch, NodeId, ShardId};

use super::idempotency::Known;
use crate::server::problem::{Code, Problem};

/// A guest has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Where and as what it ran.
    pub place: Place,
    /// What it said.
    pub said: Result<GuestReply, GuestFailure>,
}

/// Where a call ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The node that ran it.
    pub node: NodeId,
    /// The shard.
    pub shard: ShardId,
    /// The epoch that the node served the shard under.
    pub epoch: Epoch,
    /// The workload's version that ran.
    pub version: u64,
    /// Whether it ran for this request.
    pub given: Given,
}

/// What became of a call at a shard task.
#[derive(Debug)]
pub enum Outcome {
    /// The guest answered.
    Ran {
        /// The epoch it ran under.
        epoch: Epoch,
        /// The version that ran.
        version: u64,
        /// Whether it said so now.
        given: Given,
        /// What it said.
        answer: Result<GuestReply, GuestFailure>,
    },
    /// It was not run, since the node does not serve the shard any more: route it again.
    NotRun,
    /// It ran, and the node lost the shard before what it wrote was safe: the log of the shard's next owner knows (rule 26).
    Lost,
    /// It ended without an answer.
    Failed(Problem),
}

/// What the guest's refusal is called outside.
pub fn failure_code(failure: &GuestFailure) -> Code {
    match failure {
        GuestFailure::Invalid(_) => Code::Invalid,
        GuestFailure::NotFound(_) => Code::NotFound,
        GuestFailure::Conflict(_) => Code::Conflict,
        GuestFailure::Failed(_) => Code::Failed,
    }
}

/// The guest's refusal as an error for the caller.
pub fn failure_problem(failure: GuestFailure) -> Problem {
    let code = failure_code(&failure);
    let (GuestFailure::Invalid(detail)
    | GuestFailure::NotFound(detail)
    | GuestFailure::Conflict(detail)
    | GuestFailure::Failed(detail)) = failure;
    Problem::new(code, detail)
}

/// Sorts what the host says of a call into the guest's own answer and the host's verdict on the guest.
pub fn sort(result: Result<Reply, CallError>) -> Result<Result<GuestReply, GuestFailure>, Problem> {
    match result {
        Ok(reply) => {
            let Reply { status, headers, body } = reply;
            Ok(Ok(GuestReply { status, headers, body: Bytes::from(body) }))
        }
        Err(CallError::Failure(failure)) => Ok(Err(match failure {
            Failure::Invalid(text) => GuestFailure::Invalid(text),
            Failure::NotFound(text) => GuestFailure::NotFound(text),
            Failure::Conflict(text) => GuestFailure::Conflict(text),
            Failure::Failed(text) => GuestFailure::Failed(text),
        })),
        Err(error) => Err(match &error {
            CallError::Limit(_) => Problem::new(Code::GuestLimit, error.to_string()),
            CallError::Timeout(_) => Problem::new(Code::GuestTimeout, error.to_string()),
            CallError::NoResponse(_) => Problem::new(Code::NoResponse, error.to_string()),
            CallError::Dead => Problem::new(Code::Internal, error.to_string()).executed(Executed::No),
            // The instance is dead, and with it all that the call has done.
            CallError::Host(_) => {
                Problem::new(Code::Internal, error.to_string()).executed(Executed::RolledBack)
            }
            CallError::Trap(_) | CallError::Failure(_) => Problem::new(Code::GuestTrap, error.to_string()),
        }),
    }
}

/// What a caller hears when no instance could be made for its call.
pub fn instantiate_problem(error: &InstantiateError) -> Problem {
    let code = match error {
        InstantiateError::Limit(_) => Code::GuestLimit,
        InstantiateError::Trap(_) => Code::GuestTrap,
        InstantiateError::Timeout(_) => Code::GuestTimeout,
        InstantiateError::Host(_) => Code::Internal,
    };
    // Its start code may have run, but the call has not.
    Problem::new(code, error.to_string()).executed(Executed::No)
}

/// The reply as the log keeps it, for a caller whose first answer is lost.
pub fn to_keep(reply: &GuestReply) -> Bytes {
    postcard::to_allocvec(reply).map(Bytes::from).unwrap_or_default()
}

/// What a call is told that the log says has been carried out.
pub fn remembered(kept: &[u8], epoch: Epoch, version: u64) -> Outcome {
    match postcard::from_bytes::<GuestReply>(kept) {
        Ok(reply) => Outcome::Ran { epoch, version, given: Given::Now, answer: Ok(reply) },
        Err(_) => {
            let lost = "the call was carried out, and its reply is lost: it was too large to be kept";
            Outcome::Failed(Problem::new(Code::OwnerLost, lost).at(epoch))
        }
    }
}

/// What a call is told that was made before under the same idempotency key; none if it was not.
pub fn known(known: Known, epoch: Epoch) -> Option<Outcome> {
    match known {
        Known::Nothing => None,
        Known::Replied(version, Some(reply)) => {
            Some(Outcome::Ran { epoch, version, given: Given::Before, answer: Ok(reply) })
        }
        Known::Replied(_, None) => {
            let lost = "the call was carried out before, and its reply was too large to be kept";
            Some(Outcome::Failed(Problem::new(Code::OwnerLost, lost).at(epoch)))
        }
        Known::Other => {
            let other = "another request was made under this idempotency key";
            Some(Outcome::Failed(Problem::new(Code::BadRequest, other).executed(Executed::No).at(epoch)))
        }
    }
}

/// The answer to a peer.
pub fn to_wire(result: Result<Answer, Problem>) -> CallReply {
    match result {
        Ok(Answer { place, said }) => {
            let Place { epoch, version, given, .. } = place;
            CallReply::Ran { epoch, version, given, answer: said }
        }
        Err(problem) => CallReply::Failed {
            code: problem.code.name().to_owned(),
            detail: problem.detail,
            executed: problem.executed,
            epoch: problem.epoch,
        },
    }
}
