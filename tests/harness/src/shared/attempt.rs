//! One attempt at a call, and what is known after it.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::call_path;
use crate::http::{Http, Reply};

/// How much longer than a node a client waits for it.
const SLACK: Duration = Duration::from_secs(2);

/// What is known after an attempt.
#[derive(Debug)]
pub enum End {
    /// The guest has answered, perhaps by a refusal of its own.
    Answered(Box<Reply>),
    /// The call was not carried out, and never will be; in words.
    NotExecuted(String),
    /// It may have been carried out, or yet be; in words.
    Unknown(String),
}

/// A call as it is sent.
pub struct Attempt<'a> {
    /// The workload.
    pub workload: &'a str,
    /// The key.
    pub key: &'a str,
    /// The method.
    pub method: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// The idempotency key, if it has one.
    pub idempotency: Option<&'a str>,
    /// How long a node keeps it.
    pub patience: Duration,
}

impl Attempt<'_> {
    /// Sends the call to a node.
    pub fn send(&self, http: &Http, node: &str) -> End {
        let path = call_path(self.workload, self.key, self.method);
        let mut ask = http.ask("POST", format!("{node}{path}")).body(self.body);
        ask = ask.header("shardloom-timeout-ms", &self.patience.as_millis().to_string());
        if let Some(key) = self.idempotency {
            ask = ask.header("idempotency-key", key);
        }
        match ask.within(self.patience + SLACK).send() {
            Ok(reply) => sort(reply),
            Err(error) => {
                // Whoever takes no connection has got no call.
                let refused = |cause: &(dyn std::error::Error + 'static)| {
                    let own = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
                    let inner = match cause.downcast_ref::<ureq::Error>() {
                        Some(ureq::Error::Io(inner)) => Some(inner.kind()),
                        _ => None,
                    };
                    own.or(inner) == Some(ErrorKind::ConnectionRefused)
                };
                let words = format!("{} {} through {node}: {error:#}", self.method, self.key);
                if error.chain().any(refused) { End::NotExecuted(words) } else { End::Unknown(words) }
            }
        }
    }
}

fn sort(reply: Reply) -> End {
    if reply.status == 200 || matches!(reply.code().as_str(), "not-found" | "conflict") {
        return End::Answered(Box::new(reply));
    }
    let executed = reply.json::<Value>().ok().and_then(|body| body["executed"].as_str().map(str::to_owned));
    let words = format!("{} {}", reply.status, reply.text());
    match executed.as_deref() {
        Some("no" | "rolled-back") => End::NotExecuted(words),
        _ => End::Unknown(words),
    }
}
