//! `shardloom bench`: calls a workload as its users would, and says how long that took and what failed.
//!
//! In reading order: `requests` are the bytes of calls, `draw` picks keys and methods, `schedule` says when calls begin; `known` asks the cluster
//! who is there; `answer` reads what nodes say, `connection` carries it, `nodes` and `owners` choose whom to ask, `load` runs the clients with `alarm`
//! for a clock; `tally` counts, `report` shows.

mod alarm;
mod answer;
mod connection;
mod draw;
mod known;
mod load;
mod nodes;
mod owners;
mod report;
mod requests;
mod run;
mod schedule;
mod tally;

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use shardloom_transport::outside::Trust;
use tokio_util::sync::CancellationToken;

use super::Global;
use super::client::Client;
use draw::Draw;
use known::{Kind, Known};
use load::{Load, Loop, Through};
use nodes::Nodes;
use owners::Owners;
use report::Report;
use requests::{KEY, Requests, Wanted, Weighted, weighted};
use run::{Plan, Seen};
use tally::Part;

/// Clients of a closed loop that was not told how many.
const CLIENTS: u16 = 16;
/// Clients at most: each may have a connection to each node.
const CLIENTS_MAX: u16 = 10_000;
/// Calls a second at most: one thread does not make more.
const RATE_MAX: f64 = 1_000_000.0;
/// Keys at most: what is known of the owner of each takes a few bytes.
const KEYS_MAX: u32 = 100_000_000;

/// Call a workload under load, and show latencies and failures by node.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom bench words --clients 64 --keys 10000 --zipf 0.99
  shardloom bench counter --rate 500 --seconds 30 --method add:1 --method get:3 --body 1
  shardloom bench counter --method get --through all,owner
  shardloom bench web-kv --path '/{key}' --method GET:3 --method PUT:1 --body tea --json

A closed loop (--clients) makes each call when the one before has ended: it shows how much the cluster carries. An open loop (--rate) begins
calls at a steady rate whatever becomes of the others, and counts latencies from the moment when a call was to begin, so that a pause of the
cluster shows in all the calls that it holds up. Calls are made once: what fails is counted, by code and by whether it was carried out.

Each second, a line on standard error says how it goes. Ctrl-C ends the run early, with the figures so far; a second one gives up the calls that
are still under way.")]
pub(super) struct Bench {
    /// The workload's name.
    workload: String,
    /// An open loop: so many calls a second.
    #[arg(long, value_name = "PER-SECOND", conflicts_with = "clients", value_parser = rate)]
    rate: Option<f64>,
    /// A closed loop: so many clients that call without pause. This is what is done without --rate, with 16.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(CLIENTS_MAX)))]
    clients: Option<u16>,
    /// How many calls of an open loop may be under way at once; those that find no room begin late.
    #[arg(long, value_name = "N", default_value_t = 512, requires = "rate",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(CLIENTS_MAX)))]
    outstanding: u16,
    /// How long it is measured, for each way of --through.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// How long it is called before that, for each way of --through.
    #[arg(long, value_name = "S", default_value_t = 2)]
    warm_up: u32,
    /// How many keys are called: the prefix and a number each.
    #[arg(long, value_name = "N", default_value_t = 1_000, help_heading = "What is called",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(KEYS_MAX)))]
    keys: u32,
    /// How keys begin.
    #[arg(long, value_name = "TEXT", default_value = "bench-", help_heading = "What is called")]
    key_prefix: String,
    /// Call some keys more often than others, by Zipf's law with this exponent; 0.99 is usual.
    #[arg(long, value_name = "EXPONENT", help_heading = "What is called")]
    zipf: Option<f64>,
    /// What keys and methods are drawn by; left out, it is random, and shown.
    #[arg(long, value_name = "N", help_heading = "What is called")]
    seed: Option<u64>,
    /// The method, with a weight where there are several; of HTTP where there is a path. May be repeated.
    #[arg(long, value_name = "NAME[:WEIGHT]", value_parser = weighted, help_heading = "What is called")]
    method: Vec<Weighted>,
    /// The body of each call.
    #[arg(long, value_name = "TEXT", default_value = "", help_heading = "What is called")]
    body: String,
    /// A file with the body of each call.
    #[arg(long, value_name = "FILE", conflicts_with = "body", help_heading = "What is called")]
    body_file: Option<PathBuf>,
    /// For a component of wasi:http: the path behind /w/WORKLOAD, with {key} where the key is.
    #[arg(long, value_name = "PATH", help_heading = "What is called")]
    path: Option<String>,
    /// A header of each call, {key} in it stands for the key; may be repeated.
    #[arg(long, value_name = "NAME: VALUE", help_heading = "What is called")]
    header: Vec<String>,
    /// Whom to ask; several, separated by commas, take turns in one run.
    #[arg(
        long,
        value_enum,
        value_name = "WHERE",
        value_delimiter = ',',
        default_value = "all",
        help_heading = "What is called"
    )]
    through: Vec<Through>,
    /// How long a call may take, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10_000, help_heading = "What is called",
          value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    timeout_ms: u64,
}

