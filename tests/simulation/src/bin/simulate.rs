//! Runs many seeds of the cluster simulation, one seed with its trace, or the model.

use anyhow::{Result, bail};
use clap::Parser;
use shardloom_simulation::cluster;
use shardloom_simulation::rules::Without;

#[derive(Parser)]
#[command(about = "Runs whole clusters of protocol cores on seeded schedules and checks every promise.")]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// Runs this seed alone, with a trace.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        match cluster::run(Without(None), seed, true) {
            Ok(outcome) => println!("seed {seed}: {outcome:?}"),
            Err(violation) => bail!("seed {seed}: {}", violation.0),
        }
        return Ok(());
    }
    let mut slowest = 0;
    let mut replies = (0, 0);
    for seed in arguments.start..arguments.start + arguments.seeds {
        match cluster::run(Without(None), seed, false) {
            Ok(outcome) => {
                slowest = slowest.max(outcome.recovered_ms);
                replies = (replies.0 + outcome.replies.0, replies.1 + outcome.replies.1);
            }
            Err(violation) => bail!("seed {seed}: {}\nreplay it with --seed {seed}", violation.0),
        }
    }
    println!(
        "{} seeds, no violation; {} writes and {} reads were answered; at worst all shards were served {slowest} ms after the last fault",
        arguments.seeds, replies.0, replies.1
    );
    Ok(())
}
