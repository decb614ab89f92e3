//! Who gets in, and who does not.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use shardloom_harness::cluster::{Cluster, READY_MAX, check};
use shardloom_harness::network::Network;
use shardloom_harness::{Options, wait};

/// How long a node that is refused may take to end.
const REFUSED_MAX: Duration = Duration::from_secs(30);

/// The life of a token that is to expire, with some room for the two commands.
const TOKEN_LIFE: Duration = Duration::from_secs(3);

/// Starts a node that must be refused, and returns what it logged.
fn refused(cluster: &mut Cluster, flags: &[String]) -> Result<String> {
    let members = cluster.status(0)?.nodes.len();
    let index = cluster.add(flags)?;
    let status = cluster.node_mut(index).ended(REFUSED_MAX)?;
    ensure!(!status.success(), "it ended as if all were well");
    ensure!(cluster.status(0)?.nodes.len() == members, "it became a member");
    Ok(cluster.node(index).log_tail())
}

#[test]
fn a_token_lets_one_node_in_and_no_other() {
    check(Options::of(1), |cluster| {
        let token = cluster.create_token()?;
        let flags = cluster.join_flags(&token)?;
        cluster.add(&flags)?;
        cluster.wait_for_members(2, READY_MAX)?;
        let said = refused(cluster, &flags)?;
        ensure!(said.contains("token"), "a used token: {said}");

        let members = cluster.join_flags("no-token-at-all")?;
        let said = refused(cluster, &members)?;
        ensure!(said.contains("token"), "garbage for a token: {said}");
        cluster.wait_until_served(READY_MAX)
    });
}

#[test]
fn a_token_that_has_expired_lets_nobody_in() {
    check(Options::of(1), |cluster| {
        let made = Instant::now();
        let token = cluster.cli(&["token", "create", "--expires-in", "1"])?.trim().to_owned();
        let flags = cluster.join_flags(&token)?;
        wait::until("the token to be too old", READY_MAX, || {
            ensure!(made.elapsed() > TOKEN_LIFE, "it is young");
            Ok(())
        })?;
        let said = refused(cluster, &flags)?;
        ensure!(said.contains("token") && said.contains("expired"), "an expired token: {said}");
        let output = cluster.cli_output(&["token", "create", "--expires-in", "0"])?;
        ensure!(!output.status.success(), "a token that is never good was made");
        Ok(())
    });
}

#[test]
fn a_token_of_another_cluster_lets_nobody_in() {
    check(Options::of(1), |cluster| {
        let other = Cluster::start(1)?;
        let flags = cluster.join_flags(&other.create_token()?)?;
        // It may give up or try again; it must say why, and get in nowhere.
        let index = cluster.add(&flags)?;
        cluster.wait("the reason in its log", REFUSED_MAX, |cluster| {
            let said = cluster.node(index).log_tail();
            ensure!(said.contains("cluster") || said.contains("certificate"), "{said}");
            Ok(())
        })?;
        ensure!(cluster.status(0)?.nodes.len() == 1, "it became a member");
        ensure!(other.status(0)?.nodes.len() == 1, "it became a member there");
        Ok(())
    });
}

#[test]
fn a_data_directory_stays_with_its_cluster() {
    check(Options::of(1), |cluster| {
        let mut other = Cluster::start(1)?;
        let stranger = other.join()?;
        other.wait_for_members(2, READY_MAX)?;
        other.kill(stranger)?;
        let flags = cluster.join_flags(&cluster.create_token()?)?;
        other.node_mut(stranger).start(&flags)?;
        let status = other.node_mut(stranger).ended(REFUSED_MAX)?;
        ensure!(!status.success(), "it ended as if all were well");
        let said = other.node(stranger).log_tail();
        ensure!(said.contains("cluster"), "{said}");
        ensure!(cluster.status(0)?.nodes.len() == 1, "it became a member");
        Ok(())
    });
}

#[test]
fn a_copy_of_a_living_node_is_refused() {
    check(Options::of(3), |cluster| {
        let copied = cluster.node(2).data();
        cluster.stop(2)?;
        let copy = cluster.directory().join("node-4");
        copy_directory(&copied, &copy)?;
        cluster.cont(2)?;
        cluster.wait_until_served(READY_MAX)?;

        let index = cluster.add(&[])?;
        ensure!(cluster.node(index).data() == copy, "the copy is not where the node looks");
        let original = cluster.id_of(2)?;
        // It may end or wait, but while the first lives it must not take its place.
        cluster.wait("three members, the first in its place", READY_MAX, |cluster| {
            let nodes = cluster.status(0)?.nodes;
            let http = cluster.node(2).addresses.http.to_string();
            ensure!(nodes.len() == 3, "{nodes:?}");
            ensure!(nodes.iter().any(|node| node.id == original && node.http == http), "{nodes:?}");
            Ok(())
        })?;
        if cluster.node_mut(index).check().is_ok() {
            cluster.kill(index)?;
        }
        Ok(())
    });
}

pub(crate) fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[test]
fn a_name_is_as_good_as_an_address() {
    let options = Options::of(1).map(|options| Options { network: Network::localhost(), ..options });
    check(options, |cluster| {
        let token = cluster.create_token()?;
        let port = cluster.node(0).addresses.peer.port();
        cluster.add(&["--join", &format!("localhost:{port}"), "--token", &token].map(str::to_owned))?;
        cluster.wait_for_members(2, READY_MAX)
    });
}

#[test]
fn under_the_manual_policy_a_node_waits_to_be_added() {
    let flags = ["--join-policy", "manual"].map(str::to_owned).into();
    let options = Options::of(1).map(|options| Options { first_flags: flags, ..options });
    check(options, |cluster| {
        cluster.join()?;
        let pending = cluster.wait("the node to be pending", READY_MAX, |cluster| {
            let nodes = cluster.status(0)?.nodes;
            Ok(nodes.into_iter().find(|node| node.state == "pending").context("none is pending")?.id)
        })?;
        ensure!(cluster.status(0)?.nodes.iter().all(|node| node.id != pending || node.shards_owned == 0));
        cluster.cli(&["node", "add", &pending])?;
        cluster.wait_for_members(2, READY_MAX)?;
        wait::until("shards on both", READY_MAX, || {
            let nodes = cluster.status(0)?.nodes;
            ensure!(nodes.iter().all(|node| node.shards_owned > 0), "{nodes:?}");
            Ok(())
        })
    });
}
