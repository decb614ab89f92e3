//! `cargo xtask bench state`: replicated writes and linearizable reads a second, by number of clients, beside etcd and Redis where they
//! are installed.
//!
//! All systems run for the whole time, three processes each on loopback and on the same disk, every write made durable before it is
//! answered, and take turns case by case: what the machine does meanwhile hits them alike.

mod closed_loop;
mod etcd;
mod ours;
mod redis;
mod server;
mod spent;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use self::closed_loop::{Seen, System};
use self::spent::Spent;
use super::figures::Figures;

/// How long a value is, in bytes.
const VALUE_BYTES: usize = 128;
/// How many keys each client has.
const KEYS: usize = 16;

/// Measure replicated writes and linearizable reads through three nodes, beside etcd and a Redis Function with `WAIT 1`.
#[derive(Args)]
pub(crate) struct State {
    /// How many clients call at once, one number a case.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    clients: Vec<usize>,
    /// How many seconds each case is measured in a round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// How many rounds; the middle one counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these operations; left out, all.
    #[arg(long, value_delimiter = ',')]
    ops: Vec<Op>,
    /// Clients go where a call is carried out, as soon as they know: Shardloom's to the owner that replies name, as its client libraries do, etcd's
    /// to the leader. Left out, each client keeps to one node.
    #[arg(long)]
    direct: bool,
    /// Only Shardloom.
    #[arg(long)]
    alone: bool,
    /// Print one JSON value.
    #[arg(long)]
    json: bool,
}

/// What a client does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Op {
    /// Writes a value of 128 bytes; keys over all shards.
    Put,
    /// Reads it.
    Get,
    /// Reads a counter and writes it one higher, in one call.
    Add,
    /// Writes, with all keys of all clients on one shard.
    PutOneShard,
}

impl Op {
    const ALL: [Op; 4] = [Op::Put, Op::Get, Op::Add, Op::PutOneShard];

    fn name(self) -> &'static str {
        match self {
            Op::Put => "put",
            Op::Get => "get",
            Op::Add => "add",
            Op::PutOneShard => "put, one shard",
        }
    }
}

/// What one system did in one case, over all rounds.
#[derive(Default)]
struct Case {
    rates: Vec<f64>,
    latencies: Figures,
    spent: Vec<Spent>,
}

type Cases = BTreeMap<(Op, usize, &'static str), Case>;

impl State {
    pub(crate) fn run(self) -> Result<()> {
        let mut systems: Vec<Box<dyn System>> = vec![Box::new(ours::Ours::start(self.direct)?)];
        if !self.alone {
            systems.extend(etcd::Etcd::start(self.direct)?.map(|etcd| Box::new(etcd) as Box<dyn System>));
            systems.extend(redis::Redis::start()?.map(|redis| Box::new(redis) as Box<dyn System>));
        }
        let ops = if self.ops.is_empty() { Op::ALL.to_vec() } else { self.ops.clone() };
        let mut cases = Cases::default();
        for round in 1..=self.rounds {
            for clients in &self.clients {
                for op in &ops {
                    for system in systems.iter().filter(|system| system.can(*op)) {
                        let what = || format!("{} {} by {clients} clients", system.name(), op.name());
                        let (seen, spent) = self.measure(&**system, *op, *clients).with_context(what)?;
                        let case = cases.entry((*op, *clients, system.name())).or_default();
                        case.rates.push(seen.len() as f64 / self.seconds as f64);
                        seen.into_iter().for_each(|latency| case.latencies.add(latency));
                        case.spent.push(spent);
                    }
                }
            }
            eprintln!("round {round} of {} done", self.rounds);
        }
        if self.json {
            let values: Vec<Value> = cases.iter().map(|(what, case)| case.value(what)).collect();
            println!("{}", serde_json::to_string_pretty(&values)?);
        } else {
            for (what, case) in &cases {
                println!("{}", case.line(what, &cases));
            }
        }
        Ok(())
    }

    fn measure(&self, system: &dyn System, op: Op, clients: usize) -> Result<(Seen, Spent)> {
        let seconds = Duration::from_secs(self.seconds);
        let mut before = Spent::default();
        let seen = closed_loop::run(system, op, clients, seconds, || {
            before = system.spent()?;
            Ok(())
        })?;
        let calls = seen.len() as f64;
        // Read after the clients have ended: what the last of them did beyond the measured time is little beside it.
        Ok((seen, system.spent()?.since(&before).per(calls)))
    }
}

impl Case {
    /// Calls a second in the middle round.
    fn rate(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    }

    fn line(&self, (op, clients, system): &(Op, usize, &'static str), cases: &Cases) -> String {
        let ms = |share| self.latencies.quantile(share).as_secs_f64() * 1000.0;
        let base = cases.get(&(*op, *clients, ours::NAME)).map_or(f64::NAN, Case::rate);
        format!(
            "{:<14} {clients:>4} clients  {system:<9} {:>8.0} /s  ({:>5.2} times as many by {})   p50 {:>7.2} ms   p99 {:>7.2} ms   {}",
            op.name(),
            self.rate(),
            base / self.rate(),
            ours::NAME,
            ms(0.5),
            ms(0.99),
            Spent::middle(&self.spent),
        )
    }

    fn value(&self, (op, clients, system): &(Op, usize, &'static str)) -> Value {
        json!({ "op": op.name(), "clients": clients, "system": system, "per_second": self.rate(), "rounds": self.rates,
                "p50_us": self.latencies.quantile(0.5).as_micros() as u64,
                "p99_us": self.latencies.quantile(0.99).as_micros() as u64,
                "spent_per_call": Spent::middle(&self.spent).value() })
    }
}
