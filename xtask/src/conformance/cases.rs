//! What every handler must do, whatever it is written in.

use std::iter;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use shardloom_harness::cluster::Cluster;
use shardloom_harness::http::Reply;

use super::LOG_MAX;
use super::style::{Refusal, Style};

/// The deployed handler.
pub(super) struct Talk<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) workload: String,
    pub(super) style: Style,
}

/// One behaviour.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) check: fn(&Talk<'_>) -> Result<()>,
}

/// All of them, in the order in which they are run.
pub(super) const CASES: [Case; 15] = [
    Case { name: "echo", check: echo },
    Case { name: "state", check: state },
    Case { name: "unicode keys", check: unicode_keys },
    Case { name: "scan", check: scan },
    Case { name: "rollback", check: rollback },
    Case { name: "failures", check: failures },
    Case { name: "bad requests", check: bad_requests },
    Case { name: "large bodies", check: large_bodies },
    Case { name: "place", check: place },
    Case { name: "config", check: config },
    Case { name: "log", check: log },
    Case { name: "idempotency key", check: idempotency_key },
    Case { name: "trap", check: trap },
    Case { name: "deadline", check: deadline },
    Case { name: "memory", check: memory },
];

impl Talk<'_> {
    fn ask(&self, key: &str, method: &str, body: &[u8]) -> Result<Reply> {
        self.ask_with(key, method, body, &[])
    }

    fn ask_with(&self, key: &str, method: &str, body: &[u8], headers: &[(&str, &str)]) -> Result<Reply> {
        let ask = self.cluster.ask(0, "POST", &self.style.path(&self.workload, key, method)).body(body);
        headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value)).send()
    }

    fn says(&self, key: &str, method: &str, body: &str, expected: &str) -> Result<()> {
        let reply = self.ask(key, method, body.as_bytes())?.good()?;
        ensure!(reply.text() == expected, "{method} answered {:?} instead of {expected:?}", reply.text());
        Ok(())
    }

    fn refuses(&self, key: &str, method: &str, body: &str, kind: Refusal, words: &str) -> Result<()> {
        let reply = self.ask(key, method, body.as_bytes())?;
        self.style.check_refusal(&reply, kind, words).with_context(|| method.to_owned())
    }

    /// Whatever the style, it is the host that says that a guest was at fault.
    fn faults(&self, method: &str, body: &str, code: &str) -> Result<()> {
        let problem: Value = self.ask("k", method, body.as_bytes())?.json()?;
        ensure!(
            problem["code"] == code && problem["executed"] == "rolled-back",
            "{method} answered {problem} instead of {code}"
        );
        Ok(())
    }
}

fn echo(talk: &Talk<'_>) -> Result<()> {
    let body: Vec<u8> = (0..=255).collect();
    let reply = talk.ask_with("k", "echo", &body, &[("x-mine", "grün"), ("x-empty", "")])?.good()?;
    ensure!(reply.body == body, "{} bytes came back", reply.body.len());
    let mine = reply.headers.get("x-mine").map(|value| value.as_bytes().to_vec());
    ensure!(mine.as_deref() == Some("grün".as_bytes()), "x-mine is {mine:?}");
    ensure!(reply.headers.contains_key("x-empty"), "x-empty is gone");
    ensure!(talk.ask("k", "echo", b"")?.good()?.body.is_empty(), "an empty body grew");
    Ok(())
}

fn state(talk: &Talk<'_>) -> Result<()> {
    talk.refuses("state", "get", "", Refusal::NotFound, "nothing is kept under this key")?;
    for value in ["1", "2", ""] {
        talk.says("state", "put", value, "")?;
        talk.says("state", "get", "", value)?;
    }
    talk.says("state", "delete", "", "")?;
    talk.says("state", "delete", "", "")?;
    talk.refuses("state", "get", "", Refusal::NotFound, "nothing is kept under this key")
}

fn unicode_keys(talk: &Talk<'_>) -> Result<()> {
    for key in ["grüße", "漢字/😀", " a b ", "%2F"] {
        talk.says(key, "put", key, "")?;
        talk.says(key, "get", "", key)?;
        talk.says(key, "delete", "", "")?;
    }
    Ok(())
}

fn scan(talk: &Talk<'_>) -> Result<()> {
    for key in ["scan/b", "scan/a", "scan/\"quoted\"", "scan0", "scan/ü"] {
        talk.says(key, "put", "x", "")?;
    }
    let reply: Value = talk.ask("k", "scan", b"scan/")?.good()?.json()?;
    ensure!(reply == json!(["scan/\"quoted\"", "scan/a", "scan/b", "scan/ü"]), "{reply}");
    let reply: Value = talk.ask("k", "scan", b"nothing")?.good()?.json()?;
    ensure!(reply == json!([]), "{reply}");
    // More than one page of the host's.
    for number in 0..300 {
        talk.says(&format!("page/{number:03}"), "put", "", "")?;
    }
    let reply: Value = talk.ask("k", "scan", b"page/")?.good()?.json()?;
    let found = reply.as_array().map_or(0, Vec::len);
    ensure!(found == 300, "{found} keys instead of 300");
    Ok(())
}

