//! Where the binary and the guests are; the binary is brought up to date first, so that no test runs an old one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

static BINARY: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();

/// The binary `shardloom`: `SHARDLOOM_BIN`, else the one beside this program, freshly built.
///
/// # Errors
/// If it cannot be built.
pub fn binary() -> Result<PathBuf> {
    let found = BINARY.get_or_init(|| match std::env::var_os("SHARDLOOM_BIN") {
        Some(path) => Ok(path.into()),
        None => build().map_err(|error| format!("{error:#}")),
    });
    found.clone().map_err(anyhow::Error::msg)
}

/// Makes this process use that binary. Has an effect only before the first [`binary`].
pub fn use_binary(path: PathBuf) {
    let _ = BINARY.set(Ok(path));
}

/// A guest's component: in `SHARDLOOM_GUESTS`, else in `target/guests`.
///
/// # Errors
/// If it has not been built.
pub fn guest(name: &str) -> Result<PathBuf> {
    let directory = match std::env::var_os("SHARDLOOM_GUESTS") {
        Some(path) => PathBuf::from(path),
        None => workspace().join("target").join("guests"),
    };
    let path = directory.join(format!("{name}.wasm"));
    if !path.exists() {
        bail!("{} is missing: run `cargo xtask guests`", path.display());
    }
    Ok(path)
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

fn build() -> Result<PathBuf> {
    let directory = profile_directory()?;
    let target = directory.parent().context("this program is in no target directory")?;

    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace()).args(["build", "--quiet", "--locked", "--package", "shardloom"]);
    cargo.arg("--target-dir").arg(target);
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().context("cargo cannot be started")?;
    if !status.success() {
        bail!("the binary `shardloom` does not build: {status}");
    }
    Ok(directory.join("shardloom"))
}

/// The directory `target/PROFILE` that this program was built into.
///
/// # Errors
/// If it lies elsewhere.
pub fn profile_directory() -> Result<PathBuf> {
    // This program is target/PROFILE/deps/NAME or target/PROFILE/NAME.
    let program = std::env::current_exe()?;
    let directory = program.ancestors().skip(1).find(|one| !one.ends_with("deps"));
    Ok(directory.context("this program is in no directory")?.to_owned())
}
