//! What can go wrong, as the outside sees it: a closed set of codes, each with its status and what became of the call.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use shardloom_protocol::call::Executed;
use shardloom_sharding::ids::{Epoch, NodeId};

use super::fabric::ControlError;

/// Every code that an error can carry. The last three belong to administration and add to the table of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The guest: the request makes no sense.
    Invalid,
    /// The guest: there is no such thing.
    NotFound,
    /// The guest: the request contradicts the state.
    Conflict,
    /// The guest: anything else.
    Failed,
    /// A key that is not UTF-8, a bad header, a manifest or component that does not fit.
    BadRequest,
    /// No token, or a wrong one.
    Unauthenticated,
    /// A token that does not allow this.
    Forbidden,
    /// No workload of that name.
    UnknownWorkload,
    /// No such path.
    UnknownRoute,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// Another deploy of that name is under way or came first.
    DeployConflict,
    /// The body is over its bound.
    BodyTooLarge,
    /// The key is over its bound.
    KeyTooLarge,
    /// The headers are over their bound.
    HeadTooLarge,
    /// The guest trapped.
    GuestTrap,
    /// The guest went over one of its limits.
    GuestLimit,
    /// A component of wasi:http gave no whole response.
    NoResponse,
    /// The workload's shard function gave no shard.
    ShardFunctionFailed,
    /// Nobody leads, so leases run out.
    NoLeader,
    /// The shard is being handed over.
    Resharding,
    /// The shard has no owner.
    ShardUnavailable,
    /// A queue is full.
    Overloaded,
    /// The call was sent from node to node too often.
    TooManyHops,
    /// The guest ran too long.
    GuestTimeout,
    /// The caller's deadline passed.
    DeadlineExceeded,
    /// The owner was lost with the call.
    OwnerLost,
    /// The disk is full.
    DiskFull,
    /// A live node did not confirm a component; nothing changed.
    NotConfirmed,
    /// The state of the cluster forbids it; nothing changed.
    Refused,
    /// This node failed in a way that has no other name.
    Internal,
}

impl Code {
    /// All codes, in the order of the contract's table.
    pub const ALL: [Code; 30] = [
        Code::Invalid,
        Code::NotFound,
        Code::Conflict,
        Code::Failed,
        Code::BadRequest,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::UnknownWorkload,
        Code::UnknownRoute,
        Code::MethodNotAllowed,
        Code::DeployConflict,
        Code::BodyTooLarge,
        Code::KeyTooLarge,
        Code::HeadTooLarge,
        Code::GuestTrap,
        Code::GuestLimit,
        Code::NoResponse,
        Code::ShardFunctionFailed,
        Code::NoLeader,
        Code::Resharding,
        Code::ShardUnavailable,
        Code::Overloaded,
        Code::TooManyHops,
        Code::GuestTimeout,
        Code::DeadlineExceeded,
        Code::OwnerLost,
        Code::DiskFull,
        Code::NotConfirmed,
        Code::Refused,
        Code::Internal,
    ];

    /// The code's name, status, title, and what became of the call where nothing more is known.
    fn row(self) -> (&'static str, u16, &'static str, Executed) {
        use Executed::{No, RolledBack, Unknown};
        match self {
            Code::Invalid => ("invalid", 400, "The workload calls the request invalid", RolledBack),
            Code::NotFound => ("not-found", 404, "The workload has no such thing", RolledBack),
            Code::Conflict => ("conflict", 409, "The request contradicts the workload's state", RolledBack),
            Code::Failed => ("failed", 422, "The workload failed", RolledBack),
            Code::BadRequest => ("bad-request", 400, "The request does not fit", No),
            Code::Unauthenticated => ("unauthenticated", 401, "A token is needed", No),
            Code::Forbidden => ("forbidden", 403, "The token does not allow this", No),
            Code::UnknownWorkload => ("unknown-workload", 404, "No workload of that name", No),
            Code::UnknownRoute => ("unknown-route", 404, "No such path", No),
            Code::MethodNotAllowed => ("method-not-allowed", 405, "The path has no such method", No),
            Code::DeployConflict => ("deploy-conflict", 409, "Another deploy of that name", No),
            Code::BodyTooLarge => ("too-large", 413, "The body is too large", No),
            Code::KeyTooLarge => ("too-large", 414, "The key is too large", No),
            Code::HeadTooLarge => ("too-large", 431, "The headers are too large", No),
            Code::GuestTrap => ("guest-trap", 500, "The workload's guest trapped", RolledBack),
            Code::GuestLimit => ("guest-limit", 500, "The workload's guest went over a limit", RolledBack),
            Code::NoResponse => ("no-response", 502, "The component gave no response", RolledBack),
            Code::ShardFunctionFailed => ("shard-function-failed", 500, "The shard function failed", No),
            Code::NoLeader => ("no-leader", 503, "The cluster has no leader now", No),
            Code::Resharding => ("resharding", 503, "The shard is being handed over", No),
            Code::ShardUnavailable => ("shard-unavailable", 503, "The shard has no owner now", No),
            Code::Overloaded => ("overloaded", 503, "Too many calls are waiting", No),
            Code::TooManyHops => ("too-many-hops", 503, "The call was passed on too often", No),
            Code::GuestTimeout => ("guest-timeout", 504, "The workload's guest ran too long", RolledBack),
            Code::DeadlineExceeded => ("deadline-exceeded", 504, "The deadline has passed", Unknown),
            Code::OwnerLost => ("owner-lost", 502, "The shard's owner was lost with the call", Unknown),
            Code::DiskFull => ("disk-full", 507, "The disk is full", No),
            Code::NotConfirmed => ("not-confirmed", 503, "A live node did not confirm", No),
            Code::Refused => ("refused", 409, "The state of the cluster forbids it", No),
            Code::Internal => ("internal", 500, "The node failed", Unknown),
        }
    }

