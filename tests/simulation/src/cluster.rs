//! Whole clusters of node and leader cores, on seeded schedules of everything that may happen to them.

mod client;
mod control_log;
mod disk;
mod faults;
mod node;
mod oracle;
mod queue;
mod raft;
mod shell;
mod world;

pub use oracle::Violation;
pub use world::World;

use crate::random::Random;
use crate::rules::Without;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Everything.
    All,
    /// Elections, moves, and nodes that apply late.
    Laggards,
    /// Crashes, and disks that are lost.
    Disks,
}

/// The shape of a run.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The rules in force.
    pub rules: Without,
    /// What goes wrong.
    pub mix: Mix,
    /// How many nodes there are at the start; all of them vote.
    pub nodes: u64,
    /// How many shards.
    pub shards: u32,
    /// How many replicas of each.
    pub replicas: u8,
    /// How many messages of a thousand are lost.
    pub loss_permille: u64,
    /// How often something goes wrong, on average, in ms.
    pub fault_every_ms: u64,
    /// How often a client calls, on average, in ms.
    pub call_every_ms: u64,
    /// For how long things go wrong, in ms.
    pub storm_ms: u64,
    /// How long it may take afterwards until all shards are served, in ms.
    pub recovery_ms: u64,
}

impl Setup {
    /// A shape that a seed chooses.
    pub fn of_seed(rules: Without, seed: u64) -> Setup {
        let mut random = Random::new(seed.wrapping_mul(0x9E37_79B9) ^ 0x5E7);
        let nodes = random.range(3, 5);
        Setup {
            rules,
            mix: Mix::All,
            nodes,
            shards: random.range(1, 8) as u32,
            replicas: *random.pick(&[3, 3, 3, 3, 2, 1, 5]).min(&(nodes as u8)),
            loss_permille: *random.pick(&[0, 10, 50]),
            fault_every_ms: *random.pick(&[200, 500, 1000]),
            call_every_ms: *random.pick(&[3, 10]),
            storm_ms: random.range(6_000, 15_000),
            recovery_ms: 30_000,
        }
    }
}

/// What came of a run without a violation.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// How long it took after the last fault until all shards were served, in ms.
    pub recovered_ms: u64,
    /// How many events there were.
    pub events: u64,
    /// How many replies to writes and reads the oracle has seen.
    pub replies: (u64, u64),
}

/// Runs one seed with a mix of its own.
///
/// # Errors
/// A [`Violation`] of a promise.
pub fn run_mix(rules: Without, mix: Mix, seed: u64) -> Result<Outcome, Violation> {
    let setup = Setup { mix, fault_every_ms: 150, replicas: 3, ..Setup::of_seed(rules, seed) };
    World::new(setup, seed, false).run()
}

/// Runs one seed.
///
/// # Errors
/// A [`Violation`] of a promise.
pub fn run(rules: Without, seed: u64, trace: bool) -> Result<Outcome, Violation> {
    World::new(Setup::of_seed(rules, seed), seed, trace).run()
}
