//! Nodes that do not hear each other, in network namespaces; skipped where the machine offers none.

use anyhow::{Context, Result, ensure};
use shardloom_harness::load::Load;
use shardloom_harness::means::Means;
use shardloom_harness::namespaces::Cut;
use shardloom_harness::network::Network;
use shardloom_harness::{Cluster, Options, cluster};

use crate::failing::{HEAL_MAX, follower};
use crate::under_load::{deploy, during, others, some};

/// How much is lost on a bad network.
const LOSS_PERCENT: u8 = 10;

fn check(test: impl FnOnce(&mut Cluster) -> Result<()>) {
    if Means::offered(&[Means::Namespaces]) {
        let options = Network::namespaces().and_then(|network| Ok(Options { network, ..Options::of(3)? }));
        cluster::check(options, |cluster| {
            deploy(cluster)?;
            test(cluster)
        });
    }
}

/// Makes these cuts until the others own all shards and some calls are answered through them: none of these may fail. Clients of all nodes,
/// the victim too, may see calls fail, but no old value.
fn cut_off(cluster: &mut Cluster, victim: usize, name: &str, cuts: &[Cut]) -> Result<()> {
    let (id, survivors) = (cluster.id_of(victim)?, others(cluster, victim));
    let urls = (0..cluster.size()).map(|index| cluster.url(index, "")).collect();
    let everywhere = format!("{name}, through all nodes");
    let load = Load::new("counter", urls, 2, &everywhere);
    let (through_survivors, through_all) = load.during(|| {
        during(cluster, name, &survivors, |cluster, load| {
            cluster.network().wires()?.cut(cuts)?;
            cluster.wait("new owners", HEAL_MAX, |cluster| left_as_seen_by(cluster, survivors[0], &id))?;
            some(load)?;
            cluster.network().wires()?.mend().map(drop)
        })
    })?;
    through_all.contradictions().context(everywhere)?;
    through_survivors.verdict().with_context(|| name.to_owned())
}

fn left_as_seen_by(cluster: &Cluster, node: usize, victim: &str) -> Result<()> {
    for shard in cluster.shards(node)? {
        let moved = shard.owner.as_deref().is_some_and(|owner| owner != victim);
        ensure!(moved && shard.state == "served", "{shard:?}");
    }
    Ok(())
}

#[test]
fn a_node_that_is_cut_off_costs_the_clients_of_the_others_no_call() {
    check(|cluster| {
        let victim = follower(cluster)?;
        let cuts: Vec<Cut> =
            others(cluster, victim).into_iter().flat_map(|other| Cut::between(victim, other)).collect();
        cut_off(cluster, victim, "cut off", &cuts)
    });
}

#[test]
fn a_leader_that_is_cut_off_costs_the_clients_of_the_others_no_call() {
    check(|cluster| {
        let victim = cluster.leader()?;
        let cuts: Vec<Cut> =
            others(cluster, victim).into_iter().flat_map(|other| Cut::between(victim, other)).collect();
        cut_off(cluster, victim, "leader cut off", &cuts)
    });
}

#[test]
fn a_node_that_is_deaf_or_mute_costs_the_clients_of_the_others_no_call() {
    check(|cluster| {
        let victim = follower(cluster)?;
        let others = others(cluster, victim);
        let mute: Vec<Cut> = others.iter().map(|to| Cut::Way { from: victim, to: *to }).collect();
        cut_off(cluster, victim, "mute", &mute)?;
        let deaf: Vec<Cut> = others.iter().map(|from| Cut::Way { from: *from, to: victim }).collect();
        cut_off(cluster, victim, "deaf", &deaf)
    });
}

#[test]
fn two_owners_that_do_not_hear_each_other_lose_nothing_and_the_leader_answers_for_all() {
    check(|cluster| {
        let leader = cluster.leader()?;
        let [one, other] = others(cluster, leader)[..] else { unreachable!("there are three nodes") };
        let tally = during(cluster, "two apart", &[leader], |cluster, load| {
            cluster.network().wires()?.cut(&Cut::between(one, other))?;
            some(load)?;
            some(load)?;
            cluster.network().wires()?.mend().map(drop)
        })?;
        tally.verdict()
    });
}

#[test]
fn a_network_that_loses_every_tenth_packet_costs_no_call() {
    check(|cluster| {
        let all: Vec<usize> = (0..cluster.size()).collect();
        let loss: Vec<Cut> = all.iter().map(|to| Cut::Loss { to: *to, percent: LOSS_PERCENT }).collect();
        let tally = during(cluster, "every tenth packet lost", &all, |cluster, load| {
            cluster.network().wires()?.cut(&loss)?;
            some(load)?;
            some(load)?;
            cluster.network().wires()?.mend().map(drop)
        })?;
        tally.verdict()
    });
}
