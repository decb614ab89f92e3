//! A refusal: what the caller hears where there is no reply.

use std::fmt;

use crate::state_error::StateError;

/// Why a handler does not answer with a reply. Nothing that the call wrote remains.
///
/// The text goes to the caller. A `?` turns a [`StateError`] into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The request makes no sense (HTTP 400).
    Invalid(String),
    /// What the request is about does not exist (HTTP 404).
    NotFound(String),
    /// The request contradicts the state that it met (HTTP 409).
    Conflict(String),
    /// Anything else that the handler could not do (HTTP 422).
    Failed(String),
}

impl Failure {
    /// The request makes no sense.
    pub fn invalid(words: impl Into<String>) -> Failure {
        Failure::Invalid(words.into())
    }

    /// What the request is about does not exist.
    pub fn not_found(words: impl Into<String>) -> Failure {
        Failure::NotFound(words.into())
    }

    /// The request contradicts the state.
    pub fn conflict(words: impl Into<String>) -> Failure {
        Failure::Conflict(words.into())
    }

    /// The handler could not do it.
    pub fn failed(words: impl Into<String>) -> Failure {
        Failure::Failed(words.into())
    }

    /// What the caller is told.
    pub fn text(&self) -> &str {
        match self {
            Failure::Invalid(text)
            | Failure::NotFound(text)
            | Failure::Conflict(text)
            | Failure::Failed(text) => text,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Failure::Invalid(_) => "invalid",
            Failure::NotFound(_) => "not found",
            Failure::Conflict(_) => "conflict",
            Failure::Failed(_) => "failed",
        };
        write!(f, "{kind}: {}", self.text())
    }
}

impl std::error::Error for Failure {}

impl From<StateError> for Failure {
    /// What is too large is the caller's doing, everything else the handler's.
    fn from(error: StateError) -> Failure {
        match error {
            StateError::TooLarge(words) => Failure::Invalid(words),
            other => Failure::Failed(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_invalid_and_a_full_shard_is_not() {
        assert_eq!(Failure::from(StateError::TooLarge("w".to_owned())), Failure::invalid("w"));
        assert!(matches!(Failure::from(StateError::QuotaExceeded), Failure::Failed(_)));
        assert!(matches!(Failure::from(StateError::Closed), Failure::Failed(_)));
        assert!(matches!(Failure::from(StateError::Damaged("w".to_owned())), Failure::Failed(_)));
    }

    #[test]
    fn a_failure_reads_as_its_kind_and_its_text() {
        assert_eq!(Failure::not_found("no such order").to_string(), "not found: no such order");
    }
}
