//! The two styles of a workload, and what the suite says to each.

use anyhow::{Result, ensure};
use serde_json::Value;
use shardloom_harness::cluster::call_path;
use shardloom_harness::http::{Reply, segment};

/// A style of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A component of our world, called by key and method.
    ShardHandler,
    /// A component of wasi:http, asked at `/KEY/METHOD`.
    Http,
}

impl Style {
    pub(super) const ALL: [Style; 2] = [Style::ShardHandler, Style::Http];

    /// As the table calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Style::ShardHandler => "handler",
            Style::Http => "wasi:http",
        }
    }

    /// What the guest of a language is called.
    pub(super) fn workload(self, language: &str) -> String {
        match self {
            Style::ShardHandler => format!("conformance-{language}"),
            Style::Http => format!("conformance-http-{language}"),
        }
    }

    /// What the deploy needs besides.
    pub(super) fn deploy(self) -> &'static [&'static str] {
        match self {
            Style::ShardHandler => &[],
            Style::Http => &["--key-from", "path:1"],
        }
    }

    pub(super) fn path(self, workload: &str, key: &str, method: &str) -> String {
        match self {
            Style::ShardHandler => call_path(workload, key, method),
            Style::Http => format!("/w/{}/{}/{}", segment(workload), segment(key), segment(method)),
        }
    }

    /// Checks a refusal of the guest's own: its kind, and how its words begin.
    pub(super) fn check_refusal(self, reply: &Reply, kind: Refusal, words: &str) -> Result<()> {
        let (right, said) = match self {
            Style::ShardHandler => {
                let problem: Value = reply.json()?;
                let right = problem["code"] == kind.code() && problem["executed"] == "rolled-back";
                (right, problem["detail"].as_str().unwrap_or_default().to_owned())
            }
            Style::Http => (reply.status == kind.status(), reply.text()),
        };
        ensure!(right, "answered {} {said:?} instead of {kind:?}", reply.status);
        ensure!(said.starts_with(words), "says {said:?} instead of {words:?}");
        Ok(())
    }
}

/// How a guest refuses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refusal {
    Invalid,
    NotFound,
    Conflict,
    Failed,
    /// After a write that is to be taken back.
    TakenBack,
    /// A write that the host does not take.
    TooLarge,
}

impl Refusal {
    fn code(self) -> &'static str {
        match self {
            Refusal::Invalid | Refusal::TooLarge => "invalid",
            Refusal::NotFound => "not-found",
            Refusal::Conflict => "conflict",
            Refusal::Failed | Refusal::TakenBack => "failed",
        }
    }

    /// Below 500 the writes of a request of wasi:http stay.
    fn status(self) -> u16 {
        match self {
            Refusal::Invalid => 400,
            Refusal::NotFound => 404,
            Refusal::Conflict => 409,
            Refusal::Failed => 422,
            Refusal::TakenBack | Refusal::TooLarge => 500,
        }
    }
}
