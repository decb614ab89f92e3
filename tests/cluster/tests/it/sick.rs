//! Networks that are cut, disks that fail, power that is lost, files that are damaged: each under load, each skipped where the
//! machine does not offer the means.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, check};
use shardloom_harness::load::{Load, Tally};
use shardloom_harness::sickness::Sickness;
use shardloom_harness::wound::Wound;

use crate::upgrading::wait_for_level_2;

/// The workload of the counters.
const WORKLOAD: &str = "counter";
/// How many clients call the nodes that are spared, and how many call all nodes.
const CLIENTS: usize = 4;
const CLIENTS_EVERYWHERE: usize = 2;
/// How many calls are answered before a sickness strikes, while it lasts, and after it is healed.
const CALLS: u64 = 100;
/// How long these may take.
const CALLS_MAX: Duration = Duration::from_secs(60);
/// How long a cluster may take to be whole again on a machine that does much else.
const WHOLE_MAX: Duration = Duration::from_secs(60);
/// Which bits and how many bytes are damaged: the same in every run.
const SEED: u64 = 7;

/// Whether the sickness strikes the node that leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    Leader,
    Follower,
}

/// Strikes a cluster with these, one after the other.
fn befall(victim: Victim, sicknesses: &[Sickness]) {
    let Some(first) = sicknesses.first().filter(|first| first.is_possible()) else { return };
    check(Options::of(3).and_then(|options| first.fit(options)), |cluster| {
        cluster.deploy(WORKLOAD, WORKLOAD, &[])?;
        // What is struck again and again is not to be quarantined for it.
        wait_for_level_2(cluster)?;
        cluster.cli(&["settings", "set", "flap_limit=0"])?;
        sicknesses.iter().try_for_each(|sickness| {
            survive(cluster, victim, *sickness).with_context(|| format!("{sickness:?}"))
        })
    });
}

/// Under load, lets the sickness strike and heals it. Clients of the nodes that are spared lose no call; clients of all nodes may, but
/// they see no old value, and nothing of theirs is lost or counts twice.
fn survive(cluster: &mut Cluster, victim: Victim, sickness: Sickness) -> Result<()> {
    let leader = cluster.leader()?;
    let victim = if victim == Victim::Leader { leader } else { (leader + 1) % cluster.size() };
    sickness.prepare(cluster, victim)?;
    whole(cluster)?;
    cluster.wait_until_settled(WHOLE_MAX)?;
    let spared = sickness.spared(cluster, victim)?;
    let load = |cluster: &Cluster, nodes: &[usize], clients, name: &str| {
        let urls = nodes.iter().map(|index| cluster.url(*index, "")).collect();
        Load::new(WORKLOAD, urls, clients, &format!("{sickness:?}-{victim}-{name}"))
    };
    let all: Vec<usize> = (0..cluster.size()).collect();
    let everywhere = load(cluster, &all, CLIENTS_EVERYWHERE, "everywhere");
    let load = load(cluster, &spared, CLIENTS, "spared");
    let mut done = String::new();
    let seen = everywhere.during(|| {
        load.during(|| {
            load.more(CALLS, CALLS_MAX)?;
            done = sickness.strike(cluster, victim, SEED)?;
            if !matches!(sickness, Sickness::PowerCut) {
                load.more(CALLS, CALLS_MAX)?;
            }
            sickness.heal(cluster, victim)?;
            whole(cluster)?;
            load.more(CALLS, CALLS_MAX)
        })
    });
    let (((), tally), everywhere) = seen.with_context(|| done.clone())?;
    println!("{sickness:?}: {done}");
    println!("{}", line("clients of all nodes", &everywhere));
    println!("{}", line("clients of the nodes that are spared", &tally));
    everywhere.contradictions()?;
    tally.contradictions()?;
    ensure!(tally.writes > 0, "nothing was written");
    if sickness.may_fail() { Ok(()) } else { tally.verdict() }
}

fn line(who: &str, tally: &Tally) -> String {
    let Tally { calls, writes, slowest, .. } = tally;
    format!("  {who}: {calls} calls, {writes} writes, {} failed, slowest {slowest:.3?}", tally.failures.len())
}

/// Waits until every node lives and owns something: so that what each holds is looked at by the calls that follow.
fn whole(cluster: &mut Cluster) -> Result<()> {
    cluster.wait_for_members(cluster.size(), WHOLE_MAX)?;
    cluster.wait("shards on every node", WHOLE_MAX, |cluster| {
        let nodes = cluster.status(cluster.any()?)?.nodes;
        ensure!(nodes.iter().all(|node| node.shards_owned > 0), "{nodes:?}");
        Ok(())
    })?;
    cluster.wait_until_served(WHOLE_MAX)
}

#[test]
fn a_node_that_is_cut_off_costs_the_clients_of_the_others_no_call() {
    befall(Victim::Follower, &[Sickness::CutOff, Sickness::Mute, Sickness::Deaf]);
}

#[test]
fn a_leader_that_is_cut_off_costs_the_clients_of_the_others_no_call() {
    befall(Victim::Leader, &[Sickness::CutOff]);
}

#[test]
fn a_network_that_is_not_whole_costs_the_clients_of_the_leader_no_call() {
    befall(Victim::Follower, &[Sickness::TwoApart, Sickness::Loss]);
}

#[test]
fn a_node_whose_fdatasync_fails_ends_and_its_calls_are_only_late() {
    befall(Victim::Follower, &[Sickness::FailedSync]);
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_of_all_nodes() {
    befall(Victim::Follower, &[Sickness::PowerCut]);
}

#[test]
fn a_node_whose_files_were_damaged_comes_back_and_costs_no_call() {
    // What else can be lost of a node's files has tests of its own, of how it is made anew.
    let wounds = [Wound::TornTail, Wound::CutShort, Wound::Garbage, Wound::BitInState];
    befall(Victim::Follower, &wounds.map(Sickness::Wounded));
}
