//! The binary is replaced node by node under load: builds of two levels of formats run side by side, and the newer formats are written once all can read
//! them.

mod steady;

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use shardloom_harness::cluster::{Cluster, END_MAX, check};
use shardloom_harness::{Options, artefacts};

use steady::under_load;

/// How long a node may take to be back, or the level to rise, on a machine that does much else.
const SOON: Duration = Duration::from_secs(60);
/// Calls that are waited for between two steps.
const CALLS_BETWEEN: u64 = 200;
/// The exit code of a build that is too old (`EX_PROTOCOL`).
const EXIT_NEWER_BUILD: i32 = 76;
/// Entries after which each node has made a snapshot of the control log, and some more.
const ENTRIES_OF_A_SNAPSHOT: usize = 2_200;
/// Who write them at once.
const WRITERS: usize = 8;

/// A cluster of the older build, with counters.
fn older(nodes: usize) -> Result<Options> {
    Ok(Options { binary: Some(artefacts::older_binary()?), ..Options::of(nodes)? })
}

fn deploy(cluster: &Cluster, word: &str) -> Result<()> {
    cluster.deploy("counter", "w", &["--config", &format!("word={word}")])
}

fn urls(cluster: &Cluster) -> Vec<String> {
    (0..cluster.size()).map(|node| cluster.url(node, "")).collect()
}

/// Starts a node that does not run, with the newer binary, and waits until it takes part.
fn start_newer(cluster: &mut Cluster, node: usize) -> Result<()> {
    cluster.node_mut(node).binary = None;
    back(cluster, node)
}

fn back(cluster: &mut Cluster, node: usize) -> Result<()> {
    cluster.restart(node)?;
    cluster.wait_for_members(cluster.size(), SOON)?;
    cluster.wait_until_served(SOON)
}

/// What a node of the newer build says of formats.
fn formats(cluster: &Cluster, node: usize) -> Result<Value> {
    let status: Value = cluster.admin(node, "GET", "/v1/status").send()?.good()?.json()?;
    Ok(status["formats"].clone())
}

/// Waits until a node says that the cluster is at level 1 and that the next one waits for just these nodes.
fn waits_for(cluster: &Cluster, node: usize, others: &[usize]) -> Result<()> {
    let mut names: Vec<String> = others.iter().map(|other| cluster.id_of(*other)).collect::<Result<_>>()?;
    names.sort();
    let words = |name: &String| format!("node {name} runs a build of level 1");
    let expected: Vec<String> = names.iter().map(words).collect();
    cluster.wait("who is waited for", SOON, |cluster| {
        let formats = formats(cluster, node)?;
        ensure!(formats["level"] == 1 && formats["readable"] == 2, "{formats}");
        ensure!(formats["waits_for"] == serde_json::to_value(&expected)?, "{formats}, not {expected:?}");
        Ok(())
    })
}

/// Waits until all nodes say that the cluster is at level 2.
pub(crate) fn wait_for_level_2(cluster: &Cluster) -> Result<()> {
    cluster.wait("formats of level 2", SOON, |cluster| {
        for node in 0..cluster.size() {
            let formats = formats(cluster, node)?;
            ensure!(formats["level"] == 2 && formats["waits_for"] == Value::Array(Vec::new()), "{formats}");
        }
        Ok(())
    })
}

/// The nodes in descending order of their ids. Of two voters whose logs are as long, the one with the higher id succeeds a leader: so either of the
/// first two can be made to lead.
fn by_id(cluster: &Cluster) -> Result<Vec<usize>> {
    let ids = (0..cluster.size()).map(|node| Ok((cluster.id_of(node)?, node)));
    let mut ids = ids.collect::<Result<Vec<(String, usize)>>>()?;
    ids.sort();
    Ok(ids.into_iter().rev().map(|(_, node)| node).collect())
}

