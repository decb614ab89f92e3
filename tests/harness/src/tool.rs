//! Programs of the system that make networks and file systems.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Runs a program of the system, and returns what it printed.
///
/// # Errors
/// If it is not there, or ends with another code than 0; what it said is in the error.
pub fn run(program: &str, words: &[&str]) -> Result<String> {
    run_with(program, words, "")
}

/// Runs a program of the system with this input.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_with(program: &str, words: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("`{program}` cannot be started"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).with_context(|| format!("the input of `{program}`"))?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{program} {}` ended with {}: {}", words.join(" "), output.status, said.trim());
    }
    let said = String::from_utf8(output.stdout);
    ensure!(said.is_ok(), "`{program}` printed something that is not UTF-8");
    Ok(said.unwrap_or_default())
}
