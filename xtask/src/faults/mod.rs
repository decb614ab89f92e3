//! `cargo xtask faults`: faults under load, again and again. No acknowledged write may be lost, none carried out twice, no old value read;
//! and where only one node fails, no call through the others may fail: each is only late.
//!
//! - [`kinds`]: what is done to the nodes, a function for each kind.
//! - [`sick`]: the kinds beyond signals.
//! - [`run`]: one fault under load, and the verdict.
//! - [`operator`]: somebody who goes on moving, deploying and weighing meanwhile.
//! - [`bank`]: money that is moved through many faults.
//! - [`prove`]: a build that breaks a promise is caught.
//! - [`report`]: what is printed.

mod bank;
mod kinds;
mod operator;
mod prove;
mod report;
mod run;
mod sick;

use std::hash::{BuildHasher, Hasher, RandomState};

use anyhow::Result;
use clap::Args;
use serde_json::Value;
use shardloom_harness::cluster::Cluster;
use shardloom_harness::{Options, artefacts};

use crate::{guests, step, wasm_target};
use kinds::Kind;
use prove::Broken;
use report::Outcome;
use run::Run;

/// Hurt a cluster under load, and hold every answer against what it must be.
#[derive(Args)]
pub(crate) struct Faults {
    /// Only these kinds; left out, all.
    #[arg(long)]
    kind: Vec<Kind>,
    /// How often each kind is run.
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// How many clients each of the two loads has, at most 8: counters of each client's own, and objects that all share. Half of the calls write.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// How many shards the cluster has.
    #[arg(long, default_value_t = 256)]
    shards: u32,
    /// How many faults the bank goes through.
    #[arg(long, default_value_t = 50)]
    faults: usize,
    /// Decides what is called, and which node is hurt; left out, by chance. It is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Meanwhile drain nodes, deploy versions and canaries, promote and roll back, run weighers and carry out plans, at random.
    #[arg(long)]
    operate: bool,
    /// Begin each run on nodes of a build of older formats, and replace them by this one meanwhile. SHARDLOOM_LEVEL_1_BIN may name the older one.
    #[arg(long)]
    upgrade: bool,
    /// Show that a build with this promise broken is caught, in place of everything else. SHARDLOOM_BIN may name such a build.
    #[arg(long)]
    prove: Option<Broken>,
    /// Print one JSON value.
    #[arg(long)]
    json: bool,
}

impl Faults {
    pub(crate) fn run(self) -> Result<()> {
        guests::build_rust(&wasm_target::ensure()?)?;
        let seed = self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 32);
        eprintln!("seed {seed}");
        if let Some(broken) = self.prove {
            return prove::prove(&self, broken, seed);
        }
        if std::env::var_os("SHARDLOOM_BIN").is_none() {
            artefacts::use_binary(step::build_binary(true)?);
        }
        let kinds = if self.kind.is_empty() { Kind::ALL.to_vec() } else { self.kind.clone() };
        let mut outcomes = Vec::new();
        for kind in kinds {
            if kind.sickness().is_some_and(|sickness| !sickness.is_possible()) {
                continue;
            }
            if self.upgrade && kind == Kind::Bank {
                eprintln!(
                    "Bank is left out: its nodes go through many faults, and can be replaced in the first alone"
                );
                continue;
            }
            outcomes.push(match kind {
                Kind::Bank => bank::run(self.cluster(kind, bank::NODES)?, self.faults, self.clients, seed)?,
                kind => self.repeat(kind, seed)?,
            });
        }
        if self.json {
            let values: Vec<Value> = outcomes.iter().map(Outcome::value).collect();
            println!("{}", serde_json::to_string_pretty(&values)?);
        } else {
            outcomes.iter().for_each(|outcome| println!("{}", outcome.line()));
        }
        Ok(())
    }

    /// A cluster that this kind can hurt.
    fn cluster(&self, kind: Kind, nodes: usize) -> Result<Cluster> {
        let binary = self.upgrade.then(artefacts::older_binary).transpose()?;
        let options = Options { shards: self.shards, binary, ..Options::of(nodes)? };
        let cluster = Cluster::start_with(match kind.sickness() {
            Some(sickness) => sickness.fit(options)?,
            None => options,
        })?;
        if !self.upgrade {
            run::spare(&cluster)?;
        }
        Ok(cluster)
    }

    /// Whoever drains nodes meanwhile has one to spare: a node that is drained and one that is hurt are two, and three can do without one.
    fn nodes(&self) -> usize {
        kinds::NODES + usize::from(self.operate)
    }

    /// A kind's runs: on one cluster, unless each begins on an older build.
    fn repeat(&self, kind: Kind, seed: u64) -> Result<Outcome> {
        let mut cluster = self.cluster(kind, self.nodes())?;
        run::deploy(&cluster)?;
        let mut outcome = Outcome::of(kind);
        for number in 1..=self.runs {
            let seed = seed + number as u64;
            if self.upgrade && number > 1 {
                cluster = self.cluster(kind, self.nodes())?;
                run::deploy(&cluster)?;
            }
            let run = Run {
                kind,
                number,
                clients: self.clients,
                seed,
                operated: self.operate,
                upgraded: self.upgrade,
            };
            let which = || format!("{kind:?}, run {number}, seed {}", run.seed);
            let judged = run.make(&mut cluster).and_then(|seen| {
                eprintln!("{}: {}", which(), seen.line());
                seen.verdict(kind.may_fail() || self.upgrade)?;
                Ok(seen)
            });
            match judged {
                Ok(seen) => outcome.add(&seen),
                Err(error) => {
                    eprintln!("{}", cluster.logs());
                    return Err(error.context(which()));
                }
            }
        }
        Ok(outcome)
    }
}
