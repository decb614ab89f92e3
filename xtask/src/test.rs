//! `cargo xtask test`: builds the guests and the binary, and runs every test.

use anyhow::Result;
use clap::Args;
use shardloom_harness::artefacts;

use crate::{guests, step, wasm_target};

/// The guest SDK and what it is checked with: no part of the workspace, since whoever writes a guest copies them.
pub(crate) const SDK_MANIFESTS: [&str; 2] = ["sdk/rust/Cargo.toml", "sdk/rust/conformance/Cargo.toml"];

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
        let whole = self.arguments.is_empty();
        let mut arguments: Vec<String> = ["test", "--locked"].map(str::to_owned).into();
        if whole {
            arguments.push("--workspace".to_owned());
        }
        arguments.extend(self.arguments);
        let binary = if whole {
            // Building all tests builds the binary too. Alone it would be built with other features of its dependencies, hence again.
            step::cargo(arguments.iter().map(String::as_str).chain(["--no-run"])).run()?;
            artefacts::profile_directory()?.join("shardloom")
        } else {
            step::build_binary(false)?
        };
        step::cargo(arguments).env("SHARDLOOM_BIN", binary).run()?;
        if whole {
            for manifest in SDK_MANIFESTS {
                step::cargo(["test", "--locked", "--manifest-path", manifest]).run()?;
            }
        }
        Ok(())
    }
}
