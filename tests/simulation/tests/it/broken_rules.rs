//! Each rule that is left out is missed: the table says where a violation is found.

use shardloom_sharding::protocol::rules::Rule;
use shardloom_simulation::cluster::{Mix, run_mix};
use shardloom_simulation::model::{Shape, search, shapes, walk};
use shardloom_simulation::rules::Without;

/// Where the violation is found.
enum Catch {
    /// By searching this world.
    Search(&'static str),
    /// By random walks through this world.
    Walk(&'static str),
    /// By the simulation of a cluster, with this mix and seed.
    Cluster(Mix, u64),
}

use Catch::{Cluster, Search, Walk};

const TABLE: &[(Rule, Catch)] = &[
    (Rule::BuildOnCommitted, Search("two replicas")),
    (Rule::CommitPendingOnly, Walk("no log to go by")),
    (Rule::EpochOfOneBoot, Search("move, crash")),
    (Rule::RecoverOnce, Walk("given up")),
    (Rule::AcceptNothingBelow, Search("move")),
    (Rule::SealInQueue, Search("move, late disks")),
    (Rule::SealDurable, Search("move, late disks, crash")),
    (Rule::SealOutlivesLog, Walk("everything")),
    (Rule::LogOutlivesRestart, Search("move, old control state")),
    (Rule::CutAtConflict, Search("move")),
    (Rule::AckDurable, Search("move, late disks, crash")),
    (Rule::SnapshotKeepsSuffix, Walk("snapshots, two writes")),
    (Rule::TailsOfCommitted, Search("new replicas")),
    (Rule::SealQuorum, Search("move")),
    (Rule::StampBeforePosition, Walk("three in order")),
    (Rule::ServeAfterCommit, Walk("new replicas and back")),
    (Rule::GrantAfterApply, Search("move")),
    (Rule::WaitForLease, Search("move")),
    (Rule::ReplyWithLease, Search("move")),
    (Rule::ReplyUnsealed, Search("move")),
    (Rule::WaitAfterElection, Cluster(Mix::Laggards, 120)),
    (Rule::CopyFromSameDisk, Cluster(Mix::Disks, 670)),
];

/// More states and walks than any of the table needs.
const STATES_MAX: usize = 400_000;
const WALKS_MAX: usize = 20_000;

fn shape(name: &str) -> Shape {
    shapes().into_iter().find(|shape| shape.name == name).unwrap()
}

#[test]
fn every_rule_that_is_left_out_is_missed() {
    let mut quiet = Vec::new();
    for (rule, catch) in TABLE {
        let without = Without(Some(*rule));
        let found = match catch {
            Search(name) => {
                let finding = search(&shape(name), without, STATES_MAX);
                finding.violation.map(|(wrong, _)| format!("{name}, {} states: {wrong}", finding.states))
            }
            Walk(name) => {
                let finding = walk(&shape(name), without, 1, WALKS_MAX, 200);
                finding
                    .violation
                    .map(|(wrong, _)| format!("{name}, {} states walked: {wrong}", finding.states))
            }
            Cluster(mix, seed) => run_mix(without, *mix, *seed)
                .err()
                .map(|violation| format!("{mix:?}, seed {seed}: {}", violation.0)),
        };
        match found {
            Some(found) => println!("{rule:?}: {found}"),
            None => quiet.push(*rule),
        }
    }
    assert_eq!(quiet, [], "left out, and nothing noticed");
}
