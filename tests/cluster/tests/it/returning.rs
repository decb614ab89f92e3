//! Nodes end, all at once or one after another, and come back from their disks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use shardloom_harness::cluster::{Cluster, call_path, check};
use shardloom_harness::{Http, Options};

/// How long a cluster may take to come back on a machine that does much else.
const RETURN_MAX: Duration = Duration::from_secs(40);

#[test]
fn a_cluster_that_was_killed_whole_comes_back_from_disk_alone() {
    check(Options::of(3), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        let before = cluster.status(0)?;
        for index in 0..3 {
            cluster.kill(index)?;
        }
        for index in 0..3 {
            cluster.restart(index)?;
        }
        cluster.wait_for_members(3, RETURN_MAX)?;
        cluster.wait_until_served(RETURN_MAX)?;
        // An owner in a new boot needs a new epoch, even for the same shards.
        let after = cluster.wait("new epochs", RETURN_MAX, |cluster| {
            let after = cluster.status(2)?;
            ensure!(after.epoch > before.epoch && after.shards.all_served(), "epoch {}", after.epoch);
            Ok(after)
        })?;
        ensure!(after.cluster_id == before.cluster_id, "another cluster");
        let ids = |status: &shardloom_harness::http::Status| {
            let mut ids: Vec<String> = status.nodes.iter().map(|node| node.id.clone()).collect();
            ids.sort();
            ids
        };
        ensure!(ids(&before) == ids(&after), "other nodes");
        let workloads: Vec<Value> = cluster.admin(1, "GET", "/v1/workloads").send()?.good()?.json()?;
        ensure!(workloads.len() == 1 && workloads[0]["name"] == "words", "{workloads:?}");
        cluster.call(1, "words", "key", "", b"")?.good()?;
        Ok(())
    });
}

#[test]
fn a_rolling_restart_fails_no_call_of_a_client_that_tries_the_next_node() {
    check(Options::of(3), |cluster| {
        cluster.deploy("word-count", "words", &[])?;
        let nodes: Vec<String> = (0..3).map(|index| cluster.url(index, "")).collect();
        let (done, calls) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let client = |seed: usize| {
                let (nodes, done, calls) = (&nodes, &done, &calls);
                move || client(nodes, seed, done, calls)
            };
            let clients = [scope.spawn(client(0)), scope.spawn(client(1))];
            let restarted = roll(cluster);
            done.store(true, Ordering::Relaxed);
            for client in clients {
                client.join().map_err(|_| anyhow!("a client panicked"))??;
            }
            restarted
        })?;
        let calls = calls.load(Ordering::Relaxed);
        ensure!(calls > 100, "only {calls} calls were made: that shows nothing");
        Ok(())
    });
}

fn roll(cluster: &mut Cluster) -> Result<()> {
    for index in 0..3 {
        cluster.terminate(index)?;
        cluster.restart(index)?;
        cluster.wait_for_members(3, RETURN_MAX)?;
        cluster.wait_until_served(RETURN_MAX)?;
    }
    Ok(())
}

/// Calls one key after another; a call that a node refuses is tried on the next one.
fn client(nodes: &[String], seed: usize, done: &AtomicBool, calls: &AtomicU64) -> Result<()> {
    let http = Http::new();
    let mut turn = seed;
    while !done.load(Ordering::Relaxed) {
        turn += 1;
        let path = call_path("words", &format!("k{}", turn % 50), "get");
        let mut refusals = Vec::new();
        let answered = (0..nodes.len()).any(|next| {
            let node = &nodes[(turn + next) % nodes.len()];
            match http.ask("POST", format!("{node}{path}")).send() {
                Ok(reply) if reply.status == 200 => true,
                Ok(reply) => {
                    refusals.push(format!("{node}: {} {}", reply.status, reply.text()));
                    false
                }
                Err(error) => {
                    refusals.push(format!("{node}: {error:#}"));
                    false
                }
            }
        });
        if !answered {
            bail!("call {turn} failed on every node: {}", refusals.join("; "));
        }
        calls.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[test]
fn a_drained_node_owns_nothing_and_can_be_removed() {
    check(Options::of(4), |cluster| {
        let id = cluster.id_of(3)?;
        cluster.cli(&["node", "drain", &id, "--wait", "60"])?;
        let state = cluster.status(0)?.nodes.into_iter().find(|node| node.id == id).context("no member")?;
        ensure!(state.shards_owned == 0, "{state:?}");
        cluster.terminate(3)?;
        cluster.cli(&["node", "remove", &id])?;
        cluster.wait("the removal", RETURN_MAX, |cluster| {
            ensure!(cluster.status(0)?.nodes.iter().all(|node| node.id != id), "it is a member still");
            Ok(())
        })?;
        cluster.wait_until_served(RETURN_MAX)
    });
}

#[test]
fn the_last_member_is_neither_drained_nor_removed() {
    check(Options::of(2), |cluster| {
        let (first, second) = (cluster.id_of(0)?, cluster.id_of(1)?);
        let refused = |cluster: &Cluster, words: &[&str], why: &str| match cluster.cli(words) {
            Ok(said) => bail!("{words:?} was taken: {said}"),
            Err(error) if error.to_string().contains(why) => Ok(()),
            Err(error) => Err(error),
        };
        cluster.cli(&["node", "drain", &second, "--wait", "60"])?;
        // Nobody is left to take anything on, and that is said at once.
        refused(cluster, &["node", "drain", &first], "shardloom node add")?;
        cluster.terminate(1)?;
        cluster.cli(&["node", "remove", &second])?;
        for words in [["node", "remove", &first].as_slice(), &["node", "remove", "--force", &first]] {
            refused(cluster, words, "is the last member of the cluster")?;
        }
        refused(cluster, &["node", "drain", &first], "would never end")?;
        let reply = cluster.admin(0, "POST", &format!("/v1/admin/nodes/{first}/remove?force=true")).send()?;
        ensure!(reply.status == 409 && reply.code() == "refused", "{}", reply.status);
        cluster.wait_until_served(RETURN_MAX)
    });
}