/// Makes a node lead.
fn have_lead(cluster: &Cluster, node: usize) -> Result<()> {
    cluster.wait("another leader", SOON, |cluster| {
        if cluster.leader()? == node {
            return Ok(());
        }
        cluster.cli(&["step-down"])?;
        let leader = cluster.leader()?;
        ensure!(leader == node, "node {leader} leads");
        Ok(())
    })
}

/// Starts a node of the older build that is not to be let in, and checks that it says why as it ends.
fn is_too_old(cluster: &mut Cluster, node: usize, code: i32, words: &str) -> Result<()> {
    let status = cluster.node_mut(node).ended(END_MAX)?;
    let log = cluster.node(node).log_tail();
    ensure!(status.code() == Some(code), "it ended with {status}\n{log}");
    ensure!(log.contains(words), "it does not say {words:?}\n{log}");
    Ok(())
}

#[test]
fn a_binary_that_is_replaced_node_by_node_under_load_costs_no_call() {
    check(older(3), |cluster| {
        deploy(cluster, "one")?;
        let order = by_id(cluster)?;
        let ((), seen) = under_load(&urls(cluster), |progress| {
            progress.more(CALLS_BETWEEN)?;
            for (place, &node) in order.iter().enumerate() {
                cluster.terminate(node)?;
                progress.more(CALLS_BETWEEN)?;
                start_newer(cluster, node)?;
                progress.more(CALLS_BETWEEN)?;
                if place == 2 {
                    break;
                }
                waits_for(cluster, node, &order[place + 1..])?;
                // At first of either build, then both of the newer one. Deploys go on.
                for &leader in &order[..2] {
                    have_lead(cluster, leader)?;
                    deploy(cluster, &format!("{node}-{leader}"))?;
                    progress.more(CALLS_BETWEEN)?;
                }
                ensure!(formats(cluster, node)?["level"] == 1, "the level has risen too early");
            }
            wait_for_level_2(cluster)?;
            deploy(cluster, "last")?;
            progress.more(CALLS_BETWEEN)
        })?;
        println!("{seen:?}");
        let table = cluster.cli(&["nodes"])?;
        ensure!(table.matches("0.1.0/2").count() == 3, "{table}");
        ensure!(!table.contains("shardloom.formats"), "a label that nobody has given\n{table}");
        let status = cluster.cli(&["status"])?;
        ensure!(status.contains("formats    level 2\n"), "{status}");
        let events = cluster.cli(&["events", "--since", "0"])?;
        ensure!(events.matches("formats-raised").count() == 1, "{events}");
        let audit = cluster.cli(&["audit"])?;
        ensure!(audit.contains("raise the formats to level 2"), "{audit}");
        older_builds_are_refused(cluster)
    });
}

/// There is no way back: neither from the disk, nor as a member, nor as a newcomer.
fn older_builds_are_refused(cluster: &mut Cluster) -> Result<()> {
    let binary = artefacts::older_binary()?;
    cluster.terminate(2)?;
    cluster.node_mut(2).binary = Some(binary.clone());
    cluster.restart(2)?;
    let disk = "this data was written by a newer build (formats level 2): start the newer binary";
    is_too_old(cluster, 2, EXIT_NEWER_BUILD, disk)?;
    // Without what the disk remembers, the cluster refuses it.
    let mark = cluster.node(2).data().join("formats");
    fs::remove_file(&mark).with_context(|| mark.display().to_string())?;
    cluster.restart(2)?;
    is_too_old(cluster, 2, 1, "reads formats up to level 1, and this cluster is at level 2")?;
    start_newer(cluster, 2)?;
    cluster.binary = Some(binary);
    let newcomer = cluster.join()?;
    is_too_old(cluster, newcomer, 1, "reads formats up to level 1, and this cluster is at level 2")
}

