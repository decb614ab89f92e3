//! Where the binary and the guests are; the binary is brought up to date first, so that no test runs an old one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

static BINARY: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
static OLDER_BINARY: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();

/// What is built of the workspace for the binary of level 1: it has a name of its own, so that no build takes the other's place.
pub const OLDER: [&str; 5] = ["--workspace", "--bin", "shardloom-level-1", "--features", "shardloom/level-1"];

/// The binary `shardloom`: `SHARDLOOM_BIN`, else the one beside this program, freshly built.
///
/// # Errors
/// If it cannot be built.
pub fn binary() -> Result<PathBuf> {
    let found = BINARY.get_or_init(|| match std::env::var_os("SHARDLOOM_BIN") {
        Some(path) => Ok(path.into()),
        None => build(&["--package", "shardloom"], "shardloom").map_err(|error| format!("{error:#}")),
    });
    found.clone().map_err(anyhow::Error::msg)
}

/// The binary of an older build, of formats level 1: `SHARDLOOM_LEVEL_1_BIN`, else the one beside this program, freshly built.
///
/// # Errors
/// If it cannot be built.
pub fn older_binary() -> Result<PathBuf> {
    let found = OLDER_BINARY.get_or_init(|| match std::env::var_os("SHARDLOOM_LEVEL_1_BIN") {
        Some(path) => Ok(path.into()),
        None => build(&OLDER, "shardloom-level-1").map_err(|error| format!("{error:#}")),
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

fn build(what: &[&str], name: &str) -> Result<PathBuf> {
    let directory = profile_directory()?;
    let target = directory.parent().context("this program is in no target directory")?;

    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--locked"]).args(what);
    cargo.arg("--target-dir").arg(target);
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().context("cargo cannot be started")?;
    if !status.success() {
        bail!("the binary `{name}` does not build: {status}");
    }
    Ok(directory.join(name))
}

/// Cargo in the root of the workspace, as if nobody had started this program by cargo.
///
/// Cargo tells its children about the package that they come from. Build scripts that look at these variables would see
/// a change, and everything above them would be built again, each time.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if told.iter().any(|start| text.starts_with(start)) {
            cargo.env_remove(&name);
        }
    }
    cargo.current_dir(workspace());
    cargo
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
