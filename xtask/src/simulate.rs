//! `cargo xtask simulate`: thousands of seeded schedules of the protocol, and the long model check.

use anyhow::Result;
use clap::Args;

use crate::step;

/// Run the protocol against seeded schedules of loss, crashes and pauses (arguments go to the simulator).
#[derive(Args)]
pub(crate) struct Simulate {
    /// Such as --seeds 1000, --seed 42, --model
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Simulate {
    pub(crate) fn run(self) -> Result<()> {
        let base =
            ["run", "--release", "--locked", "--package", "shardloom-simulation", "--bin", "simulate", "--"];
        let arguments = base.map(str::to_owned).into_iter().chain(self.arguments);
        step::cargo(arguments).run()
    }
}
