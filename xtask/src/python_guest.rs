//! Builds a guest in Python: the SDK's own script has componentize-py put it into CPython.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::made::{self, Made};
use crate::wasm_target::{repository, run, succeeds, tools};

/// The compiler of Python components, as PyPI ships it.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

/// Makes a component of a module, unless it is newer than all that it is made of.
pub(crate) fn build(module: &Path, out: &Path) -> Result<Made> {
    if !succeeds(Command::new("python3").args(["-m", "pip", "--version"])) {
        return Ok(Made::Missing("pip is not here: install Python 3.10 or later, with pip".into()));
    }
    let sdk = repository().join("sdk/python");
    let sources = [module.to_owned(), sdk.clone(), repository().join("wit")];
    if made::is_newer(out, &sources) {
        return Ok(Made::Component);
    }
    let compiler = tools()?.join("componentize-py");
    if !compiler.join("bin/componentize-py").exists() {
        eprintln!("fetching {COMPONENTIZE_PY}, the compiler of Python components");
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--root-user-action=ignore", "--target"]).arg(&compiler).arg(COMPONENTIZE_PY);
        run(pip.stdin(Stdio::null()))?;
    }
    let mut script = Command::new("python3");
    script.arg(sdk.join("shardloom_componentize.py")).arg(module).arg("--out").arg(out);
    script.env("PYTHONPATH", &compiler).env("PATH", path_with(&compiler.join("bin"))?);
    script.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).stdout(Stdio::null());
    run(&mut script)?;
    Ok(Made::Component)
}

/// The search path with one more directory before all others.
fn path_with(directory: &Path) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(directory.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(all).context("the search path")
}
