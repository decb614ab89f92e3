//! Nodes die, or are halted, and the others serve their shards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shardloom_harness::cluster::{Cluster, check};
use shardloom_harness::load::Load;
use shardloom_harness::{Options, Witness, http, until};

/// How long the survivors may take on a machine that does much else; the measured bound is in the benchmarks.
const HEAL_MAX: Duration = Duration::from_secs(20);
/// How many keys are called: enough to meet every node.
const KEYS: usize = 40;

/// A node that does not lead.
fn follower(cluster: &Cluster) -> Result<usize> {
    let leader = cluster.leader()?;
    let other = cluster.running().map(|node| node.index).find(|index| *index != leader);
    other.context("all nodes lead")
}

/// Calls every key through every running node until all are answered.
fn all_answered(cluster: &Cluster, witness: &mut Witness) -> Result<()> {
    for key in 0..KEYS {
        for node in cluster.running().map(|node| node.index).collect::<Vec<_>>() {
            cluster.wait("an answer", HEAL_MAX, |cluster| {
                let reply = cluster.call(node, "words", &format!("k{key}"), "", b"")?.good()?;
                witness.note(&reply)
            })?;
        }
    }
    Ok(())
}

/// Waits until no survivor leaves a shard with this node.
fn left(cluster: &Cluster, victim: &str) -> Result<()> {
    cluster.wait("new owners", HEAL_MAX, |cluster| {
        for node in cluster.running() {
            for shard in cluster.shards(node.index)? {
                let moved = shard.owner.as_deref().is_some_and(|owner| owner != victim);
                ensure!(moved && shard.state == "served", "{shard:?}");
            }
        }
        Ok(())
    })
}

#[test]
fn shards_of_a_killed_owner_are_served_by_the_others() {
    check(Options::of(3), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        let mut witness = Witness::default();
        all_answered(cluster, &mut witness)?;
        let victim = follower(cluster)?;
        let id = cluster.id_of(victim)?;
        cluster.kill(victim)?;
        left(cluster, &id)?;
        all_answered(cluster, &mut witness)?;
        cluster.wait("the victim to be silent", HEAL_MAX, |cluster| {
            let state = cluster.status(cluster.any()?)?.nodes.into_iter().find(|node| node.id == id);
            let state = state.context("it is no member any more")?.state;
            ensure!(state == "silent", "it is {state}");
            Ok(())
        })?;

        cluster.restart(victim)?;
        cluster.wait_for_members(3, HEAL_MAX)?;
        cluster.wait_until_served(HEAL_MAX)?;
        all_answered(cluster, &mut witness)?;
        witness.verdict()
    });
}

#[test]
fn a_killed_leader_is_replaced_and_its_shards_are_served() {
    check(Options::of(3), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        let mut witness = Witness::default();
        all_answered(cluster, &mut witness)?;
        let victim = cluster.leader()?;
        let id = cluster.id_of(victim)?;
        cluster.kill(victim)?;
        left(cluster, &id)?;
        ensure!(cluster.leader()? != victim, "a dead node leads");
        all_answered(cluster, &mut witness)?;
        witness.verdict()
    });
}

#[test]
fn an_owner_that_was_halted_answers_nothing_under_its_old_epoch() {
    check(Options::of(3), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        let mut witness = Witness::default();
        all_answered(cluster, &mut witness)?;
        let victim = follower(cluster)?;
        let id = cluster.id_of(victim)?;
        cluster.stop(victim)?;

        // The survivors alone are asked: the halted one would not answer.
        let survivors: Vec<usize> =
            cluster.running().map(|node| node.index).filter(|one| *one != victim).collect();
        for key in 0..KEYS {
            cluster.wait("an answer", HEAL_MAX, |cluster| {
                let reply = cluster.call(survivors[key % 2], "words", &format!("k{key}"), "", b"")?.good()?;
                ensure!(reply.stamp().is_some_and(|stamp| stamp.node != id), "the halted node answered");
                witness.note(&reply)
            })?;
        }
        cluster.cont(victim)?;
        // At once, while it may still believe in its old epoch.
        for key in 0..KEYS {
            let path = shardloom_harness::cluster::call_path("words", &format!("k{key}"), "");
            let reply = cluster.ask(victim, "POST", &path).within(http::ANSWER_MAX).send()?;
            if reply.status == 200 {
                witness.note(&reply)?;
            }
        }
        cluster.wait_for_members(3, HEAL_MAX)?;
        all_answered(cluster, &mut witness)?;
        witness.verdict()
    });
}

