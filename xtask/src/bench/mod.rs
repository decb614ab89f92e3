//! `cargo xtask bench`: the measurements that the promises are held against.

mod client;
mod connection;
mod failover;
mod figures;
mod moving;
mod moving_load;
mod neighbours;
mod placement;
mod probe;
mod requests;
mod rolling;
mod scale;
mod state;

use anyhow::Result;
use clap::{Args, Subcommand};
use shardloom_harness::cluster::Cluster;
use shardloom_harness::{Options, artefacts};

use crate::{guests, step, wasm_target};

/// The guest that is called, and the name it is deployed under.
const WORKLOAD: &str = "word-count";

/// Measure.
#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Key to shard, shard to node, plans and map encoding, each beside a plain reference.
    Seed,
    Failover(failover::Failover),
    Rolling(rolling::Rolling),
    Requests(requests::Requests),
    Neighbours(neighbours::Neighbours),
    State(state::State),
    Client(client::ClientBench),
    Scale(scale::Scale),
    Move(moving::Move),
    Placement(placement::Placement),
    /// Fifty nodes and ten thousand shards in one process: the first map, the death of a node, memory.
    Fifty,
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        match self.what {
            What::Seed => step::cargo(["bench", "--locked", "--package", "shardloom-sharding"]).run(),
            What::Failover(failover) => failover.run(),
            What::Rolling(rolling) => rolling.run(),
            What::Requests(requests) => requests.run(),
            What::Neighbours(neighbours) => neighbours.run(),
            What::State(state) => state.run(),
            What::Client(client) => client.run(),
            What::Scale(scale) => scale.run(),
            What::Move(moving) => moving.run(),
            What::Placement(placement) => placement.run(),
            What::Fifty => {
                step::cargo(["bench", "--locked", "--package", "shardloom-cluster", "--bench", "fifty"]).run()
            }
        }
    }
}

/// Has the guests, and the release build of the binary, ready.
fn prepare() -> Result<()> {
    guests::build_rust(&wasm_target::ensure()?)?;
    if std::env::var_os("SHARDLOOM_BIN").is_none() {
        artefacts::use_binary(step::build_binary(true)?);
    }
    Ok(())
}

/// Three nodes of the release build with a workload on them.
fn cluster(shards: u32) -> Result<Cluster> {
    prepare()?;
    let cluster = Cluster::start_with(Options { shards, ..Options::of(3)? })?;
    cluster.deploy(WORKLOAD, WORKLOAD, &[])?;
    Ok(cluster)
}
