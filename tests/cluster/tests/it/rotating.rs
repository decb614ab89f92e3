//! The certificates of all nodes are rotated to a new authority, under load and through crashes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, READY_MAX, check};

use crate::joining::copy_directory;
use crate::paced::{CALLS_BETWEEN, under_load};
use crate::upgrading::wait_for_level_2;

/// How long a rotation of three nodes may take on a machine that does much else.
const ROTATION_MAX: Duration = Duration::from_secs(120);

/// How long it may take until a node that shows an old certificate has been refused.
const REFUSED_MAX: Duration = Duration::from_secs(60);

fn certificates(cluster: &Cluster, node: usize) -> Result<Value> {
    cluster.admin(node, "GET", "/v1/certificates").send()?.good()?.json()
}

/// What the nodes show, none left out.
fn fingerprints(shown: &Value) -> Result<BTreeSet<String>> {
    let nodes = shown["nodes"].as_array().with_context(|| format!("no nodes: {shown}"))?;
    let texts = nodes.iter().map(|node| {
        let text =
            node["fingerprint"].as_str().with_context(|| format!("a node that shows nothing: {node}"))?;
        Ok(text.to_owned())
    });
    texts.collect()
}

/// Waits until no rotation is under way and this authority alone is trusted.
fn rotated(cluster: &mut Cluster, node: usize, authority: u64) -> Result<()> {
    cluster.wait("the rotation to end", ROTATION_MAX, |cluster| {
        let shown = certificates(cluster, node)?;
        ensure!(shown["rotation"].is_null(), "{}", shown["rotation"]);
        let authorities = shown["authorities"].as_array().context("no authorities")?;
        ensure!(authorities.len() == 1 && authorities[0]["number"] == authority, "{shown}");
        Ok(())
    })
}

/// Waits for a phase of the rotation.
fn phase(cluster: &mut Cluster, node: usize, wanted: &str) -> Result<()> {
    cluster.wait("a phase of the rotation", ROTATION_MAX, |cluster| {
        let shown = certificates(cluster, node)?;
        ensure!(shown["rotation"]["phase"] == wanted, "{}", shown["rotation"]);
        Ok(())
    })
}

#[test]
fn a_rotation_under_load_fails_no_call_and_the_old_certificates_are_worth_nothing_after_it() {
    check(Options::of(3), |cluster| {
        wait_for_level_2(cluster)?;
        cluster.deploy("counter", "w", &[])?;
        // What somebody would have who has read a node's disk.
        let (stolen, copy) = (cluster.node(2).data(), cluster.directory().join("node-4"));
        cluster.stop(2)?;
        copy_directory(&stolen, &copy)?;
        cluster.cont(2)?;
        cluster.wait_until_served(READY_MAX)?;
        let leader = cluster.leader()?;
        let before = fingerprints(&certificates(cluster, leader)?)?;
        let old_token = cluster.create_token()?;

        let nodes: Vec<String> = (0..3).map(|node| cluster.url(node, "")).collect();
        let ((), seen) = under_load(&nodes, |progress| {
            progress.more(CALLS_BETWEEN)?;
            println!("{}", cluster.cli(&["certificates", "rotate"])?);
            progress.more(CALLS_BETWEEN)
        })?;
        seen.all_answered()?;
        println!("{}", seen.pauses());

        let shown = certificates(cluster, 0)?;
        ensure!(shown["rotation"].is_null(), "{shown}");
        ensure!(shown["authorities"][0]["number"] == 2, "{shown}");
        let after = fingerprints(&shown)?;
        ensure!(after.len() == 3 && after.is_disjoint(&before), "{before:?}, then {after:?}");
        let events = cluster.cli(&["events"])?;
        for told in ["phase introduce", "phase switch", "phase retire", "certificates-rotated"] {
            ensure!(events.contains(told), "{told} is not among the events: {events}");
        }
        ensure!(cluster.cli(&["audit"])?.contains("rotate the certificates"), "nobody did it");

        // The node itself is away, so that the thief would be let in by anybody who trusts its certificate.
        cluster.kill(2)?;
        let index = cluster.add(&[])?;
        ensure!(cluster.node(index).data() == copy, "the copy is not where the node looks");
        cluster.wait("the thief to be refused", REFUSED_MAX, |cluster| {
            let said = cluster.node(0).log_tail() + &cluster.node(1).log_tail();
            ensure!(said.contains("a connection was refused"), "{said}");
            ensure!(cluster.ask(index, "GET", "/readyz").send().map_or(true, |reply| reply.status != 200));
            Ok(())
        })?;
        let nodes = cluster.status(0)?.nodes;
        let id = &nodes.iter().find(|node| node.http == cluster.node(2).addresses.http.to_string());
        ensure!(id.is_some_and(|node| node.state == "silent"), "its owner is not silent: {nodes:?}");
        if cluster.node_mut(index).check().is_ok() {
            cluster.kill(index)?;
        }
        cluster.restart(2)?;
        cluster.wait_until_served(READY_MAX)?;

        joins_with_a_new_token_alone(cluster, &old_token)?;
        let all: Vec<usize> = [0, 1, 2].into_iter().chain([cluster.size() - 1]).collect();
        for index in &all {
            cluster.kill(*index)?;
        }
        for index in &all {
            cluster.restart(*index)?;
        }
        cluster.wait_for_members(4, READY_MAX)?;
        cluster.wait_until_served(READY_MAX)
    });
}