impl Bench {
    pub(super) fn run(mut self, global: &Global) -> anyhow::Result<()> {
        if self.method.is_empty() {
            let name = if self.path.is_some() { "GET" } else { "" };
            self.method.push(Weighted { name: name.to_owned(), weight: 1 });
        }
        let requests = self.requests()?;
        let seed = match self.seed {
            Some(seed) => seed,
            None => u64::from(getrandom::u32().context("this system gives no random numbers: give --seed")?),
        };
        let client = global.client()?;
        let kind = if self.path.is_some() { Kind::Http } else { Kind::Handler };
        let known = Known::of(&client, &self.workload, kind)?;
        if let Some(gap) = &known.gap {
            eprintln!("shardloom: {gap}");
        }
        let nodes = Nodes::new(&known.nodes, trust(&client, global)?)?;
        let owners = self.owners(&known, &nodes, &requests);
        let load = Load {
            requests,
            nodes: RefCell::new(nodes),
            owners: RefCell::new(owners),
            draw: RefCell::new(Draw::new(
                seed,
                self.keys,
                self.zipf,
                self.method.iter().map(|method| method.weight),
            )?),
            time: Duration::from_millis(self.timeout_ms),
            recent: RefCell::new(Part::default()),
            stopped: Cell::new(None),
            stop: CancellationToken::new(),
            give_up: CancellationToken::new(),
        };
        more_descriptors();
        let pattern = self.pattern();
        let plan = Plan { through: &self.through, pattern, seconds: self.seconds, warm_up: self.warm_up };
        let Seen { lanes, warm_up, busy } = run::run(&load, &plan)?;
        let nodes = load.nodes.into_inner();
        let report = Report {
            workload: &self.workload,
            pattern,
            keys: self.keys,
            zipf: self.zipf,
            seed,
            methods: &self.method,
            nodes: &nodes,
            lanes: &lanes,
            warm_up: &warm_up,
            busy,
            interrupted: load.stopped.get().is_some(),
        };
        global.output().print(&report.value(), |_| Ok(report.text()))?;
        let failed = lanes.iter().flat_map(|lane| &lane.tally.failures);
        let worst = failed.max_by_key(|(_, failures)| failures.calls);
        match worst {
            Some(((code, _), failures)) if lanes.iter().all(|lane| lane.tally.all.ok == 0) => {
                bail!("no call succeeded; most failed with {code}: {}", failures.detail)
            }
            _ => Ok(()),
        }
    }

    fn pattern(&self) -> Loop {
        match self.rate {
            Some(per_second) => Loop::Open { per_second, outstanding: usize::from(self.outstanding) },
            None => Loop::Closed { clients: usize::from(self.clients.unwrap_or(CLIENTS)) },
        }
    }

