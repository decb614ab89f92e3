//! Bits that have turned over on a node's disk: each is noticed, or does no harm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, READY_MAX, check};

/// How many bits are turned over, one after another, each in a fresh copy; `SHARDLOOM_FLIPS` asks for another number.
const FLIPS: u64 = 16;
/// Files whose every byte is used have no empty space to hit.
const FILES_SKIPPED: [&str; 1] = ["lock"];
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
            let place = turn_over(&data, flip)?;
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

/// Turns one bit over: in a file picked by its number, at a place that holds something, and says where.
fn turn_over(data: &Path, flip: u64) -> Result<String> {
    let mut files = files_of(data)?;
    files.sort();
    // Any fixed odd multiplier spreads the numbers; the same flip is the same bit in every run over the same bytes.
    let mut random = flip.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut pick = |count: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % count.max(1) as u64) as usize
    };
    let file = &files[pick(files.len())];
    let mut bytes = fs::read(file)?;
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    ensure!(used > 0, "{} is empty", file.display());
    let (at, bit) = (pick(used), pick(8));
    bytes[at] ^= 1 << bit;
    fs::write(file, bytes)?;
    Ok(format!("(bit {bit} of byte {at} of {used} in {})", file.display()))
}

fn files_of(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_of(&path)?);
        } else if fs::read(&path)?.iter().any(|byte| *byte != 0)
            && !FILES_SKIPPED.iter().any(|name| path.ends_with(name))
        {
            files.push(path);
        }
    }
    Ok(files)
}

/// A copy that takes no room for zeros.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").args(["-a", "--sparse=always"]).arg(from).arg(to).status()?;
    ensure!(status.success(), "cp ended with {status}");
    Ok(())
}