fn joins_with_a_new_token_alone(cluster: &mut Cluster, old_token: &str) -> Result<()> {
    let flags = cluster.join_flags(old_token)?;
    let late = cluster.add(&flags)?;
    cluster.wait("the old token to be refused", REFUSED_MAX, |cluster| {
        let said = cluster.node(late).log_tail();
        ensure!(said.contains("make a new token"), "{said}");
        Ok(())
    })?;
    cluster.kill(late)?;
    ensure!(cluster.status(0)?.nodes.len() == 3, "it became a member");
    cluster.join()?;
    cluster.wait_for_members(4, READY_MAX)?;
    cluster.wait_until_served(READY_MAX)
}

#[test]
fn a_rotation_goes_on_through_crashes_and_a_change_of_leader() {
    check(Options::of(3), |cluster| {
        wait_for_level_2(cluster)?;
        cluster.deploy("counter", "w", &[])?;
        let id = cluster.id_of(2)?;
        cluster.kill(2)?;
        cluster.cli(&["certificates", "rotate", "--wait", "0"])?;
        let again = cluster.cli_output(&["certificates", "rotate"])?;
        ensure!(!again.status.success(), "a second one was begun");
        // It is waited for, and said to be so.
        cluster.wait("the others to be ready", ROTATION_MAX, |cluster| {
            let rotation = &certificates(cluster, 0)?["rotation"];
            ensure!(rotation["phase"] == "introduce" && rotation["confirmed"] == 2, "{rotation}");
            ensure!(rotation["waits_for"][0]["id"] == id.as_str(), "{rotation}");
            Ok(())
        })?;
        let status = cluster.cli(&["status"])?;
        ensure!(status.contains(&format!("waits for {id}")), "{status}");

        // Everybody ends in the middle, and so does the leader's term.
        for index in [0, 1] {
            cluster.kill(index)?;
        }
        for index in 0..3 {
            cluster.restart(index)?;
        }
        phase(cluster, 0, "switch")?;
        let leader = cluster.leader()?;
        let asked = (leader + 1) % 3;
        cluster.kill(leader)?;
        cluster.restart(leader)?;
        rotated(cluster, asked, 2)?;
        cluster.wait_until_served(READY_MAX)?;
        let total = cluster.call(asked, "w", "key", "add", b"3")?.good()?.text();
        ensure!(total == "3", "{total}");

        // And once more, now that what is rotated is not what the cluster was founded with.
        cluster.cli(&["certificates", "rotate"])?;
        rotated(cluster, leader, 3)
    });
}

#[test]
fn a_node_that_is_gone_for_good_holds_a_rotation_up_until_it_is_removed() {
    check(Options::of(3), |cluster| {
        wait_for_level_2(cluster)?;
        cluster.deploy("counter", "w", &[])?;
        let id = cluster.id_of(2)?;
        cluster.kill(2)?;
        let late = cluster.cli_output(&["certificates", "rotate", "--wait", "2"])?;
        let said = String::from_utf8_lossy(&late.stderr).into_owned();
        ensure!(!late.status.success() && said.contains(&id), "{said}");
        cluster.cli(&["node", "remove", "--force", &id])?;
        rotated(cluster, 0, 2)?;
        cluster.call(0, "w", "key", "add", b"3")?.good()?;
        Ok(())
    });
}