fn rollback(talk: &Talk<'_>) -> Result<()> {
    talk.says("rollback", "put", "before", "")?;
    talk.refuses("rollback", "rollback", "after", Refusal::TakenBack, "rolled back")?;
    talk.says("rollback", "get", "", "before")
}

fn failures(talk: &Talk<'_>) -> Result<()> {
    for (method, kind) in [
        ("invalid", Refusal::Invalid),
        ("not-found", Refusal::NotFound),
        ("conflict", Refusal::Conflict),
        ("failed", Refusal::Failed),
    ] {
        talk.refuses("k", method, "so it is: ü", kind, "so it is: ü")?;
    }
    Ok(())
}

fn bad_requests(talk: &Talk<'_>) -> Result<()> {
    talk.refuses("k", "nothing", "", Refusal::Invalid, "there is no method \"nothing\"")?;
    talk.refuses("k", "", "", Refusal::Invalid, "there is no method \"\"")?;
    talk.refuses("k", "large", "-1", Refusal::Invalid, "the body must be a decimal below 10^9")?;
    talk.refuses("k", "put", &"v".repeat(50_000), Refusal::TooLarge, "the value has 50000 bytes")?;
    let reply = talk.ask("k", "log", b"\xff")?;
    talk.style
        .check_refusal(&reply, Refusal::Invalid, "the body must be UTF-8")
        .context("a text that is none")
}

fn large_bodies(talk: &Talk<'_>) -> Result<()> {
    const BYTES: usize = 2 << 20;
    let body: Vec<u8> = iter::repeat_n(b'b', BYTES).collect();
    let reply = talk.ask("k", "echo", &body)?.good()?;
    ensure!(reply.body == body, "{} bytes came back", reply.body.len());
    let reply = talk.ask("k", "large", BYTES.to_string().as_bytes())?.good()?;
    ensure!(reply.body.len() == BYTES && reply.body.iter().all(|byte| *byte == b'x'), "{}", reply.body.len());
    talk.faults("large", "9000000", "guest-limit").context("a reply over its bound")
}

fn place(talk: &Talk<'_>) -> Result<()> {
    let reply = talk.ask("k", "place", b"")?.good()?;
    let told: Value = reply.json()?;
    let expected = json!({
        "shard": 0,
        "shard_count": 1,
        "epoch": reply.header("shardloom-epoch").parse::<u64>()?,
        "node": reply.header("shardloom-node"),
        "workload": talk.workload,
        "version": reply.header("shardloom-workload-version").parse::<u64>()?,
    });
    ensure!(told == expected, "{told} instead of {expected}");
    Ok(())
}

fn config(talk: &Talk<'_>) -> Result<()> {
    talk.says("k", "config", "greeting", "hello")?;
    talk.refuses("k", "config", "nothing", Refusal::NotFound, "there is no such setting")
}

fn log(talk: &Talk<'_>) -> Result<()> {
    let line = format!("a line of {}", talk.workload);
    talk.says("k", "log", &line, "")?;
    talk.cluster.wait("the line in the logs", LOG_MAX, |cluster| {
        let shown = cluster.cli(&["logs", &talk.workload])?;
        ensure!(shown.contains(&format!("info  conformance: {line}")), "{shown}");
        Ok(())
    })
}

fn idempotency_key(talk: &Talk<'_>) -> Result<()> {
    let key = [("idempotency-key", "once")];
    talk.ask_with("once", "put", b"1", &key)?.good()?;
    talk.says("once", "put", "2", "")?;
    let again = talk.ask_with("once", "put", b"1", &key)?.good()?;
    ensure!(again.header("idempotent-replayed") == "true", "the second one was carried out");
    talk.says("once", "get", "", "2")
}

fn trap(talk: &Talk<'_>) -> Result<()> {
    talk.says("trap", "put", "before", "")?;
    talk.faults("trap", "", "guest-trap")?;
    talk.says("trap", "get", "", "before")
}

fn deadline(talk: &Talk<'_>) -> Result<()> {
    talk.faults("spin", "", "guest-timeout")?;
    talk.says("k", "put", "", "")
}

fn memory(talk: &Talk<'_>) -> Result<()> {
    // Who is refused memory, and traps, did so for want of it.
    talk.faults("alloc", "1000000", "guest-limit")?;
    talk.says("k", "put", "", "")
}
