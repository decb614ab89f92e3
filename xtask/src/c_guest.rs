//! Builds a guest in C: bindings by wit-bindgen, compiled by zig, made a component by wit-component.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use wit_bindgen_core::Files;
use wit_component::ComponentEncoder;
use wit_parser::Resolve;

use crate::wasm_target::{repository, run, succeeds, tools};

/// The world of shard handlers in C.
pub(crate) const SHARD_HANDLER: &str = "shard-handler";
/// The world of shard functions in C.
pub(crate) const SHARD_FUNCTION: &str = "shard-function";
/// The world of components of wasi:http in C.
pub(crate) const HTTP: &str = "http-proxy-placed";

/// The C compiler, as PyPI ships it.
const ZIG_PACKAGE: &str = "ziglang==0.17.0";

/// Compiles one source file to a component of a world; `work` is for what comes about on the way.
pub(crate) fn build(source: &Path, world: &str, flags: &[&str], work: &Path) -> Result<Vec<u8>> {
    fs::create_dir_all(work).with_context(|| work.display().to_string())?;
    let bindings = write_bindings(&repository().join("wit"), world, work)?;
    let core = work.join("core.wasm");
    let mut zig = Zig::find()?.command();
    zig.args([
        "cc",
        "-target",
        "wasm32-wasi",
        "-mexec-model=reactor",
        "-Os",
        "-s",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]);
    zig.args(flags).arg("-I").arg(work).arg(source).args(bindings).arg("-o").arg(&core);
    run(&mut zig)?;
    let core = fs::read(&core).with_context(|| core.display().to_string())?;
    ComponentEncoder::default().validate(true).module(&core)?.encode()
}

/// Writes header, source and type section of the world; returns what is to be compiled and linked.
fn write_bindings(wit: &Path, world: &str, work: &Path) -> Result<Vec<PathBuf>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).with_context(|| wit.display().to_string())?;
    let world = resolve.select_world(&[package], Some(world))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    let mut linked = Vec::new();
    for (name, bytes) in files.iter() {
        let path = work.join(name);
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
        if !name.ends_with(".h") {
            linked.push(path);
        }
    }
    Ok(linked)
}

/// zig, run through Python.
struct Zig {
    python: PathBuf,
    /// Where the package is, if it is not installed for all of Python.
    package: Option<PathBuf>,
}

impl Zig {
    /// Finds zig, or fetches it into a directory of our own.
    fn find() -> Result<Zig> {
        let python = PathBuf::from("python3");
        let package = tools()?.join("zig");
        let places = [Zig { python: python.clone(), package: None }, Zig { python, package: Some(package) }];
        if let Some(zig) = places.iter().position(Zig::works) {
            let [shared, own] = places;
            return Ok(if zig == 0 { shared } else { own });
        }
        let [_, own] = places;
        own.fetch()?;
        if own.works() { Ok(own) } else { bail!("{ZIG_PACKAGE} was fetched, but does not run") }
    }

    fn fetch(&self) -> Result<()> {
        if !succeeds(Command::new(&self.python).args(["-m", "pip", "--version"])) {
            install_pip()?;
        }
        let target = self.package.as_ref().context("zig of our own has a place")?;
        eprintln!("fetching {ZIG_PACKAGE}, the C compiler for guests");
        let mut pip = Command::new(&self.python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--root-user-action=ignore",
        ]);
        run(pip.arg("--target").arg(target).arg(ZIG_PACKAGE).stdin(Stdio::null()))
    }

    fn works(&self) -> bool {
        succeeds(self.command().arg("version"))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-m", "ziglang"]);
        if let Some(package) = &self.package {
            command.env("PYTHONPATH", package);
        }
        if let Ok(tools) = tools() {
            command.env("ZIG_GLOBAL_CACHE_DIR", tools.join("zig-cache"));
            command.env("ZIG_LOCAL_CACHE_DIR", tools.join("zig-cache"));
        }
        command
    }
}

fn install_pip() -> Result<()> {
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
    install.args(["-qq", "-y", "-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3"]);
    install.args(["install", "--no-install-recommends", "python3-pip"]);
    if !succeeds(&mut install) {
        let _ = succeeds(Command::new("apt-get").args(["-qq", "update"]));
        run(&mut install)
            .context("the C guests need Python's pip: as root, `apt-get install python3-pip`")?;
    }
    Ok(())
}
