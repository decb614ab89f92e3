//! What operators are told: events that go on when a node dies, an audit that knows who, tokens that may do what they may.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardloom_harness::cluster::{Cluster, READY_MAX, check};
use shardloom_harness::{Options, wait};

/// How long until what has happened must be seen.
const SEEN_MAX: Duration = Duration::from_secs(30);

/// A `curl -N` that follows a node's events into a file; ended when dropped.
struct Follower {
    curl: Child,
    into: std::path::PathBuf,
}

impl Follower {
    fn start(cluster: &Cluster, index: usize, last: Option<u64>) -> Result<Follower> {
        let into = cluster.directory().join(format!("events-{index}-{}", last.unwrap_or_default()));
        let mut curl = Command::new("curl");
        curl.args(["-sN", "-H"]).arg(format!("authorization: Bearer {}", cluster.token()));
        if let Some(last) = last {
            curl.arg("-H").arg(format!("last-event-id: {last}"));
        }
        curl.arg(cluster.url(index, "/v1/events?since=0")).stdin(Stdio::null());
        let curl = curl.stdout(File::create(&into)?).spawn().context("curl")?;
        Ok(Follower { curl, into })
    }

    /// What has come so far: index and type.
    fn seen(&self) -> Result<Vec<(u64, String)>> {
        read(&std::fs::read_to_string(&self.into)?)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It has ended already where its node was killed.
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

/// Whole events of a stream.
fn read(text: &str) -> Result<Vec<(u64, String)>> {
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let data = whole.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| {
        let event: Value = serde_json::from_str(data)?;
        let index = event["index"].as_u64().context("an event without an index")?;
        Ok((index, event["type"].as_str().context("an event without a type")?.to_owned()))
    })
    .collect()
}

/// Everything that a node has kept.
fn kept(cluster: &Cluster, index: usize) -> Result<Vec<(u64, String)>> {
    read(&cluster.admin(index, "GET", "/v1/events?since=0&follow=false").send()?.good()?.text())
}

#[test]
fn events_go_on_at_another_node_when_the_one_that_was_asked_is_killed() {
    check(Options::of(3), |cluster| {
        let follower = Follower::start(cluster, 1, None)?;
        cluster.deploy("word-count", "words", &[])?;
        wait::until("the deploy among the events", SEEN_MAX, || {
            ensure!(follower.seen()?.iter().any(|(_, kind)| kind == "deployed"), "{:?}", follower.seen()?);
            Ok(())
        })?;
        cluster.kill(1)?;
        let first = follower.seen()?;
        drop(follower);
        let last = first.last().context("nothing was seen")?.0;
        let second = Follower::start(cluster, 2, Some(last))?;
        cluster.wait_until_served(READY_MAX)?;
        cluster.cli(&["undeploy", "words"])?;
        wait::until("the move and the undeploy among the events", SEEN_MAX, || {
            let seen = second.seen()?;
            let has = |wanted: &str| seen.iter().any(|(_, kind)| kind == wanted);
            ensure!(has("shards-moved") && has("undeployed"), "{seen:?}");
            Ok(())
        })?;
        let mut all = first;
        all.extend(second.seen()?);
        let end = all.last().context("nothing was seen")?.0;
        for node in [0, 2] {
            let told: Vec<_> = kept(cluster, node)?.into_iter().filter(|(index, _)| *index <= end).collect();
            ensure!(told == all, "node {node} tells {told:?}, and what was seen is {all:?}");
        }
        let types = ["founded", "member-joined", "voters-changed", "shards-proposed"];
        for kind in types {
            ensure!(all.iter().any(|(_, seen)| seen == kind), "no {kind} in {all:?}");
        }

        // The same by the command line, which finds its own way to a node.
        let cli = cluster.cli(&["events", "--json", "--since", &last.to_string()])?;
        let first: Value = serde_json::from_str(cli.lines().next().context("no events")?)?;
        ensure!(first["index"].as_u64() > Some(last), "{first}");
        cluster.restart(1)?;
        cluster.wait_until_served(READY_MAX)?;
        wait::until("the same events on the node that came back", SEEN_MAX, || {
            let told: Vec<_> = kept(cluster, 1)?.into_iter().filter(|(index, _)| *index <= end).collect();
            ensure!(told == all, "it tells {told:?}");
            Ok(())
        })
    });
}

/// Runs a command as the holder of a token, and returns whether it succeeded and what it said.
fn as_holder(cluster: &Cluster, secret: &str, words: &[&str]) -> Result<(bool, String)> {
    let output = cluster.cli_command(words)?.env("SHARDLOOM_ADMIN_TOKEN", secret).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn a_token_may_do_what_its_role_says_and_the_audit_says_who_did_what() {
    check(Options::of(3), |cluster| {
        let create = |role: &str, name: &str| -> Result<String> {
            Ok(cluster.cli(&["token", "create", "--role", role, "--name", name])?.trim().to_owned())
        };
        let (board, ci) = (create("reader", "board")?, create("deployer", "ci")?);
        let guest = shardloom_harness::artefacts::guest("word-count")?.display().to_string();
        let deploy = ["deploy", guest.as_str(), "--name", "words"];

        ensure!(as_holder(cluster, &board, &["status"])?.0, "a reader sees");
        let (done, said) = as_holder(cluster, &board, &deploy)?;
        ensure!(!done && said.contains("board") && said.contains("deployer"), "{said}");
        let (done, said) = as_holder(cluster, &ci, &deploy)?;
        ensure!(done, "{said}");
        let (done, said) = as_holder(cluster, &ci, &["settings", "set", "replicas=2"])?;
        ensure!(!done && said.contains("admin"), "{said}");
        cluster.cli(&["settings", "set", "replicas=2"])?;
        let unknown = cluster.cli_output(&["node", "drain", "00000000000000ff"])?;
        ensure!(!unknown.status.success(), "a node that is none was drained");
        cluster.cli(&["token", "revoke", "ci"])?;
        let (done, said) = as_holder(cluster, &ci, &["status"])?;
        ensure!(!done && said.contains("unauthenticated"), "{said}");

        let list: Vec<Value> = serde_json::from_str(&cluster.cli(&["token", "list", "--json"])?)?;
        let names: Vec<&str> = list.iter().filter_map(|token| token["name"].as_str()).collect();
        ensure!(names == ["board", "founder"], "{names:?}");

        let audit: Value = serde_json::from_str(&cluster.cli(&["audit", "--json"])?)?;
        let entries = audit["entries"].as_array().context("no entries")?;
        let told = |by: &str, what: &str, outcome: &str| {
            entries.iter().any(|entry| {
                entry["by"] == by
                    && entry["what"].as_str().is_some_and(|told| told.contains(what))
                    && entry["outcome"] == outcome
            })
        };
        let digest = entries.iter().find(|entry| entry["what"] == "deploy words").context("no deploy")?;
        ensure!(digest["digest"].as_str().is_some_and(|digest| digest.len() == 64), "{digest}");
        ensure!(
            digest["version"] == 1 && digest["at_unix_ms"].as_u64() > Some(1_700_000_000_000),
            "{digest}"
        );
        for (by, what, outcome) in [
            ("ci", "deploy words", "done"),
            ("founder", "set replicas=2", "done"),
            ("founder", "drain node 00000000000000ff", "refused"),
            ("founder", "revoke the token ci", "done"),
        ] {
            ensure!(told(by, what, outcome), "no {what} by {by} in {audit:#}");
        }
        let joined = format!("node {}", cluster.id_of(1)?);
        ensure!(told(&joined, "join as node", "done"), "no join by {joined} in {audit:#}");
        for secret in [&board, &ci] {
            ensure!(!cluster.cli(&["audit", "--json"])?.contains(secret), "a secret is in the audit");
            ensure!(!holds(cluster.directory(), secret)?, "a secret is in a node's log");
        }
        let others: Value = cluster.admin(2, "GET", "/v1/audit").send()?.good()?.json()?;
        let here: Value = cluster.admin(0, "GET", "/v1/audit").send()?.good()?.json()?;
        ensure!(others == here, "the nodes' audits differ");
        Ok(())
    });
}

/// Whether a log under the directory holds a text.
fn holds(directory: &Path, text: &str) -> Result<bool> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "log")
            && std::fs::read_to_string(&path)?.contains(text)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
