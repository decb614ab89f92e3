//! `cargo xtask check`: formatting, lints, documentation, licences, tidiness. It changes no tracked file.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use shardloom_harness::artefacts;

use crate::step;
use crate::test::SDK_MANIFESTS;

/// The cargo-deny that is installed where there is none; pinned, so that a new one cannot break old commits.
const CARGO_DENY: &str = "0.20.2";

/// Check formatting, lints, documentation, dependencies and tidiness.
#[derive(Args)]
pub(crate) struct Check {}

impl Check {
    pub(crate) fn run(self) -> Result<()> {
        components()?;
        step::cargo(["fmt", "--all", "--check"]).run()?;
        let apart = [
            "guests/Cargo.toml",
            "examples/inventory/Cargo.toml",
            "examples/url-shortener/Cargo.toml",
            "sdk/rust/conformance-http/Cargo.toml",
        ];
        for manifest in apart.iter().chain(&SDK_MANIFESTS) {
            step::cargo(["fmt", "--all", "--check", "--manifest-path", manifest]).run()?;
        }
        step::cargo(["test", "--locked", "--package", "shardloom-tidy"]).run()?;
        step::cargo(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]).run()?;
        for manifest in SDK_MANIFESTS {
            let lint =
                ["clippy", "--manifest-path", manifest, "--all-targets", "--locked", "--", "-D", "warnings"];
            step::cargo(lint).run()?;
        }
        step::cargo(["doc", "--workspace", "--no-deps", "--locked"])
            .env("RUSTDOCFLAGS", "-D warnings")
            .run()?;
        deny()
    }
}

/// rustfmt and clippy come with rustup's default profile; with the minimal one they are added.
fn components() -> Result<()> {
    for (probe, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !step::cargo([probe, "--version"]).succeeds() {
            step::program("rustup", ["component", "add", component]).run()?;
        }
    }
    Ok(())
}

/// Bans, licences and sources. Advisories are left to a scheduled job: their database is fetched from a git host,
/// and a check of a commit must give the same answer tomorrow.
fn deny() -> Result<()> {
    let program = cargo_deny()?;
    step::program(program, ["--workspace", "--locked", "check", "bans", "licenses", "sources"]).run()
}

fn cargo_deny() -> Result<PathBuf> {
    let root = artefacts::workspace().join("target").join("tools");
    let own = root.join("bin").join("cargo-deny");
    for candidate in [PathBuf::from("cargo-deny"), own.clone()] {
        if step::program(&candidate, ["--version"]).succeeds() {
            return Ok(candidate);
        }
    }
    eprintln!("cargo-deny is not installed: it is built once, into target/tools (about five minutes)");
    let root = root.display().to_string();
    step::cargo(["install", "cargo-deny", "--locked", "--version", CARGO_DENY, "--root", &root]).run()?;
    Ok(own)
}
