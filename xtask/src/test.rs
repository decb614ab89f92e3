//! `cargo xtask test`: builds the guests and the binary, and runs every test.

use anyhow::Result;
use clap::Args;

use crate::{guests, step, wasm_target};

/// Build the guests and run every test.
#[derive(Args)]
pub(crate) struct Test {
    /// Passed on to `cargo test`, in place of --workspace.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Test {
    pub(crate) fn run(self) -> Result<()> {
        guests::build_all(&wasm_target::ensure()?)?;
        let binary = step::build_binary(false)?;
        let mut arguments: Vec<String> = ["test", "--locked"].map(str::to_owned).into();
        if self.arguments.is_empty() {
            arguments.push("--workspace".to_owned());
        }
        arguments.extend(self.arguments);
        step::cargo(arguments).env("SHARDLOOM_BIN", binary).run()
    }
}
