//! `cargo xtask conformance`: one guest in every language that has an SDK and in both styles, and one suite that all must pass.
//!
//! `sdk/CONFORMANCE.md` says what the guest does. A language whose tools are missing is left out, with the command that
//! installs them; one that is there and cannot be built is a failure.

mod cases;
mod languages;
mod style;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use shardloom_harness::cluster::{Cluster, Options};
use shardloom_harness::{artefacts, cluster};

use self::cases::{CASES, Talk};
use self::languages::{Built, LANGUAGES};
use self::style::Style;
use crate::wasm_target::Toolchain;
use crate::{step, wasm_target};

/// Build one guest in every language and style, and hold all of them to one suite.
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

/// Builds the guests in every language that this machine has the tools of, and holds all of them to the suite.
pub(crate) fn hold_to_one_suite(toolchain: &Toolchain) -> Result<()> {
    let (built, _) = build(toolchain, |_| true)?;
    hold(&built)
}

/// A guest of a language and style, with its component.
struct Guest {
    language: &'static str,
    style: Style,
    component: PathBuf,
}

/// The guests; and what is missing for the last language that is left out, which is said, too.
type Outcome = (Vec<Guest>, Option<String>);

fn build(toolchain: &Toolchain, wanted: impl Fn(&str) -> bool) -> Result<Outcome> {
    languages::check_list()?;
    let (mut built, mut missing) = (Vec::new(), None);
    for language in LANGUAGES.iter().filter(|language| wanted(language.name)) {
        for style in Style::ALL {
            let what = || format!("the guest in {} ({})", language.name, style.name());
            match language.build(style, toolchain).with_context(what)? {
                Built::Component(component) => {
                    built.push(Guest { language: language.name, style, component })
                }
                Built::Missing(what) => {
                    eprintln!("{} ({}) is left out: {what}", language.name, style.name());
                    missing = Some(format!("{}: {what}", language.name));
                }
            }
        }
    }
    Ok((built, missing))
}

fn hold(built: &[Guest]) -> Result<()> {
    // One shard: what a scan shows is all that the suite has written.
    let cluster = Cluster::start_with(Options { shards: 1, ..Options::of(3)? })?;
    let mut columns = Vec::new();
    for Guest { language, style, component } in built {
        let workload = style.workload(language);
        let component = component.display().to_string();
        let mut deploy = vec!["deploy", &component, "--name", &workload, "--config", "greeting=hello"];
        deploy.extend(style.deploy());
        cluster.cli(&deploy).with_context(|| format!("{workload}: deploy"))?;
        let talk = Talk { cluster: &cluster, workload, style: *style };
        columns.push(CASES.map(|case| (case.check)(&talk)));
    }
    print(built, &columns);
    let failed = columns.iter().flatten().filter(|result| result.is_err()).count();
    if failed > 0 {
        eprintln!("{}", cluster.logs());
        bail!("{failed} of {} did not behave", columns.len() * CASES.len());
    }
    Ok(())
}

/// One table: a column for each guest, by language and style.
fn print(built: &[Guest], columns: &[[Result<()>; CASES.len()]]) {
    let width = CASES.iter().map(|case| case.name.len()).max().unwrap_or_default();
    let shown = |cells: Vec<&str>| cells.iter().map(|cell| format!("  {cell:10}")).collect::<String>();
    println!("{:width$}{}", "", shown(built.iter().map(|guest| guest.language).collect()));
    println!("{:width$}{}", "", shown(built.iter().map(|guest| guest.style.name()).collect()));
    for (row, case) in CASES.iter().enumerate() {
        let cells = columns.iter().map(|column| if column[row].is_ok() { "ok" } else { "FAILED" });
        println!("{:width$}{}", case.name, shown(cells.collect()));
    }
    for (guest, column) in built.iter().zip(columns) {
        for (case, result) in CASES.iter().zip(column) {
            if let Err(error) = result {
                println!("{} ({}), {}: {error:#}", guest.language, guest.style.name(), case.name);
            }
        }
    }
}

/// How long a line may take from a guest to whoever reads the log.
const LOG_MAX: std::time::Duration = cluster::READY_MAX;
