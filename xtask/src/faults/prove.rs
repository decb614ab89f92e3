//! The proof that the faults see what they look for: a build with one promise broken is caught.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use shardloom_harness::{artefacts, power};

use super::Faults;
use super::kinds::{self, Kind, whole};
use super::run::{self, Run};
use crate::step;

/// What a broken build says of itself at its start.
const CONFESSION: &str = "BROKEN ON PURPOSE";

/// A promise that a build can be made without; `SHARDLOOM_BREAK` in the compiler's environment names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Broken {
    /// No check of lease and epoch before a call starts, nor before it is answered: a halted owner goes on under its old epoch.
    EpochCheck,
    /// No fdatasync before a write is acknowledged: what a power cut takes is lost.
    Fdatasync,
}

impl Broken {
    fn name(self) -> &'static str {
        match self {
            Broken::EpochCheck => "epoch-check",
            Broken::Fdatasync => "fdatasync",
        }
    }

    /// The kind of fault that shows it.
    fn kind(self) -> Kind {
        match self {
            Broken::EpochCheck => Kind::HaltOwner,
            Broken::Fdatasync => Kind::PowerCut,
        }
    }
}

/// Runs the kind that must show it until the histories do.
pub(super) fn prove(faults: &Faults, broken: Broken, seed: u64) -> Result<()> {
    if std::env::var_os("SHARDLOOM_BIN").is_none() {
        artefacts::use_binary(build(broken)?);
    }
    let mut cluster = faults.cluster(broken.kind(), kinds::NODES)?;
    let log = std::fs::read_to_string(cluster.node(0).log())?;
    ensure!(log.contains(CONFESSION), "this is an ordinary build: its log does not say {CONFESSION:?}");
    run::deploy(&cluster)?;
    if broken == Broken::Fdatasync {
        // Or the cluster itself were lost, with everything that it has agreed on, before an acknowledged write could be missed.
        whole(&mut cluster)?;
        power::settle(&cluster)?;
    }
    for number in 1..=faults.runs {
        let run = Run {
            kind: broken.kind(),
            number,
            clients: faults.clients,
            seed: seed + number as u64,
            operated: false,
            upgraded: false,
        };
        let seen = run.make(&mut cluster).with_context(|| format!("run {number}, seed {}", run.seed))?;
        eprintln!("run {number}, seed {}: {}", run.seed, seen.line());
        if let Err(found) = seen.record.histories().and_then(|()| seen.tally.contradictions()) {
            println!("{} is caught in run {number}, seed {}: {found:#}", broken.name(), run.seed);
            return Ok(());
        }
    }
    bail!("{} runs of a build without {} were not caught", faults.runs, broken.name())
}

/// Builds it into a directory of its own, so that it never gets into the way of an ordinary one.
fn build(broken: Broken) -> Result<PathBuf> {
    let profile = artefacts::profile_directory()?;
    let target = profile.parent().context("this program is in no target directory")?;
    let target = target.join(format!("broken-{}", broken.name()));
    let directory = target.display().to_string();
    let arguments = ["build", "--locked", "--release", "--package", "shardloom", "--target-dir", &directory];
    step::cargo(arguments).env("SHARDLOOM_BREAK", broken.name()).run()?;
    Ok(target.join("release").join("shardloom"))
}
