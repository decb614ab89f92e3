//! `cargo xtask`: set-up, demo, tests, checks and measurements. Each command does all its own set-up.

mod bench;
mod c_guest;
mod check;
mod conformance;
mod demo;
mod faults;
mod foreign_guest;
mod guests;
mod javascript_guest;
mod made;
mod python_guest;
mod simulate;
mod step;
mod test;
mod wasm_target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What this repository can do with itself.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Demo),
    Test(test::Test),
    Check(check::Check),
    Guests(guests::Guests),
    Conformance(conformance::Conformance),
    Simulate(simulate::Simulate),
    Bench(bench::Bench),
    Faults(faults::Faults),
}

fn main() -> ExitCode {
    let done = match Xtask::parse().command {
        Command::Demo(demo) => demo.run(),
        Command::Test(test) => test.run(),
        Command::Check(check) => check.run(),
        Command::Guests(guests) => guests.run(),
        Command::Conformance(conformance) => conformance.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::Bench(bench) => bench.run(),
        Command::Faults(faults) => faults.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
