//! `cargo xtask test`: builds the guests and the binary, and runs every test.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;
use shardloom_harness::artefacts;

use crate::{conformance, guests, step, wasm_target};

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
        let toolchain = wasm_target::ensure()?;
        guests::build_all(&toolchain)?;
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
        let mut tests = step::cargo(arguments).env("SHARDLOOM_BIN", &binary);
        if whole {
            tests = tests.env("SHARDLOOM_LEVEL_1_BIN", older_binary()?);
        }
        tests.run()?;
        if whole {
            artefacts::use_binary(binary);
            conformance::hold_to_one_suite(&toolchain)?;
            for manifest in SDK_MANIFESTS {
                step::cargo(["test", "--locked", "--manifest-path", manifest]).run()?;
            }
            scripts()?;
        }
        Ok(())
    }
}

/// The binary of an older build, beside the one that is tested.
fn older_binary() -> Result<PathBuf> {
    step::cargo(["build", "--locked"].into_iter().chain(artefacts::OLDER)).run()?;
    Ok(artefacts::profile_directory()?.join("shardloom-level-1"))
}

/// The tests of what is not Rust, as far as the machine has the languages: what is left out is said.
fn scripts() -> Result<()> {
    let sdk = wasm_target::repository().join("sdk");
    if wasm_target::succeeds(Command::new("python3").arg("--version")) {
        for directory in ["python", "client-python"] {
            let mut tests = Command::new("python3");
            tests.current_dir(sdk.join(directory)).args(["-m", "unittest", "discover", "--quiet", "tests"]);
            wasm_target::run(tests.env("PYTHONDONTWRITEBYTECODE", "1"))?;
        }
        let mut tests = Command::new("python3");
        tests.current_dir(wasm_target::repository().join("examples/leaderboard"));
        tests.args(["-m", "unittest", "--quiet"]).env("PYTHONPATH", sdk.join("python"));
        wasm_target::run(tests.env("PYTHONDONTWRITEBYTECODE", "1"))?;
    } else {
        eprintln!("the tests in Python are left out: python3 is not here");
    }
    if wasm_target::succeeds(Command::new("npm").arg("--version")) {
        for directory in ["javascript", "client-javascript"] {
            let mut tests = Command::new("npm");
            wasm_target::run(tests.current_dir(sdk.join(directory)).args(["test", "--silent"]))?;
        }
        let mut tests = Command::new("npm");
        tests.current_dir(wasm_target::repository().join("examples/session-store"));
        wasm_target::run(tests.args(["test", "--silent"]))?;
    } else {
        eprintln!("the tests in JavaScript are left out: npm is not here");
    }
    Ok(())
}
