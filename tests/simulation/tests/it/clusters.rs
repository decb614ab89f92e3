//! Whole clusters keep every promise on seeded schedules, and come back when the faults end.

use std::time::{Duration, Instant};

use shardloom_simulation::cluster::{Mix, run, run_mix};
use shardloom_simulation::rules::Without;

/// How long seeds are run in an ordinary test run, unless all of [`SEEDS_MAX`] are done before.
const BUDGET: Duration = Duration::from_secs(60);

/// The most seeds; `simulate --seeds` runs more.
const SEEDS_MAX: u64 = 3000;

#[test]
fn clusters_keep_every_promise_and_come_back() {
    let start = Instant::now();
    let (mut seeds, mut slowest, mut replies) = (0, 0, 0);
    for seed in 1..=SEEDS_MAX {
        let outcome = run(Without(None), seed, false).unwrap_or_else(|violation| {
            panic!("seed {seed}: {}; cargo xtask simulate --seed {seed}", violation.0)
        });
        seeds = seed;
        slowest = slowest.max(outcome.recovered_ms);
        replies += outcome.replies.0 + outcome.replies.1;
        if start.elapsed() > BUDGET {
            break;
        }
    }
    println!("{seeds} seeds, {replies} replies; all shards were served again within {slowest} ms");
    assert!(seeds >= 100, "only {seeds} seeds in {BUDGET:?}");
}

#[test]
fn laggards_and_lost_disks_break_no_promise() {
    for mix in [Mix::Laggards, Mix::Disks] {
        for seed in 1..=200 {
            let outcome = run_mix(Without(None), mix, seed);
            assert!(outcome.is_ok(), "{mix:?}, seed {seed}: {outcome:?}");
        }
    }
}
