//! The same load on our write-ahead log and on TiKV's raft-engine, in turn, in one run: `cargo run --release`, with the
//! seconds of a round and the directory as arguments if need be.

#[path = "../../benches/load/mod.rs"]
mod load;

use std::path::Path;
use std::time::{Duration, Instant};

use load::{Figures, KEPT, LOGS, PAYLOAD_BYTES, figures, ours};
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt};

const ROUNDS: usize = 7;

/// An entry of raft-engine: its index, then the payload.
struct Entry;

impl MessageExt for Entry {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        u64::from_le_bytes(entry.value[..8].try_into().expect("an entry starts with its index"))
    }
}

/// Runs the load on raft-engine: its writers are threads, because its write blocks.
fn raft_engine(dir: &Path, writers: u64, duration: Duration) -> Figures {
    let config = Config { dir: dir.display().to_string(), ..Config::default() };
    let engine = Engine::open(config).expect("raft-engine opens");
    let started = Instant::now();
    let waits: Vec<Vec<Duration>> = std::thread::scope(|scope| {
        let run = |writer: u64| {
            let engine = &engine;
            move || {
                let (mut log, mut waits) = (writer, Vec::new());
                while started.elapsed() < duration {
                    let (id, asked) = (16 + log, Instant::now());
                    let index = engine.last_index(id).unwrap_or(0) + 1;
                    let mut entry = BytesValue::default();
                    entry.value = index.to_le_bytes().to_vec();
                    entry.value.resize(PAYLOAD_BYTES, writer as u8);
                    let mut batch = LogBatch::with_capacity(1);
                    batch.add_entries::<Entry>(id, &[entry]).expect("the batch takes it");
                    if index.is_multiple_of(KEPT) {
                        batch.add_command(id, raft_engine::Command::Compact { index: index - KEPT / 2 });
                    }
                    engine.write(&mut batch, true).expect("raft-engine takes it");
                    waits.push(asked.elapsed());
                    log += writers;
                    if log >= LOGS {
                        log = writer;
                    }
                }
                waits
            }
        };
        let threads: Vec<_> = (0..writers).map(|writer| scope.spawn(run(writer))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a writer ends well")).collect()
    });
    let (elapsed, waits) = (started.elapsed(), waits.concat());
    figures(waits.len() as u64, elapsed, waits)
}

fn median(mut runs: Vec<Figures>) -> Figures {
    runs.sort_by(|one, other| one.appends_per_s.total_cmp(&other.appends_per_s));
    runs[runs.len() / 2]
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().and_then(|seconds| seconds.parse().ok()).unwrap_or(2.0);
    let home = arguments.next().unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let duration = Duration::from_secs_f64(seconds);
    println!("appends of {PAYLOAD_BYTES} B over {LOGS} logs, fdatasync, medians of {ROUNDS} rounds in turn");
    for writers in [1, 64] {
        let (mut our_runs, mut their_runs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let dir = tempfile::tempdir_in(&home).expect("a directory can be made");
            our_runs.push(ours(dir.path(), writers, duration));
            let dir = tempfile::tempdir_in(&home).expect("a directory can be made");
            their_runs.push(raft_engine(dir.path(), writers, duration));
        }
        for (name, run) in [("shardloom-store", median(our_runs)), ("raft-engine 0.4.2", median(their_runs))]
        {
            let Figures { appends_per_s, p50, p99 } = run;
            println!("{writers:>3} writers  {name:<18} {appends_per_s:>8.0}/s  p50 {p50:?}  p99 {p99:?}");
        }
    }
}
