//! Runs many seeds of the cluster simulation, one seed with its trace, or the model.

use anyhow::Result;
use clap::Parser;
use shardloom_sharding::protocol::rules::Rule;
use shardloom_simulation::rules::Without;
use shardloom_simulation::{cluster, model};

/// How long a random walk is: every proposal, write and crash of a world has long happened by then.
const WALK_STEPS_MAX: usize = 200;

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
    /// Leaves a rule of the protocol out, by its name.
    #[arg(long)]
    without: Option<String>,
    /// Lets only a part of everything go wrong: `laggards` or `disks`.
    #[arg(long)]
    mix: Option<String>,
    /// Searches the small worlds instead.
    #[arg(long)]
    model: bool,
    /// Searches this world only.
    #[arg(long)]
    world: Option<String>,
    /// Walks so many times at random through each world instead of searching it.
    #[arg(long)]
    walks: Option<usize>,
    /// The most states of one world.
    #[arg(long, default_value_t = 20_000_000)]
    states: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let named = |rule: &Rule| Some(format!("{rule:?}")) == arguments.without;
    let rules = Without(Rule::ALL.into_iter().find(named));
    if arguments.without.is_some() && rules.0.is_none() {
        anyhow::bail!("no such rule; there are {:?}", Rule::ALL);
    }
    if arguments.model {
        return search_worlds(&arguments, rules);
    }
    if let Some(seed) = arguments.seed {
        match cluster::run(rules, seed, true) {
            Ok(outcome) => println!("seed {seed}: {outcome:?}"),
            Err(violation) => {
                println!("seed {seed}: {}", violation.0);
                std::process::exit(1);
            }
        }
        return Ok(());
    }
    let mut slowest = 0;
    let mut replies = (0, 0);
    for seed in arguments.start..arguments.start + arguments.seeds {
        let result = match arguments.mix.as_deref() {
            Some("laggards") => cluster::run_mix(rules, cluster::Mix::Laggards, seed),
            Some("disks") => cluster::run_mix(rules, cluster::Mix::Disks, seed),
            _ => cluster::run(rules, seed, false),
        };
        match result {
            Ok(outcome) => {
                slowest = slowest.max(outcome.recovered_ms);
                replies = (replies.0 + outcome.replies.0, replies.1 + outcome.replies.1);
            }
            Err(violation) => {
                println!("seed {seed}: {}\nreplay it with --seed {seed}", violation.0);
                std::process::exit(1);
            }
        }
    }
    println!(
        "{} seeds, no violation; {} writes and {} reads were answered; at worst all shards were served {slowest} ms after the last fault",
        arguments.seeds, replies.0, replies.1
    );
    Ok(())
}

fn search_worlds(arguments: &Arguments, rules: Without) -> Result<()> {
    let wanted = |name: &str| arguments.world.as_ref().is_none_or(|world| world == name);
    for shape in model::shapes().into_iter().filter(|shape| wanted(shape.name)) {
        let start = std::time::Instant::now();
        let finding = match arguments.walks {
            Some(walks) => model::walk(&shape, rules, arguments.start, walks, WALK_STEPS_MAX),
            None => model::search(&shape, rules, arguments.states),
        };
        let extent = if finding.whole { "all" } else { "the first" };
        println!(
            "{}: {extent} {} states, {} steps deep, {:.1} s",
            shape.name,
            finding.states,
            finding.depth,
            start.elapsed().as_secs_f32()
        );
        if let Some((wrong, steps)) = finding.violation {
            println!("{wrong}\n  {}", steps.join("\n  "));
            std::process::exit(1);
        }
    }
    Ok(())
}
