//! `shardloom call`: one call of a handler, its reply on standard output.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use ureq::http::Method;

use super::Global;
use super::client::{Outgoing, Reply};
use super::segment::segment;

/// The deadline of a call that was given none, and of the wait for it.
const TIMEOUT_MS: u64 = 10_000;
/// How much longer than the deadline the client waits for the node to say so.
const ANSWER_SLACK_MS: u64 = 3_000;

/// Call a workload's handler with a key, and print the reply's body.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom call word-count shardloom --body 3
  shardloom call word-count shardloom --method get
  shardloom call echo a-key --body @photo.jpg > same.jpg")]
pub(super) struct Call {
    /// The workload's name.
    workload: String,
    /// The key: it picks the shard, and with it the node that runs the call.
    key: String,
    /// The method; left out, it is empty.
    #[arg(long, default_value = "")]
    method: String,
    /// The body: text, @FILE, or - for standard input.
    #[arg(long, default_value = "", value_name = "TEXT|@FILE|-")]
    body: String,
    /// How long the call may take, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = TIMEOUT_MS)]
    timeout_ms: u64,
}

impl Call {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let body = self.read_body()?;
        let deadline = Duration::from_millis(self.timeout_ms.saturating_add(ANSWER_SLACK_MS));
        let outgoing = Outgoing::new(Method::POST, self.path())
            .body(&body)
            .deadline(deadline)
            .header("shardloom-timeout-ms", self.timeout_ms.to_string())
            .without_token();
        let reply = global.client()?.send(outgoing)?;
        let output = global.output();
        if output.is_json() {
            return output.print(&described(&reply), |_| Ok(String::new()));
        }
        output.bytes(&reply.body)?;
        if std::io::stdout().is_terminal() && !reply.body.ends_with(b"\n") {
            output.bytes(b"\n")?;
        }
        Ok(())
    }

    fn path(&self) -> String {
        let path = format!("/v1/call/{}/{}", segment(&self.workload), segment(&self.key));
        if self.method.is_empty() { path } else { format!("{path}?method={}", segment(&self.method)) }
    }

    fn read_body(&self) -> anyhow::Result<Vec<u8>> {
        if self.body == "-" {
            let mut body = Vec::new();
            std::io::stdin().lock().read_to_end(&mut body).context("standard input")?;
            return Ok(body);
        }
        match self.body.strip_prefix('@') {
            Some(path) => std::fs::read(path).with_context(|| path.to_owned()),
            None => Ok(self.body.clone().into_bytes()),
        }
    }
}

/// A reply as JSON: a body that is not text is given as hexadecimal.
fn described(reply: &Reply) -> serde_json::Value {
    let number = |name| reply.header(name).parse::<u64>().ok();
    let mut value = json!({
        "status": reply.status,
        "node": reply.header("shardloom-node"),
        "shard": number("shardloom-shard"),
        "epoch": number("shardloom-epoch"),
        "workload_version": number("shardloom-workload-version"),
    });
    match std::str::from_utf8(&reply.body) {
        Ok(text) => value["body"] = json!(text),
        Err(_) => {
            let hex: String = reply.body.iter().map(|byte| format!("{byte:02x}")).collect();
            value["body_hex"] = json!(hex);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_is_one_path_segment() {
        let call = |key: &str, method: &str| Call {
            workload: "w".into(),
            key: key.into(),
            method: method.into(),
            body: String::new(),
            timeout_ms: 1,
        };
        assert_eq!(call("a/b?c#d", "").path(), "/v1/call/w/a%2Fb%3Fc%23d");
        assert_eq!(call("..", "").path(), "/v1/call/w/%2E%2E");
        assert_eq!(call("süß", "get it").path(), "/v1/call/w/s%C3%BC%C3%9F?method=get%20it");
    }
}
