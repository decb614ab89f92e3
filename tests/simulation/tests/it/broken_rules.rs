//! Each rule that is left out is missed: the table says where a violation is found.

use shardloom_sharding::protocol::rules::Rule;
use shardloom_simulation::cluster::{Mix, Violation, run, run_mix};
use shardloom_simulation::model::{Shape, search, search_after, shapes, walk};
use shardloom_simulation::rules::Without;

/// Where the violation is found.
enum Catch {
    /// By searching this world.
    Search(&'static str),
    /// By random walks through this world.
    Walk(&'static str),
    /// By searching this world after these steps, where the way is too long to be found from the start.
    After(&'static str, &'static [&'static str]),
    /// By the simulation of a cluster with all faults, within the seeds that are tried: which one depends on the planner, too.
    Seeds,
    /// The same, with this mix of faults.
    Cluster(Mix),
}

use Catch::{After, Cluster, Search, Seeds, Walk};

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
    (Rule::StampBeforePosition, Seeds),
    (Rule::ServeAfterCommit, Walk("new replicas and back")),
    (Rule::GrantAfterApply, Search("move")),
    (Rule::WaitForLease, Search("move")),
    (Rule::ReplyWithLease, Search("move")),
    (Rule::ReplyUnsealed, Search("move")),
    (
        Rule::Barrier,
        After(
            "three in order",
            &[
                // A write that only its owner has, which the next owner does not see.
                "Write(1, 1)",
                "Sync(1)",
                "Propose(1)",
                "Apply(2)",
                "Apply(3)",
                "Recover(2)",
                "Commit(3)",
                "Apply(2)",
                // A write that only the second owner has; the third finds the first write again.
                "Write(2, 2)",
                "Sync(2)",
                "Propose(2)",
                "Apply(1)",
                "Apply(1)",
                "Apply(3)",
            ],
        ),
    ),
    (
        Rule::AcceptNothingAbove,
        After(
            "two in order",
            &[
                "Write(1, 1)",
                "Crash(1, 0",
                "Propose(1)",
                "Apply(1)",
                "Apply(2)",
                "Recover(2)",
                "Deliver(Append { to: 3, from: 2",
                "Sync(2)",
                "Deliver(Matched { to: 2, from: 3",
                "Commit(3)",
                "Apply(2)",
                "Write(2, 2)",
                "Deliver(Append { to: 3, from: 2, epoch: 3, previous: Tail { stamp: 3",
                "Sync(2)",
                "Deliver(Matched { to: 2, from: 3, epoch: 3, position: 3",
            ],
        ),
    ),
    (Rule::SnapshotAtomic, Seeds),
    (
        Rule::AckMatched,
        After(
            "probes",
            &[
                "Write(1, 1)",
                "Write(1, 2)",
                "Sync(1)",
                "Propose(1)",
                "Apply(2)",
                "Apply(3)",
                "Recover(2)",
                "Apply(1)",
                "Deliver(Append { to: 3, from: 2",
                "Deliver(Matched { to: 2, from: 3",
                "Sync(2)",
                "Commit(3)",
                "Apply(2)",
                "Probe(2, 1, 1)",
            ],
        ),
    ),
    (Rule::GrantWithQuorum, Seeds),
    (Rule::WaitAfterElection, Cluster(Mix::Laggards)),
    (Rule::TailsOfSameDisk, Cluster(Mix::Disks)),
    (Rule::CopyFromSameDisk, Cluster(Mix::Disks)),
];

/// More states and walks than any of the table needs.
const STATES_MAX: usize = 400_000;
const WALKS_MAX: usize = 20_000;
const SEEDS_MAX: u64 = 8_000;

fn shape(name: &str) -> Shape {
    shapes().into_iter().find(|shape| shape.name == name).expect("the table names worlds that there are")
}

fn first_seed<T>(run: impl Fn(u64) -> Result<T, Violation>) -> Option<String> {
    (1..=SEEDS_MAX).find_map(|seed| run(seed).err().map(|violation| format!("seed {seed}: {}", violation.0)))
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
            After(name, script) => {
                let finding = search_after(&shape(name), without, script, STATES_MAX);
                let (steps, states) = (script.len(), finding.states);
                finding
                    .violation
                    .map(|(wrong, _)| format!("{name}, {steps} steps and {states} states: {wrong}"))
            }
            Seeds => first_seed(|seed| run(without, seed, false)),
            Cluster(mix) => first_seed(|seed| run_mix(without, *mix, seed)),
        };
        match found {
            Some(found) => println!("{rule:?}: {found}"),
            None => quiet.push(*rule),
        }
    }
    assert_eq!(quiet, [], "left out, and nothing noticed");
    let elsewhere = [Rule::CommitInItsTerm];
    let shown = |rule: &Rule| TABLE.iter().any(|(shown, _)| shown == rule) || elsewhere.contains(rule);
    assert!(Rule::ALL.iter().all(shown), "every rule is shown somewhere");
}
