//! The languages, and how the handler is built in each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::python_guest::{self, Made};
use crate::wasm_target::{Toolchain, repository, run, succeeds};
use crate::{c_guest, guests};

/// A language with an SDK.
pub(super) struct Language {
    pub(super) name: &'static str,
    pub(super) build: fn(&Toolchain) -> Result<Built>,
}

/// What came of a build.
pub(super) enum Built {
    /// The component.
    Component(PathBuf),
    /// The language's tools are not here; what is missing, and what installs it.
    Missing(String),
}

/// All of them.
pub(super) const LANGUAGES: [Language; 4] = [
    Language { name: "rust", build: rust },
    Language { name: "c", build: c },
    Language { name: "javascript", build: javascript },
    Language { name: "python", build: python },
];

fn rust(toolchain: &Toolchain) -> Result<Built> {
    guests::build_rust(toolchain)?;
    Ok(Built::Component(repository().join("target/guests/conformance-rust.wasm")))
}

fn c(_: &Toolchain) -> Result<Built> {
    let sdk = repository().join("sdk/c");
    let work = repository().join("target/guests-build/c/conformance");
    let include = sdk.display().to_string();
    let flags = ["-I", &include];
    let component = c_guest::build(
        &sdk.join("conformance/handler.c"),
        &flags,
        (&repository().join("wit"), guests::HANDLER),
        &work,
    )?;
    let path = work.join("conformance-c.wasm");
    fs::write(&path, component).with_context(|| path.display().to_string())?;
    Ok(Built::Component(path))
}

fn javascript(_: &Toolchain) -> Result<Built> {
    if !succeeds(Command::new("npm").arg("--version")) {
        return Ok(Built::Missing("npm is not here: install Node.js 20 or later, with npm".into()));
    }
    let sdk = repository().join("sdk/javascript");
    if !sdk.join("node_modules").exists() {
        eprintln!("fetching the compiler of JavaScript components");
        npm(&sdk, &["ci", "--no-audit", "--no-fund", "--silent"])?;
    }
    npm(&sdk, &["run", "--silent", "conformance"])?;
    Ok(Built::Component(sdk.join("conformance/conformance-js.wasm")))
}

fn npm(directory: &Path, words: &[&str]) -> Result<()> {
    run(Command::new("npm").current_dir(directory).args(words).stdin(Stdio::null()).stdout(Stdio::null()))
}

fn python(_: &Toolchain) -> Result<Built> {
    let module = repository().join("sdk/python/conformance/conformance.py");
    let path = repository().join("target/guests/conformance-python.wasm");
    Ok(match python_guest::build(&module, &path)? {
        Made::Component => Built::Component(path),
        Made::Missing(what) => Built::Missing(what),
    })
}