    /// The name in the contract.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// One line that is the same for every error of the code.
    pub fn title(self) -> &'static str {
        self.row().2
    }

    /// Whether the same request may well succeed a little later.
    fn passes(self) -> bool {
        self.status() == StatusCode::SERVICE_UNAVAILABLE
            || matches!(self, Code::DeadlineExceeded | Code::DeployConflict)
    }

    /// The code of a name that a peer sent; what this version does not know is an internal error.
    pub fn of_name(name: &str) -> Code {
        Code::ALL.into_iter().find(|code| code.name() == name).unwrap_or(Code::Internal)
    }
}

/// One error for one caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What went wrong.
    pub code: Code,
    /// What the caller should know about this very error.
    pub detail: String,
    /// What became of the call.
    pub executed: Executed,
    /// The shard's epoch, as far as this node knew one.
    pub epoch: Epoch,
}

impl Problem {
    /// An error with what the code says about execution.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem { code, detail: detail.into(), executed: code.row().3, epoch: Epoch(0) }
    }

    /// A live node has not confirmed what a deploy needs.
    pub fn not_confirmed(node: NodeId, reason: &str) -> Problem {
        let detail = format!("node {node} did not confirm, and nothing was changed: {reason}");
        Problem::new(Code::NotConfirmed, detail)
    }

    /// The same with something else known about execution.
    #[must_use]
    pub fn executed(self, executed: Executed) -> Problem {
        Problem { executed, ..self }
    }

    /// The same with an epoch.
    #[must_use]
    pub fn at(self, epoch: Epoch) -> Problem {
        Problem { epoch, ..self }
    }

    /// Whether sending the same request again is both safe and promising.
    pub fn is_retryable(&self) -> bool {
        self.executed == Executed::No && self.code.passes()
    }

    /// The body of the reply.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "status": self.code.status().as_u16(),
            "code": self.code.name(),
            "title": self.code.title(),
            "detail": self.detail,
            "executed": self.executed,
            "retryable": self.is_retryable(),
            "epoch": self.epoch,
        })
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Problem {
        let (code, executed) = match &error {
            ControlError::NoLeader => (Code::NoLeader, Executed::No),
            ControlError::Conflict { .. } => (Code::DeployConflict, Executed::No),
            ControlError::UnknownWorkload { .. } => (Code::UnknownWorkload, Executed::No),
            ControlError::Refused(_) => (Code::Refused, Executed::No),
            ControlError::Unknown(_) => (Code::Internal, Executed::Unknown),
        };
        Problem::new(code, error.to_string()).executed(executed)
    }
}

/// What a client that gets a 503 should wait: elections and hand-overs take about that long.
const RETRY_AFTER_S: &str = "1";

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.to_json().to_string();
        let mut response = (self.code.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.code.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        if self.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_valid_status_and_comes_back_from_its_name() {
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
            assert_eq!(Code::of_name(code.name()).name(), code.name());
        }
    }

    #[test]
    fn only_what_did_not_run_and_may_pass_is_retryable() {
        assert!(Problem::new(Code::Overloaded, "").is_retryable());
        assert!(!Problem::new(Code::DeadlineExceeded, "").is_retryable());
        assert!(Problem::new(Code::DeadlineExceeded, "").executed(Executed::No).is_retryable());
        assert!(!Problem::new(Code::OwnerLost, "").is_retryable());
        assert!(!Problem::new(Code::UnknownWorkload, "").is_retryable());
    }

    #[test]
    fn a_503_says_when_to_come_back() {
        let response = Problem::new(Code::NoLeader, "").into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], RETRY_AFTER_S);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
