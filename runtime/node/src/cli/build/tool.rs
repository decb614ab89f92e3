//! Programs of others that build components.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// How Python comes onto a machine that has none.
pub(super) const PYTHON: &str = "Python 3.10 or later, with pip and venv (Debian, Ubuntu: `apt-get install python3-venv`; else https://www.python.org/downloads)";

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

/// The command that puts a package of PyPI where a project's build finds it, and nothing else does.
pub(super) fn pip_install(directory: &Path, package: &str) -> String {
    let venv = directory.join(".venv");
    format!("python3 -m venv {0} && {0}/bin/pip install {package}", venv.display())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_installed_where_the_build_looks_from_wherever_it_is_called() {
        let command = pip_install(Path::new("apps/greeter"), "it==1");
        assert_eq!(command, "python3 -m venv apps/greeter/.venv && apps/greeter/.venv/bin/pip install it==1");
    }
}
