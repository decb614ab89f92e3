//! A node's disk is lost, in part or but for its identity: it comes back by itself, with everything made anew from the others.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, END_MAX, READY_MAX, check};
use shardloom_harness::load::Load;
use shardloom_harness::wait::until;

/// How long a node may take to have everything again, on a machine that does much else.
const REBUILD_MAX: Duration = Duration::from_secs(90);
/// What a node must keep to be itself: who it is, and whom it knows.
const IDENTITY: &str = "gossip.db";

#[test]
fn a_follower_that_keeps_its_identity_alone_comes_back_under_load() {
    check(Options::of(3), |cluster| {
        let victim = (cluster.leader()? + 1) % 3;
        rebuilt(cluster, victim, lose_all_but_identity)
    });
}

#[test]
fn a_leader_that_keeps_its_identity_alone_comes_back_under_load() {
    check(Options::of(3), |cluster| {
        let victim = cluster.leader()?;
        rebuilt(cluster, victim, lose_all_but_identity)
    });
}

#[test]
fn a_database_of_states_that_is_gone_is_made_anew() {
    check(Options::of(3), |cluster| {
        let victim = (cluster.leader()? + 1) % 3;
        rebuilt(cluster, victim, |data| Ok(fs::remove_dir_all(data.join("state.db"))?))
    });
}

#[test]
fn a_log_that_is_damaged_before_its_end_is_put_aside_and_made_anew() {
    check(Options::of(3), |cluster| {
        let victim = (cluster.leader()? + 1) % 3;
        rebuilt(cluster, victim, damage_log)?;
        let aside = cluster.node(victim).data().join("wal.damaged-1");
        ensure!(aside.is_dir(), "{} is not there", aside.display());
        Ok(())
    });
}

#[test]
fn the_only_voter_without_its_log_refuses_to_start_and_says_why() {
    check(Options::of(2), |cluster| {
        let voter = cluster.leader()?;
        cluster.kill(voter)?;
        lose_all_but_identity(&cluster.node(voter).data())?;
        cluster.restart(voter)?;
        let status = cluster.node_mut(voter).ended(END_MAX)?;
        let said = cluster.node(voter).log_tail();
        ensure!(status.code() == Some(65), "it ended with {status}:\n{said}");
        ensure!(said.contains("the only voter") && said.contains("put it back"), "it says:\n{said}");
        Ok(())
    });
}

/// A node loses something while calls are made through the others: none fails, and afterwards its word counts as it did before.
fn rebuilt(cluster: &mut Cluster, victim: usize, lose: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    cluster.deploy("counter", "counter", &[])?;
    let others: Vec<usize> = (0..3).filter(|index| *index != victim).collect();
    let load = Load {
        workload: "counter",
        nodes: others.iter().map(|index| cluster.url(*index, "")).collect(),
        clients: 4,
        name: "rebuilt".to_owned(),
        made: AtomicU64::new(0),
    };
    let more = || {
        let begun = load.made.load(Ordering::Relaxed);
        until("calls to be answered", REBUILD_MAX, || {
            ensure!(load.made.load(Ordering::Relaxed) >= begun + 200, "they are not");
            Ok(())
        })
    };
    let ((), tally) = load.during(|| {
        more()?;
        // Before the first flush the logs alone hold everything, and a database that is gone is no loss.
        until("a flush", REBUILD_MAX, || {
            let metrics = cluster.admin(victim, "GET", "/metrics").send()?.good()?.text();
            ensure!(!metrics.contains("shardloom_state_flushes_total 0"), "there was none");
            Ok(())
        })?;
        cluster.kill(victim)?;
        lose(&cluster.node(victim).data())?;
        more()?;
        cluster.wait_until_served(REBUILD_MAX)?;
        let before: Vec<u64> = cluster.shards(others[0])?.iter().map(|shard| shard.epoch).collect();
        cluster.restart(victim)?;
        cluster.wait_for_members(3, REBUILD_MAX)?;
        until("new replicas of all shards", REBUILD_MAX, || {
            let shards = cluster.shards(others[0])?;
            let old = shards.iter().zip(&before).filter(|(shard, before)| shard.epoch <= **before).count();
            ensure!(old == 0, "{old} shards are as they were");
            ensure!(shards.iter().all(|shard| shard.state == "served"), "not all are served");
            Ok(())
        })?;
        until("three voters", REBUILD_MAX, || {
            let nodes = cluster.status(others[0])?.nodes;
            ensure!(nodes.iter().all(|node| node.role != "learner"), "{nodes:?}");
            Ok(())
        })?;
        cluster.wait_until_settled(REBUILD_MAX)?;
        more()
    })?;
    println!("{} calls, {} of them writes; the slowest took {:?}", tally.calls, tally.writes, tally.slowest);
    tally.verdict()?;
    // Without one of the others, all that counts rests on what was made anew: the votes, the components, and every acknowledged write.
    let read = |cluster: &Cluster, key: &str| -> Result<u64> {
        let said = cluster.call(victim, "counter", key, "get", b"")?.good()?.text();
        said.trim().parse().with_context(|| format!("{key} reads {said:?}"))
    };
    let keys: Vec<String> =
        (0..4).flat_map(|client| (0..8).map(move |key| format!("rebuilt-{client}-{key}"))).collect();
    let values: Vec<u64> = keys.iter().map(|key| read(cluster, key)).collect::<Result<_>>()?;
    ensure!(
        values.iter().sum::<u64>() >= tally.writes,
        "{} were added up, {} written",
        values.iter().sum::<u64>(),
        tally.writes
    );
    cluster.kill(others[0])?;
    cluster.wait_until_served(READY_MAX)?;
    for (key, value) in keys.iter().zip(values) {
        let now = read(cluster, key)?;
        ensure!(now == value, "{key} reads {now}, it was {value}");
    }
    cluster.call(victim, "counter", &keys[0], "add", b"1")?.good()?;
    Ok(())
}

fn lose_all_but_identity(data: &Path) -> Result<()> {
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if path.ends_with(IDENTITY) {
            continue;
        }
        if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
    }
    Ok(())
}

/// Turns a byte over in the first batch of the oldest segment: what follows it shows that it is no torn tail.
fn damage_log(data: &Path) -> Result<()> {
    let wal = data.join("wal");
    let mut segments: Vec<_> = fs::read_dir(&wal)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    segments.retain(|path| fs::read(path).is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0)));
    segments.sort();
    let oldest = segments.first().context("the log has no segment")?;
    let mut bytes = fs::read(oldest)?;
    let used = bytes.iter().rposition(|byte| *byte != 0).context("the segment is empty")?;
    bytes[used / 4] ^= 0x10;
    Ok(fs::write(oldest, bytes)?)
}
