//! `shardloom events`: what has happened in the cluster, and what happens.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::Global;
use super::client::{Client, ClientError, Patience, QUICK};
use super::logs::{nodes, plain};

/// The pause before the nodes are asked again when none of them answers.
const RETRY: Duration = Duration::from_secs(1);
/// A node that sends nothing for so long is gone: it sends a comment more often.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Show what has happened in the cluster: members, leaders, moves of shards, deploys, settings, alarms.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom events
  shardloom events --follow
  shardloom events --since 1200 --follow --json")]
pub(super) struct Events {
    /// Go on with the events to come, at another node where one goes away, until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// Only events after this index of the control log.
    #[arg(long, value_name = "INDEX")]
    since: Option<u64>,
}

impl Events {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let json = global.output().is_json();
        let mut servers = client.servers().to_vec();
        if self.follow {
            // Where the one that is asked goes away, the others go on.
            servers.extend(nodes(&client)?);
        }
        let mut shown = Shown { out: io::stdout().lock(), json, begun: Vec::new(), last: self.since };
        if !self.follow {
            return ask(&client, &servers, &mut shown, Some(QUICK)).map_err(plainly);
        }
        loop {
            match ask(&client, &servers, &mut shown, None) {
                // It has ended, or died: another goes on where it was.
                Ok(()) | Err(ClientError::Unreachable { .. } | ClientError::Lost { .. }) => {}
                Err(error) => return Err(plainly(error)),
            }
            shown.begun.clear();
            thread::sleep(RETRY);
        }
    }
}

/// That nobody reads what is shown any more is told as what it is.
fn plainly(error: ClientError) -> anyhow::Error {
    match error {
        ClientError::Kept(error) => error.into(),
        error => error.into(),
    }
}

/// Follows the first node that answers, from the last event on.
fn ask(
    client: &Client,
    servers: &[String],
    shown: &mut Shown<impl Write>,
    deadline: Option<Duration>,
) -> Result<(), ClientError> {
    let mut tried = Vec::new();
    for server in servers {
        let since = shown.last.map(|last| format!("&since={last}")).unwrap_or_default();
        let path = format!("/v1/events?follow={}{since}", deadline.is_none());
        let silence = if deadline.is_none() { Some(SILENCE_MAX) } else { None };
        match client.follow(server, &path, Patience { whole: deadline, silence }, shown) {
            Err(ClientError::Unreachable { tried: reason }) => tried.push(reason),
            other => return other,
        }
    }
    Err(ClientError::Unreachable { tried: tried.join("; ") })
}

/// Takes the stream apart, shows each event as it comes, and remembers the last.
struct Shown<W> {
    out: W,
    json: bool,
    begun: Vec<u8>,
    last: Option<u64>,
}

impl<W: Write> Write for Shown<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            if self.begun.last() == Some(&b'\n') {
                let line = std::mem::take(&mut self.begun);
                self.line(String::from_utf8_lossy(&line).trim_end())?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Shown<W> {
    /// Shows what a `data` line holds; the others only frame it.
    fn line(&mut self, line: &str) -> io::Result<()> {
        let Some(data) = line.strip_prefix("data: ") else { return Ok(()) };
        let Ok(event) = serde_json::from_str::<Value>(data) else { return Ok(()) };
        self.last = event["index"].as_u64().or(self.last);
        match self.json {
            true => writeln!(self.out, "{data}")?,
            false => writeln!(self.out, "{}", told(&event))?,
        }
        self.out.flush()
    }
}

/// An event for people: its index, its type, and whatever else it says.
fn told(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap_or_default();
    let index = event["index"].as_u64().unwrap_or_default();
    if kind == "gap" {
        return format!("{index:>8}  {kind:<17} the events up to here are not kept any more");
    }
    let mut words = Vec::new();
    for moved in event["moves"].as_array().into_iter().flatten() {
        let (from, to) = (text(&moved["from"]), text(&moved["to"]));
        let who = if from == to { format!("replicas of {to}'s") } else { format!("{from} -> {to}:") };
        words.push(format!("{who} {} shard(s) {}", moved["count"], text(&moved["shards"])));
    }
    for (name, value) in event.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "index" | "type" | "moves") {
            words.push(format!("{name} {}", text(value)));
        }
    }
    format!("{index:>8}  {kind:<17} {}", words.join("  "))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "nobody".to_owned(),
        Value::String(text) => plain(text),
        Value::Array(all) => all.iter().map(text).collect::<Vec<String>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_taken_out_of_the_stream_however_it_is_cut() {
        let stream =
            b":\n\nid: 7\nevent: undeployed\ndata: {\"index\":7,\"type\":\"undeployed\",\"name\":\"w\"}\n\n";
        for cut in 1..stream.len() {
            let mut shown = Shown { out: Vec::new(), json: true, begun: Vec::new(), last: None };
            shown.write_all(&stream[..cut]).unwrap();
            shown.write_all(&stream[cut..]).unwrap();
            assert_eq!((shown.last, shown.begun.len()), (Some(7), 0));
        }
    }

    #[test]
    fn people_read_who_gained_what() {
        let event = serde_json::json!({
            "index": 9, "type": "shards-moved", "epoch": 8,
            "moves": [{ "from": null, "to": "a1", "shards": "0-5,9", "count": 7 }],
        });
        assert_eq!(told(&event), "       9  shards-moved      nobody -> a1: 7 shard(s) 0-5,9  epoch 8");
    }
}
