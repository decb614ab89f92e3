//! C: bindings by wit-bindgen, compiled by zig, made a component by wit-component.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use wit_bindgen_core::Files;
use wit_component::ComponentEncoder;
use wit_parser::Resolve;

use super::WIT;
use super::tool::{PYTHON, pip_install, run, tool, works};

/// What shard handlers in C are compiled to.
pub(super) const SHARD_HANDLER: &str = "shard-handler";

/// What components of wasi:http in C are compiled to; of its imports those stay that are used.
pub(super) const HTTP: &str = "http-proxy-placed";

/// The C compiler that the SDK is tested with, as PyPI ships it.
const COMPILER: &str = "ziglang==0.17.0";

pub(super) fn build(directory: &Path, out: &Path, world: &str) -> anyhow::Result<()> {
    let work = tempfile::tempdir().context("a directory to work in")?;
    let linked = write_bindings(&directory.join(WIT), world, work.path())?;
    let core = work.path().join("core.wasm");
    let mut zig = compiler(directory)?;
    zig.args(["cc", "-target", "wasm32-wasi", "-mexec-model=reactor", "-std=c11", "-Os", "-s"]);
    zig.args(["-Wall", "-Wextra", "-I", ".", "-I"]).arg(work.path());
    run(zig.args(sources(directory)?).args(linked).arg("-o").arg(&core))?;
    let core = std::fs::read(&core).context("what zig made")?;
    let component = ComponentEncoder::default().validate(true).module(&core)?.encode()?;
    std::fs::write(out, component).with_context(|| out.display().to_string())
}

/// zig, by whichever way it is installed.
fn compiler(directory: &Path) -> anyhow::Result<Command> {
    let by_python = |python: &str| {
        let mut command = tool(python, directory);
        command.args(["-m", "ziglang"]);
        command
    };
    if works(tool("zig", directory).arg("version")) {
        return Ok(tool("zig", directory));
    }
    for python in [".venv/bin/python", "python3"] {
        if works(by_python(python).arg("version")) {
            return Ok(by_python(python));
        }
    }
    let install = pip_install(directory, COMPILER);
    if !works(tool("python3", directory).arg("--version")) {
        bail!("zig is not there, nor is Python, which can install it: install {PYTHON}, then `{install}`");
    }
    bail!("zig is not there: `{install}`")
}

fn sources(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let name = PathBuf::from(entry?.file_name());
        if name.extension().is_some_and(|extension| extension == "c") {
            sources.push(name);
        }
    }
    if sources.is_empty() {
        bail!("there is no source file, such as handler.c");
    }
    sources.sort();
    Ok(sources)
}

/// Writes header, source and type section of the world; returns what is to be compiled and linked.
fn write_bindings(wit: &Path, world: &str, work: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).with_context(|| wit.display().to_string())?;
    let world = resolve.select_world(&[package], Some(world))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    let mut linked = Vec::new();
    for (name, bytes) in files.iter() {
        let path = work.join(name);
        std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
        if !name.ends_with(".h") {
            linked.push(path);
        }
    }
    Ok(linked)
}
