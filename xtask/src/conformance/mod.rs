//! `cargo xtask conformance`: one handler in every language that has an SDK, and one suite that all must pass.
//!
//! `sdk/CONFORMANCE.md` says what the handler does. A language whose tools are missing is left out, with the command that
//! installs them; one that is there and cannot be built is a failure.

mod cases;
mod languages;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use shardloom_harness::cluster::{Cluster, Options};
use shardloom_harness::{artefacts, cluster};

use self::cases::{CASES, Talk};
use self::languages::{Built, LANGUAGES};
use crate::wasm_target::Toolchain;
use crate::{step, wasm_target};

/// Build one handler in every language, and hold all of them to one suite.
#[derive(Args)]
pub(crate) struct Conformance {
    /// Only this language; may be repeated.
    #[arg(long)]
    language: Vec<String>,
    /// Fail where a language's tools are missing, too.
    #[arg(long)]
    all: bool,
}

impl Conformance {
    pub(crate) fn run(self) -> Result<()> {
        let named = |name: &String| LANGUAGES.iter().any(|language| language.name == *name);
        if let Some(unknown) = self.language.iter().find(|name| !named(name)) {
            bail!("there is no SDK for {unknown}: {}", LANGUAGES.map(|language| language.name).join(", "));
        }
        let toolchain = wasm_target::ensure()?;
        let wanted = |name: &str| self.language.is_empty() || self.language.iter().any(|one| one == name);
        let (built, missing) = build(&toolchain, wanted)?;
        if let (true, Some(missing)) = (self.all, missing) {
            bail!("{missing}");
        }
        if std::env::var_os("SHARDLOOM_BIN").is_none() {
            artefacts::use_binary(step::build_binary(false)?);
        }
        hold(&built)
    }
}

/// Builds the handler in every language that this machine has the tools of, and holds all of them to the suite.
pub(crate) fn hold_to_one_suite(toolchain: &Toolchain) -> Result<()> {
    let (built, _) = build(toolchain, |_| true)?;
    hold(&built)
}

/// The languages with their components; and what is missing for the last one that is left out, which is said, too.
type Outcome = (Vec<(&'static str, PathBuf)>, Option<String>);

fn build(toolchain: &Toolchain, wanted: impl Fn(&str) -> bool) -> Result<Outcome> {
    let (mut built, mut missing) = (Vec::new(), None);
    for language in LANGUAGES.iter().filter(|language| wanted(language.name)) {
        match (language.build)(toolchain).with_context(|| format!("the handler in {}", language.name))? {
            Built::Component(path) => built.push((language.name, path)),
            Built::Missing(what) => {
                eprintln!("{} is left out: {what}", language.name);
                missing = Some(format!("{}: {what}", language.name));
            }
        }
    }
    Ok((built, missing))
}

fn hold(built: &[(&'static str, PathBuf)]) -> Result<()> {
    // One shard: what a scan shows is all that the suite has written.
    let cluster = Cluster::start_with(Options { shards: 1, ..Options::of(3)? })?;
    let mut columns = Vec::new();
    for (name, component) in built {
        let workload = format!("conformance-{name}");
        let component = component.display().to_string();
        let deploy = ["deploy", &component, "--name", &workload, "--config", "greeting=hello"];
        cluster.cli(&deploy).with_context(|| format!("{name}: deploy"))?;
        let talk = Talk { cluster: &cluster, workload };
        columns.push(CASES.map(|case| (case.check)(&talk)));
    }
    let names: Vec<&str> = built.iter().map(|(name, _)| *name).collect();
    print(&names, &columns);
    let failed = columns.iter().flatten().filter(|result| result.is_err()).count();
    if failed > 0 {
        eprintln!("{}", cluster.logs());
        bail!("{failed} of {} did not behave", columns.len() * CASES.len());
    }
    Ok(())
}

fn print(names: &[&str], columns: &[[Result<()>; CASES.len()]]) {
    let width = CASES.iter().map(|case| case.name.len()).max().unwrap_or_default();
    let shown = |cells: Vec<&str>| cells.iter().map(|cell| format!("  {cell:10}")).collect::<String>();
    println!("{:width$}{}", "", shown(names.to_vec()));
    for (row, case) in CASES.iter().enumerate() {
        let cells = columns.iter().map(|column| if column[row].is_ok() { "ok" } else { "FAILED" });
        println!("{:width$}{}", case.name, shown(cells.collect()));
    }
    for (name, column) in names.iter().zip(columns) {
        for (case, result) in CASES.iter().zip(column) {
            if let Err(error) = result {
                println!("{name}, {}: {error:#}", case.name);
            }
        }
    }
}

/// How long a line may take from a guest to whoever reads the log.
const LOG_MAX: std::time::Duration = cluster::READY_MAX;
