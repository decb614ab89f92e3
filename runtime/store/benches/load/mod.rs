//! The load: appends of 256 bytes to 1,000 logs in turn, each waited for until it is durable.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shardloom_store::{LogId, Record, Wal, WalOptions};

pub(crate) const LOGS: u64 = 1000;
pub(crate) const PAYLOAD_BYTES: usize = 256;
/// An entry stays for as many of its log, then it is given up.
pub(crate) const KEPT: u64 = 100;

/// What a run achieved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) appends_per_s: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

pub(crate) fn figures(appends: u64, elapsed: Duration, mut waits: Vec<Duration>) -> Figures {
    waits.sort_unstable();
    let at = |part: usize| waits.get(waits.len() * part / 100).copied().unwrap_or_default();
    Figures { appends_per_s: appends as f64 / elapsed.as_secs_f64(), p50: at(50), p99: at(99) }
}

/// Runs the load on our log with so many writers; each writes to logs of its own.
pub(crate) fn ours(dir: &Path, writers: u64, duration: Duration) -> Figures {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("the runtime starts");
    let (wal, _) = Wal::open(dir, WalOptions::default()).expect("the log opens");
    let appends = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let waits = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..writers {
            let (wal, appends) = (wal.clone(), appends.clone());
            tasks.spawn(async move {
                let payload = Bytes::from(vec![writer as u8; PAYLOAD_BYTES]);
                let (mut log, mut waits) = (writer, Vec::new());
                while started.elapsed() < duration {
                    let (id, asked) = (LogId(16 + log), Instant::now());
                    let index = wal.last_index(id).unwrap_or(0) + 1;
                    let mut records = vec![Record::Append { log: id, index, payload: payload.clone() }];
                    if index.is_multiple_of(KEPT) {
                        records.push(Record::Purge { log: id, upto: index - KEPT / 2 });
                    }
                    let ticket = wal.submit(records).await.expect("the log takes it");
                    ticket.durable().await.expect("the disk takes it");
                    waits.push(asked.elapsed());
                    appends.fetch_add(1, Ordering::Relaxed);
                    log += writers;
                    if log >= LOGS {
                        log = writer;
                    }
                }
                waits
            });
        }
        tasks.join_all().await.concat()
    });
    let elapsed = started.elapsed();
    wal.close().expect("the log closes");
    figures(appends.load(Ordering::Relaxed), elapsed, waits)
}
