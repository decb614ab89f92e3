//! The languages, and how the guest of each style is built in each.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::style::Style;
use crate::made::Made;
use crate::wasm_target::{Toolchain, repository};
use crate::{c_guest, guests, javascript_guest, python_guest};

/// A language with an SDK: there is none without a guest in each style.
pub(super) struct Language {
    pub(super) name: &'static str,
    /// What the guests are built of, below `sdk/`.
    sources: fn(Style) -> &'static str,
    build: fn(Style, &Toolchain, &Path) -> Result<Built>,
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
    Language { name: "rust", sources: rust_source, build: rust },
    Language { name: "c", sources: c_source, build: c },
    Language { name: "javascript", sources: javascript_source, build: javascript },
    Language { name: "python", sources: python_source, build: python },
];

/// Where guests are that are one file each, and how the names of such files end.
const PLACES: [(&str, &str); 3] = [("c", ".c"), ("javascript", ".ts"), ("python", ".py")];

impl Language {
    /// Builds the guest of a style.
    pub(super) fn build(&self, style: Style, toolchain: &Toolchain) -> Result<Built> {
        let source = repository().join("sdk").join((self.sources)(style));
        (self.build)(style, toolchain, &source)
    }
}

/// A guest that is there and in no list would never be built, nor held to anything.
pub(super) fn check_list() -> Result<()> {
    let known = |name: &str| {
        let sources = LANGUAGES.iter().flat_map(|language| Style::ALL.map(language.sources));
        sources.into_iter().any(|source| source == name)
    };
    for (language, end) in PLACES {
        let directory = repository().join("sdk").join(language).join("conformance");
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let file = entry?.file_name().to_string_lossy().into_owned();
            let name = format!("{language}/conformance/{file}");
            if file.ends_with(end) && !known(&name) {
                bail!("sdk/{name} is not in the lists of xtask/src/conformance/languages.rs");
            }
        }
    }
    Ok(())
}

fn rust_source(style: Style) -> &'static str {
    match style {
        Style::ShardHandler => "rust/conformance",
        Style::Http => "rust/conformance-http",
    }
}

fn rust(style: Style, toolchain: &Toolchain, _: &Path) -> Result<Built> {
    guests::build_rust(toolchain)?;
    Ok(Built::Component(component(style, "rust")))
}

fn c_source(style: Style) -> &'static str {
    match style {
        Style::ShardHandler => "c/conformance/handler.c",
        Style::Http => "c/conformance/http.c",
    }
}

fn c(style: Style, _: &Toolchain, source: &Path) -> Result<Built> {
    let path = component(style, "c");
    let work = repository().join("target/guests-build/c").join(style.workload("c"));
    let world = match style {
        Style::ShardHandler => c_guest::SHARD_HANDLER,
        Style::Http => c_guest::HTTP,
    };
    let include = repository().join("sdk/c").display().to_string();
    let component = c_guest::build(source, world, &["-I", &include], &work)?;
    fs::write(&path, component).with_context(|| path.display().to_string())?;
    Ok(Built::Component(path))
}

fn javascript_source(style: Style) -> &'static str {
    match style {
        Style::ShardHandler => "javascript/conformance/handler.ts",
        Style::Http => "javascript/conformance/http.ts",
    }
}

fn javascript(style: Style, _: &Toolchain, source: &Path) -> Result<Built> {
    let path = component(style, "javascript");
    Ok(built(javascript_guest::build(source, &path)?, path))
}

fn python_source(style: Style) -> &'static str {
    match style {
        Style::ShardHandler => "python/conformance/conformance.py",
        Style::Http => "python/conformance/conformance_http.py",
    }
}

fn python(style: Style, _: &Toolchain, source: &Path) -> Result<Built> {
    let path = component(style, "python");
    Ok(built(python_guest::build(source, &path)?, path))
}

fn built(made: Made, path: PathBuf) -> Built {
    match made {
        Made::Component => Built::Component(path),
        Made::Missing(what) => Built::Missing(what),
    }
}

/// Where a guest's component goes, beside all others.
fn component(style: Style, language: &str) -> PathBuf {
    repository().join("target/guests").join(format!("{}.wasm", style.workload(language)))
}
