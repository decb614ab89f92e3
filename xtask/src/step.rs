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
    let mut command = artefacts::cargo();
    command.args(arguments);
    Step::new(command, "cargo")
}

/// Any program.
pub(crate) fn program<S: AsRef<OsStr>>(
    name: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Step {
    let mut command = Command::new(&name);
    command.args(arguments).current_dir(artefacts::workspace());
    Step::new(command, &name.as_ref().to_string_lossy())
}

impl Step {
    fn new(mut command: Command, name: &str) -> Self {
        command.stdin(Stdio::null());
        let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
        let shown = std::iter::once(name.to_owned()).chain(words).collect::<Vec<_>>().join(" ");
        Self { command, shown }
    }

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
