//! `cargo xtask bench`: the measurements that the promises are held against.

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::step;

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
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        match self.what {
            What::Seed => step::cargo(["bench", "--locked", "--package", "shardloom-sharding"]).run(),
        }
    }
}
