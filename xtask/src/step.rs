//! One program run as a step: announced, timed, and an error if it fails.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use shardloom_harness::artefacts;

/// A program to run in the root of the repository.
pub(crate) struct Step {
    command: Command,
    shown: String,
}

/// Cargo, the one that runs this program.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Step {
    let mut step = program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments);
    step.shown = step.shown.replacen(&cargo_shown(), "cargo", 1);
    step
}

/// Any program.
pub(crate) fn program<S: AsRef<OsStr>>(
    name: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Step {
    let mut command = Command::new(&name);
    command.args(arguments).current_dir(artefacts::workspace()).stdin(Stdio::null());
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    Step { command, shown }
}

fn cargo_shown() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

impl Step {
    /// Sets a variable for the program.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it with its output shown.
    ///
    /// # Errors
    /// If it cannot be started, or ends with another code than 0.
    pub(crate) fn run(mut self) -> Result<()> {
        eprintln!("==> {}", self.shown);
        let begun = Instant::now();
        let status = self.command.status().with_context(|| self.shown.clone())?;
        if !status.success() {
            bail!("`{}` failed: {status}", self.shown);
        }
        eprintln!("    done in {:.1} s", begun.elapsed().as_secs_f32());
        Ok(())
    }

    /// Whether it can be run and ends with 0; its output is not shown.
    pub(crate) fn succeeds(mut self) -> bool {
        let status = self.command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }
}

/// Builds the binary `shardloom` in the same profile as this program (or for release), and returns it.
///
/// # Errors
/// If it does not build.
pub(crate) fn build_binary(release: bool) -> Result<PathBuf> {
    let profile = artefacts::profile_directory()?;
    let target = profile.parent().context("this program is in no target directory")?;
    let mut arguments: Vec<&OsStr> =
        ["build", "--locked", "--package", "shardloom", "--target-dir"].map(OsStr::new).into();
    arguments.push(target.as_os_str());
    if release {
        arguments.push(OsStr::new("--release"));
    }
    cargo(arguments).run()?;
    Ok(target.join(if release { "release" } else { "debug" }).join("shardloom"))
}