    fn requests(&self) -> anyhow::Result<Requests> {
        let body = match &self.body_file {
            Some(path) => std::fs::read(path).with_context(|| path.display().to_string())?,
            None => self.body.clone().into_bytes(),
        };
        let has_key = |text: &String| text.contains(KEY);
        let keyed = self.path.as_ref().is_none_or(has_key) || self.header.iter().any(has_key);
        ensure!(
            keyed || self.keys == 1,
            "neither --path nor a --header has {KEY} in it, so all calls would be the same: put it where the workload takes its key from, \
             or give --keys 1"
        );
        Requests::new(&Wanted {
            workload: &self.workload,
            path: self.path.as_deref(),
            methods: &self.method,
            headers: &self.header,
            body: &body,
            key_prefix: &self.key_prefix,
            timeout_ms: self.timeout_ms,
        })
    }

    /// What is known of owners beforehand; nothing where nobody asks for them.
    fn owners(&self, known: &Known, nodes: &Nodes, requests: &Requests) -> Owners {
        if !self.through.contains(&Through::Owner) {
            return Owners::default();
        }
        let mut owners = Owners::new(self.keys);
        if let Some(count) = known.shard_count {
            owners.assume(count, |key| requests.key(key));
        }
        for (shard, id) in &known.owners {
            if let Some(node) = nodes.of_id(*id) {
                owners.note_owner(*shard, node);
            }
        }
        owners
    }
}

/// Whom to trust, where the first server is one of https.
fn trust(client: &Client, global: &Global) -> anyhow::Result<Option<Trust>> {
    if !client.servers().first().is_some_and(|server| server.starts_with("https:")) {
        return Ok(None);
    }
    let trust = match &global.ca_cert {
        Some(path) => {
            let pem = std::fs::read(path).with_context(|| path.display().to_string())?;
            Trust::in_pem(&pem).with_context(|| format!("{} holds no certificate", path.display()))?
        }
        None => Trust::of_system()?,
    };
    Ok(Some(trust))
}

/// Lets this process have as many descriptors as it may: a connection is one. Where it may not, calls say that they found none.
fn more_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "give calls a second as a number".to_owned())?;
    if rate > 0.0 && rate <= RATE_MAX {
        return Ok(rate);
    }
    Err(format!("it must be above 0, and at most {RATE_MAX}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bench: Bench,
    }

    fn parsed(line: &str) -> Result<Bench, clap::Error> {
        Line::try_parse_from(format!("bench {line}").split(' ')).map(|line| line.bench)
    }

    #[test]
    fn a_loop_is_closed_unless_there_is_a_rate() {
        let pattern = |line| parsed(line).map(|bench| bench.pattern()).ok();
        assert_eq!(pattern("w"), Some(Loop::Closed { clients: 16 }));
        assert_eq!(pattern("w --clients 3"), Some(Loop::Closed { clients: 3 }));
        assert_eq!(pattern("w --rate 0.5"), Some(Loop::Open { per_second: 0.5, outstanding: 512 }));
        assert_eq!(pattern("w --rate 5 --clients 3"), None);
        assert_eq!(pattern("w --rate 0"), None);
        assert_eq!(pattern("w --clients 0"), None);
    }

    #[test]
    fn ways_may_take_turns() {
        let through = parsed("w --through all,owner --through one").map(|bench| bench.through).ok();
        assert_eq!(through, Some(vec![Through::All, Through::Owner, Through::One]));
        assert!(parsed("w --through nobody").is_err());
    }

    #[test]
    fn a_path_without_a_key_is_refused_unless_there_is_but_one() {
        let requests = |line| parsed(line).ok().and_then(|bench| bench.requests().ok()).is_some();
        assert!(!requests("w --path /x"));
        assert!(requests("w --path /x --keys 1"));
        assert!(requests("w --path /x --header a:{key}"));
        assert!(requests("w --path /{key}"));
    }
}
