//! Why a call has no reply, and what became of it.

use std::time::Duration;

use serde::Deserialize;

use crate::address::Address;

/// What became of a call that has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Executed {
    /// It did not run and will not.
    No,
    /// It ran, and nothing of it remains.
    RolledBack,
    /// It may have run, and may yet.
    Unknown,
}

/// A call has no reply.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct CallError {
    /// Why.
    pub reason: Reason,
    /// What became of it, all attempts together.
    pub executed: Executed,
}

/// Why a call has no reply: what the last attempt met.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The workload refuses.
    #[error(transparent)]
    Failure(Failure),
    /// A node refuses, or says that the call ended badly.
    #[error("{0}")]
    Problem(Problem),
    /// No connection could be made.
    #[error("{address} cannot be reached: {words}")]
    Unreachable {
        /// The node that was tried last.
        address: Address,
        /// What went wrong.
        words: String,
    },
    /// The request went out, and no reply came back.
    #[error("{address} took the call and did not answer: {words}")]
    Lost {
        /// The node that took it.
        address: Address,
        /// What went wrong.
        words: String,
    },
    /// Something else than a node answered.
    #[error("{address} answered as no node does: status {status}, {words}")]
    Strange {
        /// Where it was asked.
        address: Address,
        /// The HTTP status.
        status: u16,
        /// What is wrong with the answer.
        words: String,
    },
    /// The deadline passed.
    #[error("there was no reply within {} ms", .0.as_millis())]
    Deadline(Duration),
    /// The call cannot be put into a request.
    #[error("the call cannot be sent: {0}")]
    Unfit(String),
}

/// The workload's own refusal; nothing that the call wrote remains.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The request makes no sense.
    #[error("invalid: {0}")]
    Invalid(String),
    /// What the request is about does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// The request contradicts the state.
    #[error("conflict: {0}")]
    Conflict(String),
    /// Anything else that the workload could not do.
    #[error("failed: {0}")]
    Failed(String),
}

/// An error of the cluster, as `application/problem+json` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{detail} ({status} {code})")]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What kind of problem, from the closed set of the API.
    pub code: String,
    /// What happened this time.
    pub detail: String,
    /// What became of the attempt.
    pub executed: Executed,
    /// Whether the same request may succeed a little later.
    pub retryable: bool,
}

impl CallError {
    /// Whether the same call may be made again without being carried out twice, and may well succeed. The client has done so
    /// already as often as it may; this is for whoever has more time.
    pub fn is_retryable(&self) -> bool {
        self.executed == Executed::No
            && match &self.reason {
                Reason::Problem(problem) => problem.retryable,
                Reason::Unreachable { .. } | Reason::Deadline(_) => true,
                _ => false,
            }
    }

    /// The workload's own refusal, if it is one.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.reason {
            Reason::Failure(failure) => Some(failure),
            _ => None,
        }
    }

    /// The code of a problem, as the API names it.
    pub fn code(&self) -> Option<&str> {
        match &self.reason {
            Reason::Problem(problem) => Some(&problem.code),
            _ => None,
        }
    }

    pub(crate) fn unfit(words: impl ToString) -> CallError {
        CallError { reason: Reason::Unfit(words.to_string()), executed: Executed::No }
    }
}

impl Problem {
    /// The problem, or the workload's own refusal that it stands for.
    pub(crate) fn into_reason(self) -> Reason {
        Reason::Failure(match self.code.as_str() {
            "invalid" => Failure::Invalid(self.detail),
            "not-found" => Failure::NotFound(self.detail),
            "conflict" => Failure::Conflict(self.detail),
            "failed" => Failure::Failed(self.detail),
            _ => return Reason::Problem(self),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(code: &str, executed: Executed, retryable: bool) -> CallError {
        let (code, detail) = (code.to_owned(), "words".to_owned());
        let reason = Problem { status: 503, code, detail, executed, retryable }.into_reason();
        CallError { reason, executed }
    }

    #[test]
    fn the_workloads_refusal_is_told_apart_from_the_clusters() {
        let conflict = problem("conflict", Executed::RolledBack, false);
        assert_eq!(conflict.failure(), Some(&Failure::Conflict("words".to_owned())));
        assert_eq!(conflict.code(), None);
        let other = problem("deploy-conflict", Executed::No, true);
        assert_eq!((other.failure(), other.code()), (None, Some("deploy-conflict")));
        assert_eq!(other.to_string(), "words (503 deploy-conflict)");
    }

    #[test]
    fn only_what_did_not_run_and_may_pass_is_retryable() {
        assert!(problem("no-leader", Executed::No, true).is_retryable());
        assert!(!problem("bad-request", Executed::No, false).is_retryable());
        assert!(!problem("owner-lost", Executed::Unknown, true).is_retryable());
        assert!(!problem("invalid", Executed::RolledBack, false).is_retryable());
        assert!(!CallError::unfit("x").is_retryable());
    }
}
