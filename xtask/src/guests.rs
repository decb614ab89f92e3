//! Builds the guests, each to `target/guests/<name>.wasm`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::foreign_guest::FOREIGN_GUESTS;
use crate::made::Made;
use crate::wasm_target::{self, TARGET, Toolchain, repository, run};
use crate::{c_guest, javascript_guest, python_guest};

/// The guests in Rust: the members of the workspace in `guests/`.
const RUST_GUESTS: [&str; 21] = [
    "bank",
    "by-busy-time",
    "by-range",
    "by-state-size",
    "by-tenant",
    "counter",
    "faulty",
    "faulty-shard-function",
    "faulty-weigher",
    "favour-tenants",
    "impure-shard-function",
    "kv",
    "kv-wasi",
    "log",
    "needs-clock",
    "scripted",
    "web-faulty",
    "web-kv",
    "web-new",
    "web-stream",
    "word-count",
];

/// Components in Rust that are a workspace of their own each, as their readers would have them: the directory, and the component's name.
const APART: [(&str, &str); 4] = [
    ("examples/inventory", "inventory"),
    ("examples/url-shortener", "url-shortener"),
    ("sdk/rust/conformance", "conformance-rust"),
    ("sdk/rust/conformance-http", "conformance-http-rust"),
];

/// The guests in C: a directory with one source file of that name, its world, and what zig is told beyond the usual.
const C_GUESTS: [(&str, &str, &[&str]); 4] = [
    ("by-geohash", c_guest::SHARD_FUNCTION, &[]),
    ("eager", c_guest::SHARD_HANDLER, &[]),
    ("echo", c_guest::SHARD_HANDLER, &[]),
    ("faulty-table", c_guest::SHARD_HANDLER, &["-mcpu=generic+reference_types"]),
];

/// The examples in C: the directory of `examples/`, and its source file.
const C_EXAMPLES: [(&str, &str); 1] = [("rate-limiter", "limiter.c")];

/// The examples in Python: the directory of `examples/`, and its module.
const PYTHON_EXAMPLES: [(&str, &str); 1] = [("leaderboard", "leaderboard.py")];

/// The examples in JavaScript: the directory of `examples/`, and its module.
const JAVASCRIPT_EXAMPLES: [(&str, &str); 1] = [("session-store", "sessions.js")];

/// Build the guests, to target/guests.
#[derive(clap::Args)]
pub(crate) struct Guests {}

impl Guests {
    pub(crate) fn run(self) -> Result<()> {
        for path in build_all(&wasm_target::ensure()?)? {
            println!("{}", path.display());
        }
        Ok(())
    }
}

/// Builds all guests; what is up to date is left alone. Returns the components.
pub(crate) fn build_all(toolchain: &Toolchain) -> Result<Vec<PathBuf>> {
    check_list()?;
    let mut built = build_rust(toolchain)?;
    let (sources, components, build) = places()?;
    for (name, world, flags) in C_GUESTS {
        let source = sources.join(name).join(format!("{name}.c"));
        let component = c_guest::build(&source, world, flags, &build.join("c").join(name))
            .with_context(|| format!("building the C guest {name}"))?;
        built.push(install(&components, name, &component)?);
    }
    let include = repository().join("sdk/c").display().to_string();
    for (name, source) in C_EXAMPLES {
        let source = repository().join("examples").join(name).join(source);
        let work = build.join("c").join(name);
        let component = c_guest::build(&source, c_guest::SHARD_HANDLER, &["-I", &include], &work)
            .with_context(|| format!("building examples/{name}"))?;
        built.push(install(&components, name, &component)?);
    }
    for guest in &FOREIGN_GUESTS {
        let name = guest.name;
        let component = guest.build(toolchain, &build.join("foreign").join(name));
        built.push(install(&components, name, &component.with_context(|| format!("building {name}"))?)?);
    }
    for (name, module) in PYTHON_EXAMPLES {
        let module = repository().join("examples").join(name).join(module);
        let out = components.join(format!("{name}.wasm"));
        built.extend(made(name, out, |out| python_guest::build(&module, out))?);
    }
    for (name, module) in JAVASCRIPT_EXAMPLES {
        let module = repository().join("examples").join(name).join(module);
        let out = components.join(format!("{name}.wasm"));
        built.extend(made(name, out, |out| javascript_guest::build(&module, out))?);
    }
    Ok(built)
}

/// An example's component, where this machine has the tools of its language; what is left out is said.
fn made(name: &str, out: PathBuf, build: impl FnOnce(&Path) -> Result<Made>) -> Result<Option<PathBuf>> {
    match build(&out).with_context(|| format!("building examples/{name}"))? {
        Made::Component => Ok(Some(out)),
        Made::Missing(what) => {
            eprintln!("examples/{name} is left out: {what}");
            Ok(None)
        }
    }
}

/// Builds the guests in Rust alone, for which no C compiler has to be fetched. Returns the components.
pub(crate) fn build_rust(toolchain: &Toolchain) -> Result<Vec<PathBuf>> {
    let (sources, components, build) = places()?;
    build_workspace(toolchain, &sources, &build).context("building the Rust guests")?;
    for (directory, _) in APART {
        let sources = repository().join(directory);
        build_workspace(toolchain, &sources, &build).with_context(|| format!("building {directory}"))?;
    }
    let mut built = Vec::new();
    for name in RUST_GUESTS.into_iter().chain(APART.map(|(_, name)| name)) {
        let file = build.join(TARGET).join("release").join(format!("{}.wasm", name.replace('-', "_")));
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        built.push(install(&components, name, &bytes)?);
    }
    Ok(built)
}

fn build_workspace(toolchain: &Toolchain, sources: &Path, build: &Path) -> Result<()> {
    let mut cargo = toolchain.cargo();
    cargo.current_dir(sources).args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"]);
    run(cargo.arg(build))
}

/// Where the sources are, where the components go, and where is room to build.
fn places() -> Result<(PathBuf, PathBuf, PathBuf)> {
    let sources = repository().join("guests");
    let components = repository().join("target/guests");
    let build = repository().join("target/guests-build");
    fs::create_dir_all(&components).with_context(|| components.display().to_string())?;
    Ok((sources, components, build))
}

/// A guest that is in the directory and not in the lists would never be built, nor tested.
fn check_list() -> Result<()> {
    let directory = repository().join("guests");
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let known =
            RUST_GUESTS.contains(&name.as_str()) || C_GUESTS.iter().any(|(guest, _, _)| *guest == name);
        if entry.file_type()?.is_dir() && !known && name != "target" {
            bail!("guests/{name} is not in the lists of xtask/src/guests.rs");
        }
    }
    Ok(())
}

/// Puts a component in its place, whole, unless the same bytes are there.
fn install(directory: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = directory.join(format!("{name}.wasm"));
    if fs::read(&path).is_ok_and(|there| there == bytes) {
        return Ok(path);
    }
    let part = directory.join(format!("{name}.part"));
    fs::write(&part, bytes)
        .and_then(|()| fs::rename(&part, &path))
        .with_context(|| path.display().to_string())?;
    Ok(path)
}
