//! Bits that have turned over on a node's disk: each is noticed, or does no harm.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, READY_MAX, check};
use shardloom_harness::random::Random;
use shardloom_harness::wound::turn_over;

/// How many bits are turned over, one after another, each in a fresh copy; `SHARDLOOM_FLIPS` asks for another number.
const FLIPS: u64 = 16;
/// What a node says, or a caller hears, that has noticed damage.
const NOTICED: [&str; 8] = [
    "damage",
    "checksum",
    "corrupt",
    "does not check",
    "digest",
    "cannot be read",
    "not in a format",
    "made anew",
];

#[test]
fn a_bit_that_turns_over_on_the_disk_is_noticed_or_does_no_harm() {
    let flips = std::env::var("SHARDLOOM_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(FLIPS);
    check(Options::of(1), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        cluster.call(0, "words", "key", "add", b"1")?.good()?;
        let (id, epochs) = (cluster.status(0)?.cluster_id, cluster.shards(0)?.len());
        cluster.kill(0)?;
        let data = cluster.node(0).data();
        let whole = data.with_extension("whole");
        fs::rename(&data, &whole)?;
        let mut noticed = 0;
        for flip in 0..flips {
            copy(&whole, &data)?;
            let place = turn_over(&data, &mut Random::new(flip, 0))?;
            cluster.restart(0)?;
            let outcome = outcome(cluster, &id, epochs).with_context(|| format!("flip {flip} {place}"))?;
            noticed += u64::from(outcome);
            if cluster.node(0).is_started() {
                cluster.kill(0)?;
            }
            fs::remove_dir_all(&data)?;
        }
        println!("{noticed} of {flips} bits were noticed, the others did no harm");
        copy(&whole, &data)?;
        cluster.restart(0)?;
        cluster.wait_until_served(READY_MAX)
    });
}

/// Whether the damage was noticed; fails where it was not and did harm.
fn outcome(cluster: &mut Cluster, id: &str, shards: usize) -> Result<bool> {
    let mut ended = None;
    let ready = cluster_ready(cluster, &mut ended);
    if let Some(success) = ended {
        let said = cluster.node(0).log_tail();
        ensure!(!success, "it ended as if all were well");
        ensure!(says_so(&said), "it ended without saying why:\n{said}");
        return Ok(true);
    }
    ready?;
    let status = cluster.status(0)?;
    ensure!(status.cluster_id == id && status.shards.total as usize == shards, "another cluster: {status:?}");
    let reply = cluster.call(0, "words", "key", "add", b"1")?;
    if reply.status == 200 {
        return Ok(false);
    }
    // Who has no peer to make a damaged copy anew from serves nothing rather than less than was written; its log says why.
    let said = cluster.node(0).log_tail();
    ensure!(says_so(&reply.text()) || says_so(&said), "the call failed without saying why: {}", reply.text());
    Ok(true)
}

/// Waits until the node is ready, or has ended by itself.
fn cluster_ready(cluster: &mut Cluster, ended: &mut Option<bool>) -> Result<()> {
    let deadline = std::time::Instant::now() + READY_MAX;
    loop {
        if let Ok(status) = cluster.node_mut(0).ended(Duration::from_millis(20)) {
            *ended = Some(status.success());
            return Ok(());
        }
        if cluster.ask(0, "GET", "/readyz").send().is_ok_and(|reply| reply.status == 200) {
            return Ok(());
        }
        if std::time::Instant::now() > deadline {
            bail!("neither ready nor ended: {}", cluster.node(0).log_tail());
        }
    }
}

fn says_so(text: &str) -> bool {
    let text = text.to_lowercase();
    NOTICED.iter().any(|word| text.contains(word))
}

/// A copy that takes no room for zeros.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").args(["-a", "--sparse=always"]).arg(from).arg(to).status()?;
    ensure!(status.success(), "cp ended with {status}");
    Ok(())
}