#[test]
fn nodes_that_are_killed_while_the_binary_is_replaced_cost_no_call_either() {
    check(older(3), |cluster| {
        deploy(cluster, "one")?;
        let ((), seen) = under_load(&urls(cluster), |progress| {
            progress.more(CALLS_BETWEEN)?;
            for node in [1, 2, 0] {
                cluster.kill(node)?;
                cluster.node_mut(node).binary = None;
                cluster.restart(node)?;
                progress.more(CALLS_BETWEEN / 2)?;
                // Once more, wherever it is in its start.
                cluster.kill(node)?;
                back(cluster, node)?;
                progress.more(CALLS_BETWEEN)?;
            }
            wait_for_level_2(cluster)?;
            cluster.kill(1)?;
            back(cluster, 1)?;
            progress.more(CALLS_BETWEEN)
        })?;
        println!("{seen:?}");
        wait_for_level_2(cluster)
    });
}

#[test]
fn a_node_that_is_down_is_waited_for_and_one_that_is_removed_is_not() {
    check(older(3), |cluster| {
        for node in [0, 1] {
            cluster.terminate(node)?;
            start_newer(cluster, node)?;
        }
        let down = cluster.id_of(2)?;
        cluster.terminate(2)?;
        let silent = format!("node {down} does not answer");
        cluster.wait("the node that is down", SOON, |cluster| {
            let formats = formats(cluster, 0)?;
            ensure!(formats["level"] == 1 && formats["waits_for"] == json!([silent]), "{formats}");
            Ok(())
        })?;
        let status = cluster.cli(&["status"])?;
        ensure!(status.contains(&format!("level 2 waits for all nodes: {silent}")), "{status}");
        cluster.cli(&["node", "remove", &down, "--force"])?;
        cluster.wait("formats of level 2", SOON, |cluster| {
            let formats = formats(cluster, 0)?;
            ensure!(formats["level"] == 2, "{formats}");
            Ok(())
        })
    });
}

#[test]
fn snapshots_of_both_builds_are_read_by_the_other_one() {
    check(older(3), |cluster| {
        deploy(cluster, "one")?;
        write_entries(cluster, 0)?;
        let [newer, older, other] = by_id(cluster)?[..] else { bail!("not three nodes") };
        let ((), seen) = under_load(&urls(cluster), |progress| {
            progress.more(CALLS_BETWEEN)?;
            cluster.terminate(newer)?;
            start_newer(cluster, newer)?;
            // The node without logs is of the older build, and the leader of the newer; then the other way round.
            for (leader, wiped) in [(newer, other), (older, newer)] {
                have_lead(cluster, leader)?;
                wipe(cluster, wiped)?;
                progress.more(CALLS_BETWEEN)?;
            }
            for node in [older, other] {
                cluster.terminate(node)?;
                start_newer(cluster, node)?;
            }
            wait_for_level_2(cluster)
        })?;
        println!("{seen:?}");
        // And one of level 2.
        write_entries(cluster, 0)?;
        wipe(cluster, other)?;
        wait_for_level_2(cluster)
    });
}

/// Takes a node's logs away; what it gets in their place begins with a snapshot.
fn wipe(cluster: &mut Cluster, node: usize) -> Result<()> {
    cluster.terminate(node)?;
    let wal = cluster.node(node).data().join("wal");
    fs::remove_dir_all(&wal).with_context(|| wal.display().to_string())?;
    back(cluster, node)?;
    cluster.wait_until_settled(SOON)
}

/// Writes so much to the control log that each node makes a snapshot, and gives up what lies before it.
fn write_entries(cluster: &Cluster, node: usize) -> Result<()> {
    thread::scope(|scope| {
        let write = |writer: usize| {
            for turn in 0..ENTRIES_OF_A_SNAPSHOT / WRITERS {
                let value = json!({ "cool_down": format!("{}s", 60 + (writer + turn) % 2) });
                cluster.admin(node, "PUT", "/v1/admin/settings").json(&value).send()?.good()?;
            }
            Ok::<(), anyhow::Error>(())
        };
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| anyhow!("a writer panicked"))?)
    })
}
