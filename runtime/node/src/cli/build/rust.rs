//! Rust: cargo makes a component, for the target that this machine's toolchain has.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::tool::{tool, works};

/// Targets that come out as components, the better one first: the first has a standard library that prints.
const TARGETS: [&str; 2] = ["wasm32-wasip2", "wasm32-unknown-unknown"];

/// What of cargo's messages says where the component is.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

pub(super) fn build(directory: &Path, out: &Path) -> anyhow::Result<()> {
    if !works(tool("cargo", directory).arg("--version")) {
        bail!(
            "cargo is not there: install Rust by rustup (https://rustup.rs): `curl -sSf https://sh.rustup.rs | sh`"
        );
    }
    let Some(target) = TARGETS.into_iter().find(|target| has_std(directory, target)) else {
        bail!("Rust has no WebAssembly target here: `rustup target add {}`", TARGETS[0]);
    };
    let mut cargo = tool("cargo", directory);
    cargo.args(["build", "--release", "--message-format=json-render-diagnostics", "--target", target]);
    // The stack comes first in memory, so that overrunning it traps; guests need little of it.
    let mut flags = vec!["-Clink-arg=-zstack-size=65536".to_owned()];
    if target == TARGETS[1] {
        flags.extend(component_linker(directory)?);
    }
    cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    let done = cargo.stderr(Stdio::inherit()).output().context("starting cargo")?;
    if !done.status.success() {
        bail!("cargo ended with {}", done.status);
    }
    let messages = String::from_utf8_lossy(&done.stdout);
    let artefacts = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let mut files = artefacts.filter(|one| one.reason == "compiler-artifact").flat_map(|one| one.filenames);
    // Cargo names the package's own artefact last.
    let component = files.rfind(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    let component = component
        .context("cargo made no component: Cargo.toml needs crate-type = [\"cdylib\"] under [lib]")?;
    std::fs::copy(&component, out).with_context(|| out.display().to_string())?;
    Ok(())
}

fn has_std(directory: &Path, target: &str) -> bool {
    let Some(place) =
        printed(tool("rustc", directory).args(["--print", "target-libdir", "--target", target]))
    else {
        return false;
    };
    let Ok(entries) = std::fs::read_dir(place) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

/// The linker that makes components, which comes with the compiler but is not that target's own.
fn component_linker(directory: &Path) -> anyhow::Result<[String; 2]> {
    let sysroot =
        printed(tool("rustc", directory).args(["--print", "sysroot"])).context("rustc has no sysroot")?;
    let host =
        printed(tool("rustc", directory).args(["--print", "host-tuple"])).context("rustc has no host")?;
    let linkers = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin");
    let linker = linkers.join("wasm-component-ld");
    if !linker.exists() {
        bail!("{} is not there: `rustup target add {}`", linker.display(), TARGETS[0]);
    }
    Ok([
        format!("-Clinker={}", linker.display()),
        format!("-Clink-arg=--wasm-ld-path={}", linkers.join("gcc-ld/wasm-ld").display()),
    ])
}

fn printed(command: &mut Command) -> Option<String> {
    let done = command.output().ok().filter(|done| done.status.success())?;
    Some(String::from_utf8(done.stdout).ok()?.trim().to_owned())
}
