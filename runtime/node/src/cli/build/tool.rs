//! Programs of others that build components.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// A command in a project's directory, by this program.
pub(super) fn tool(program: impl AsRef<std::ffi::OsStr>, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).stdin(Stdio::null());
    command
}

/// Whether a command can be run and ends well; what it says is nobody's concern.
pub(super) fn works(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs a command; what it prints goes to standard error, so that standard output is ours.
///
/// # Errors
/// If it does not end well.
pub(super) fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdout(std::io::stderr()).status().with_context(|| format!("starting {program}"))?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    Ok(())
}
