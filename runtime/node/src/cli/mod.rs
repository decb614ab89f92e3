//! The command line: one command a file, each a plain HTTP client of a node.
//!
//! `node` and `dev` run nodes in this process; nothing else here knows how a node works inside.

mod audit;
mod backup;
mod backup_dir;
mod bench;
mod build;
mod call;
mod certificate_replies;
mod certificates;
mod client;
mod deploy;
mod dev;
mod dev_home;
mod dev_members;
mod endpoints;
mod events;
mod inspect;
mod login;
mod logs;
mod members;
mod moves;
mod new;
mod node;
mod nodes;
mod output;
mod plan;
mod progress;
mod project;
mod promote;
mod rebalance;
mod repair;
mod replies;
mod restore;
mod rollback;
mod segment;
mod settings;
mod shards;
mod status;
mod step_down;
mod table;
mod token;
mod undeploy;
mod watch;
mod weigher;
mod why;
mod workloads;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use shardloom_cluster::ClusterError;

use client::{Client, ClientError};
use output::Output;

/// Where a node listens that was started without flags.
const SERVER_DEFAULT: &str = "http://127.0.0.1:7080";

/// A cluster runtime whose shards run WebAssembly components.
#[derive(Parser)]
#[command(name = "shardloom", version, max_term_width = 110, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Args)]
struct Global {
    /// One or several nodes; the next is tried when one refuses.
    #[arg(long, global = true, env = "SHARDLOOM_SERVER", value_delimiter = ',', value_name = "URL",
          default_value = SERVER_DEFAULT, help_heading = "Talking to a cluster")]
    server: Vec<String>,
    /// Trust the certificates in this PEM file, and no others, for https servers.
    #[arg(
        long,
        global = true,
        env = "SHARDLOOM_CA_CERT",
        value_name = "FILE",
        help_heading = "Talking to a cluster"
    )]
    ca_cert: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long, global = true, help_heading = "Talking to a cluster")]
    json: bool,
}

impl Global {
    /// The admin token comes from the environment, never from a flag: arguments are visible to everybody.
    fn client(&self) -> Result<Client, ClientError> {
        let token = std::env::var("SHARDLOOM_ADMIN_TOKEN").ok().filter(|token| !token.is_empty());
        Client::open(&self.server, token.map(|token| token.trim().to_owned()), self.ca_cert.as_deref())
    }

    fn output(&self) -> Output {
        Output::new(self.json)
    }
}

#[derive(Subcommand)]
enum Command {
    New(new::New),
    Build(build::Build),
    Dev(dev::Dev),
    Node(node::Node),
    Deploy(deploy::Deploy),
    Promote(promote::Promote),
    Rollback(rollback::Rollback),
    Undeploy(undeploy::Undeploy),
    Call(call::Call),
    Bench(bench::Bench),
    Status(status::Status),
    Nodes(nodes::Nodes),
    Shards(shards::Shards),
    Why(why::Why),
    Endpoints(endpoints::Endpoints),
    Workloads(workloads::Workloads),
    Inspect(inspect::Inspect),
    Logs(logs::Logs),
    Events(events::Events),
    Audit(audit::Audit),
    Weigher(weigher::Weigher),
    Plan(plan::Plan),
    Rebalance(rebalance::Rebalance),
    Settings(settings::Settings),
    StepDown(step_down::StepDown),
    Certificates(certificates::Certificates),
    Token(token::Token),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Repair(repair::Repair),
    Login(login::Login),
    /// Compiles one component in a bounded child of a node.
    #[command(name = "__compile", hide = true)]
    Compile,
}

/// Runs the command line that this process was started with.
pub fn run() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let done = match command {
        Command::New(new) => new.run(&global),
        Command::Build(build) => build.run(&global),
        Command::Dev(dev) => dev.run(&global),
        Command::Node(node) => node.run(&global),
        Command::Deploy(deploy) => deploy.run(&global),
        Command::Promote(promote) => promote.run(&global),
        Command::Rollback(rollback) => rollback.run(&global),
        Command::Undeploy(undeploy) => undeploy.run(&global),
        Command::Call(call) => call.run(&global),
        Command::Bench(bench) => bench.run(&global),
        Command::Status(status) => status.run(&global),
        Command::Nodes(nodes) => nodes.run(&global),
        Command::Shards(shards) => shards.run(&global),
        Command::Why(why) => why.run(&global),
        Command::Endpoints(endpoints) => endpoints.run(&global),
        Command::Workloads(workloads) => workloads.run(&global),
        Command::Inspect(inspect) => inspect.run(&global),
        Command::Logs(logs) => logs.run(&global),
        Command::Events(events) => events.run(&global),
        Command::Audit(audit) => audit.run(&global),
        Command::Weigher(weigher) => weigher.run(&global),
        Command::Plan(plan) => plan.run(&global),
        Command::Rebalance(rebalance) => rebalance.run(&global),
        Command::Settings(settings) => settings.run(&global),
        Command::StepDown(step_down) => step_down.run(&global),
        Command::Certificates(certificates) => certificates.run(&global),
        Command::Token(token) => token.run(&global),
        Command::Backup(backup) => backup.run(&global),
        Command::Restore(restore) => restore.run(&global),
        Command::Repair(repair) => repair.run(&global),
        Command::Login(login) => login.run(&global),
        Command::Compile => return shardloom_host::compile_child_main(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::reader_left(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shardloom: {error:#}");
            exit_code(&error)
        }
    }
}

/// What the process says of its end: a node that failed on its disk has codes of its own.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    let code = error.chain().find_map(|cause| Some(cause.downcast_ref::<ClusterError>()?.exit_code()));
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command, path: &str) {
            for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
                let path = format!("{path} {}", child.get_name());
                let example = child.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(example.contains(&path), "`{path} --help` shows no example of itself");
                assert!(child.get_about().is_some(), "`{path}` does not say what it does");
                check(child, &path);
            }
        }
        check(&Cli::command(), "shardloom");
    }

    #[test]
    fn a_node_is_run_by_flags_and_managed_by_subcommands() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("shardloom node --data d --bootstrap").is_ok());
        assert!(parse("shardloom node drain 00000000000000a1 --server http://a:1,http://b:2").is_ok());
        assert!(parse("shardloom --json node remove 00000000000000a1 --force").is_ok());
        assert!(parse("shardloom node --data d drain 00000000000000a1").is_err());
    }
}
