//! `shardloom certificates`: by which authority the nodes know each other, and putting another in its place.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::Value;
use ureq::http::Method;

use super::certificate_replies::{CertificatesReply, RotationReply, WaitedForReply};
use super::client::{Client, QUICK};
use super::replies::typed;
use super::table::{Align, Table};
use super::{Global, progress};

const PATH: &str = "/v1/certificates";
const ROTATE: &str = "/v1/admin/certificates/rotate";
/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(300);
/// How long a rotation is waited for.
const ROTATION_SECONDS: u64 = 600;
/// Letters of a fingerprint that a table shows.
const FINGERPRINT_LETTERS: usize = 16;

/// Show the authorities and certificates by which nodes know each other, and how far a rotation is.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom certificates
  shardloom certificates --json
  shardloom certificates rotate")]
pub(super) struct Certificates {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Give every node a new key and a certificate by a new authority, and have the old authority trusted no more. No call fails
    /// meanwhile. It waits for every member: one that is gone for good is to be removed (`shardloom node remove`). Join tokens that
    /// are out are void at the end.
    #[command(after_help = "Examples:
  shardloom certificates rotate
  shardloom certificates rotate --wait 0")]
    Rotate {
        /// How long to wait for its end, in seconds; 0 does not wait. It goes on in any case.
        #[arg(long, value_name = "SECONDS", default_value_t = ROTATION_SECONDS)]
        wait: u64,
    },
}

impl Certificates {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let reply = match self.action {
            None => client.read(PATH)?,
            Some(Action::Rotate { wait }) => {
                let begun = client.write(Method::POST, ROTATE, &Value::Null, QUICK)?;
                if wait == 0 { begun } else { rotated(&client, Duration::from_secs(wait))? }
            }
        };
        global.output().print(&reply, text)
    }
}

/// Waits until no rotation is under way.
fn rotated(client: &Client, within: Duration) -> anyhow::Result<Value> {
    let end = Instant::now() + within;
    let bar = progress::wait("rotating");
    loop {
        let reply = client.read(PATH);
        let late = Instant::now() >= end;
        match reply {
            Err(error) if late => return Err(error.into()),
            // A node that is away is asked again: the rotation goes on without us.
            Err(_) => {}
            Ok(reply) => {
                let Some(rotation) = typed::<CertificatesReply>(&reply)?.rotation else {
                    bar.finish_and_clear();
                    return Ok(reply);
                };
                let line = line(&rotation);
                if late {
                    bar.finish_and_clear();
                    bail!(
                        "the rotation has not ended after {within:?}: {line}. It goes on by itself; remove a node that does not \
                         come back"
                    );
                }
                bar.set_message(line);
            }
        }
        thread::sleep(POLL);
    }
}

/// A rotation in a line, for `status` too.
pub(super) fn line(rotation: &RotationReply) -> String {
    let shown = |node: &WaitedForReply| format!("{} ({})", node.id, node.state.as_deref().unwrap_or("new"));
    let waits: Vec<String> = rotation.waits_for.iter().map(shown).collect();
    let waits = match waits.is_empty() {
        true => "waits for the leader".to_owned(),
        false => format!("waits for {}", waits.join(", ")),
    };
    format!(
        "to authority {}, phase {} of introduce, switch, retire: {} confirmed; {waits}",
        rotation.authority, rotation.phase, rotation.confirmed
    )
}

fn text(reply: &Value) -> anyhow::Result<String> {
    let reply: CertificatesReply = typed(reply)?;
    let mut text = String::new();
    if let Some(rotation) = &reply.rotation {
        text.push_str(&format!("rotation  {}\n\n", line(rotation)));
    }
    let mut authorities =
        Table::new(&[("AUTHORITY", Align::Right), ("STATE", Align::Left), ("FINGERPRINT", Align::Left)]);
    for authority in reply.authorities {
        authorities.row([authority.number.to_string(), authority.state, short(authority.fingerprint)]);
    }
    let mut nodes = Table::new(&[
        ("NODE", Align::Left),
        ("STATE", Align::Left),
        ("AUTHORITY", Align::Right),
        ("FINGERPRINT", Align::Left),
        ("PHASE", Align::Left),
    ]);
    for node in reply.nodes {
        let phase = match node.confirmed {
            None => "-",
            Some(true) => "done",
            Some(false) => "waited for",
        };
        nodes.row([
            node.id,
            node.state.unwrap_or_default(),
            node.authority.to_string(),
            short(node.fingerprint),
            phase.to_owned(),
        ]);
    }
    text.push_str(&format!("{authorities}\n{nodes}"));
    Ok(text)
}

fn short(fingerprint: Option<String>) -> String {
    let letters = fingerprint.map(|text| text.chars().take(FINGERPRINT_LETTERS).collect());
    letters.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_read_who_is_waited_for() {
        let reply = json!({
            "authorities": [
                { "number": 1, "fingerprint": "aa".repeat(32), "state": "in-force" },
                { "number": 2, "fingerprint": "bb".repeat(32), "state": "next" },
            ],
            "nodes": [
                { "id": "a1", "state": "live", "authority": 1, "fingerprint": "cc".repeat(32), "confirmed": true },
                { "id": "a2", "state": "silent", "authority": 1, "fingerprint": null, "confirmed": false },
            ],
            "rotation": {
                "since": 9, "authority": 2, "phase": "introduce", "confirmed": 1,
                "waits_for": [{ "id": "a2", "state": "silent" }],
            },
        });
        let text = text(&reply).unwrap();
        assert!(text.contains("phase introduce"), "{text}");
        assert!(text.contains("1 confirmed; waits for a2 (silent)"), "{text}");
        assert!(text.contains("cccccccccccccccc  done"), "{text}");
        let rotated = json!({ "authorities": [], "nodes": [], "rotation": null });
        assert!(!super::text(&rotated).unwrap().contains("rotation"));
    }
}
