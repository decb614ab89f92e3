//! `cargo xtask bench rolling`: every node is told to end and is started again, under load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde_json::json;
use shardloom_harness::cluster::{Cluster, call_path};
use shardloom_harness::{Http, Witness};

use super::figures::Figures;
use super::{WORKLOAD, cluster};

/// How many keys are called all the time.
const KEYS: usize = 64;
/// How often a key is called.
const EVERY: Duration = Duration::from_millis(20);
/// How long a node may take to be back.
const BACK_MAX: Duration = Duration::from_secs(60);
/// How long is called after each restart, to see late effects.
const AFTER: Duration = Duration::from_secs(2);

/// Restart every node by SIGTERM under load; count failed calls and measure the longest pause.
#[derive(Args)]
pub(crate) struct Rolling {
    /// How often the whole cluster is rolled.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How many shards the cluster has.
    #[arg(long, default_value_t = 1024)]
    shards: u32,
    /// Print one JSON value.
    #[arg(long)]
    json: bool,
}

/// One restart of one node.
struct Restart {
    led: bool,
    begun: Instant,
    end: Instant,
}

/// What one client saw.
struct Client {
    answers: Vec<Instant>,
    failures: Vec<String>,
    witness: Witness,
}

impl Rolling {
    pub(crate) fn run(self) -> Result<()> {
        let mut cluster = cluster(self.shards)?;
        let nodes: Vec<String> = (0..cluster.size()).map(|index| cluster.url(index, "")).collect();
        let done = AtomicBool::new(false);
        let (restarts, clients) = thread::scope(|scope| {
            let clients: Vec<_> = (0..KEYS)
                .map(|number| {
                    let (nodes, done) = (&nodes, &done);
                    scope.spawn(move || client(nodes, number, done))
                })
                .collect();
            let restarts: Result<Vec<Restart>> = (0..self.runs).try_fold(Vec::new(), |mut all, _| {
                all.extend(roll(&mut cluster)?);
                Ok(all)
            });
            done.store(true, Ordering::Relaxed);
            let clients: Result<Vec<Client>> = clients
                .into_iter()
                .map(|one| one.join().map_err(|_| anyhow!("a client panicked"))?)
                .collect();
            Ok::<_, anyhow::Error>((restarts?, clients?))
        })?;
        self.report(&restarts, clients)
    }

    fn report(&self, restarts: &[Restart], clients: Vec<Client>) -> Result<()> {
        let (mut leading, mut following) = (Figures::default(), Figures::default());
        for restart in restarts {
            let longest =
                clients.iter().map(|client| pause(&client.answers, restart)).max().unwrap_or_default();
            if restart.led { leading.add(longest) } else { following.add(longest) }
        }
        let calls: usize = clients.iter().map(|client| client.answers.len()).sum();
        let failures: Vec<String> = clients.iter().flat_map(|client| client.failures.clone()).collect();
        let mut witness = Witness::default();
        clients.into_iter().try_for_each(|client| witness.join(client.witness))?;
        witness.verdict()?;
        if self.json {
            let value = json!({ "calls": calls, "failed": failures.len(), "contradictions": 0,
                "leader": leading.value(), "other": following.value() });
            println!("{}", serde_json::to_string_pretty(&value)?);
        } else {
            println!("{}", following.line("longest pause of a key, node that did not lead"));
            println!("{}", leading.line("longest pause of a key, leader"));
            println!("{calls} calls, {} failed; no contradiction among epochs and owners", failures.len());
        }
        match failures.first() {
            Some(first) => bail!("{} calls failed, the first: {first}", failures.len()),
            None => Ok(()),
        }
    }
}

/// Restarts each node, one after another.
fn roll(cluster: &mut Cluster) -> Result<Vec<Restart>> {
    let mut restarts = Vec::new();
    for index in 0..cluster.size() {
        let led = cluster.leader()? == index;
        let begun = Instant::now();
        cluster.terminate(index)?;
        cluster.restart(index)?;
        cluster.wait_for_members(cluster.size(), BACK_MAX)?;
        cluster.wait_until_served(BACK_MAX)?;
        thread::sleep(AFTER);
        restarts.push(Restart { led, begun, end: Instant::now() });
        eprintln!("node {} of {} is back", index + 1, cluster.size());
    }
    Ok(restarts)
}

/// Calls one key all the time; what one node refuses is tried on the next.
fn client(nodes: &[String], number: usize, done: &AtomicBool) -> Result<Client> {
    let http = Http::new();
    let path = call_path(WORKLOAD, &format!("roll-{number}"), "get");
    let mut seen = Client { answers: Vec::new(), failures: Vec::new(), witness: Witness::default() };
    let mut turn = number;
    let mut due = Instant::now();
    while !done.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due = (due + EVERY).max(Instant::now());
        turn += 1;
        let mut refusals = Vec::new();
        for next in 0..nodes.len() {
            let node = &nodes[(turn + next) % nodes.len()];
            match http.ask("POST", format!("{node}{path}")).send() {
                Ok(reply) if reply.status == 200 => {
                    seen.witness.note(&reply)?;
                    seen.answers.push(reply.answered);
                    refusals.clear();
                    break;
                }
                Ok(reply) => refusals.push(format!("{node}: {} {}", reply.status, reply.text())),
                Err(error) => refusals.push(format!("{node}: {error:#}")),
            }
        }
        if !refusals.is_empty() {
            seen.failures.push(refusals.join("; "));
        }
    }
    Ok(seen)
}

/// The longest time between two answers around a restart.
fn pause(answers: &[Instant], restart: &Restart) -> Duration {
    let within: Vec<&Instant> =
        answers.iter().filter(|at| (restart.begun..=restart.end).contains(*at)).collect();
    let between = within.windows(2).map(|pair| pair[1].duration_since(*pair[0]));
    let first = within.first().map_or(restart.end, |at| **at).duration_since(restart.begun);
    between.chain([first]).max().unwrap_or_default()
}