#[test]
fn without_a_majority_nothing_is_served_and_callers_are_told_so() {
    check(Options::of(3), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        let survivor = cluster.leader()?;
        for victim in (0..3).filter(|index| *index != survivor) {
            cluster.kill(victim)?;
        }
        cluster.wait("a refusal", HEAL_MAX, |cluster| {
            let reply = cluster.call(survivor, "words", "key", "", b"")?;
            ensure!(matches!(reply.status, 503 | 504), "{}: {}", reply.status, reply.text());
            Ok(())
        })?;
        cluster.wait("the survivor to say that it is not ready", HEAL_MAX, |cluster| {
            let ready = cluster.ask(survivor, "GET", "/readyz").send()?;
            ensure!(ready.status == 503, "it says that it is ready");
            Ok(())
        })?;
        for victim in (0..3).filter(|index| *index != survivor) {
            cluster.restart(victim)?;
        }
        cluster.wait_until_served(HEAL_MAX)?;
        all_answered(cluster, &mut Witness::default())
    });
}

/// Kills a node while counters are written and read through the others: no call may fail, and none may be lost or count twice.
fn late_but_not_lost(cluster: &mut Cluster, victim: usize) -> Result<()> {
    cluster.deploy("counter", "counter", &[])?;
    let id = cluster.id_of(victim)?;
    let load = Load {
        workload: "counter",
        nodes: (0..3).filter(|index| *index != victim).map(|index| cluster.url(index, "")).collect(),
        clients: 4,
        name: "late".to_owned(),
        made: AtomicU64::new(0),
    };
    let more = |count: u64| {
        let begun = load.made.load(Ordering::Relaxed);
        until("calls to be answered", HEAL_MAX, || {
            ensure!(load.made.load(Ordering::Relaxed) >= begun + count, "they are not");
            Ok(())
        })
    };
    let ((), tally) = load.during(|| {
        more(200)?;
        cluster.kill(victim)?;
        left(cluster, &id)?;
        more(200)?;
        cluster.restart(victim)?;
        cluster.wait_for_members(3, HEAL_MAX)?;
        cluster.wait_until_settled(HEAL_MAX)?;
        more(200)
    })?;
    tally.verdict()
}

#[test]
fn the_calls_of_a_killed_owner_are_late_and_none_is_lost_or_counts_twice() {
    check(Options::of(3), |cluster| {
        let victim = follower(cluster)?;
        late_but_not_lost(cluster, victim)
    });
}

#[test]
fn the_calls_of_a_killed_leader_are_late_and_none_is_lost_or_counts_twice() {
    check(Options::of(3), |cluster| {
        let victim = cluster.leader()?;
        late_but_not_lost(cluster, victim)
    });
}

#[test]
fn what_was_acknowledged_survives_the_end_of_every_node() {
    check(Options::of(3), |cluster| {
        cluster.deploy("counter", "counter", &[])?;
        for key in 0..KEYS {
            let written = cluster.call(key % 3, "counter", &format!("k{key}"), "add", b"7")?.good()?;
            ensure!(written.text() == "7", "{}", written.text());
        }
        (0..3).try_for_each(|index| cluster.kill(index))?;
        (0..3).try_for_each(|index| cluster.restart(index))?;
        cluster.wait_until_served(HEAL_MAX)?;
        for key in 0..KEYS {
            let read = cluster.call((key + 1) % 3, "counter", &format!("k{key}"), "get", b"")?.good()?;
            ensure!(read.text() == "7", "k{key}: {}", read.text());
        }
        Ok(())
    });
}
