//! Random histories of one shard's state against a plain map: writes, flushes, logs that give entries up, starts in between.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use shardloom_protocol::batch::{Change, WriteBatch};
use shardloom_sharding::ids::{Epoch, Position, ShardId};
use shardloom_sharding::protocol::messages::{Body, Entry, ShardEpoch};
use shardloom_store::{DataDir, DiskSpace, LogId, Record, SpaceMarks, Wal, WalOptions};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::flusher::{flush_round, flush_shard};
use super::limits::REPLIES_MAX;
use super::replay::Replay;
use super::scan::ScanLimit;
use super::served::{ServedState, Submission};
use super::unflushed::{Due, Unflushed};
use super::{StateDb, open};
use crate::log_entries::{self, LogReader};
use crate::slots;

const SHARD: ShardId = ShardId(5);
const EPOCH: Epoch = Epoch(9);
const WORKLOADS: [&str; 2] = ["kv", "kvx"];

#[derive(Clone, Debug)]
enum Step {
    /// Workload, keys with their values, whether there is a reply.
    Write(usize, Vec<(u8, Option<u8>)>, bool),
    /// Flush up to so many entries before the end.
    Flush(u64),
    /// The same, and the log gives up what it may.
    FlushAndCompact(u64),
    /// A start.
    Reopen,
    /// A start from what is on the disk at this moment: the database has forgotten what came after its last checkpoint.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let change = (0u8..40, prop::option::weighted(0.7, any::<u8>()));
    prop_oneof![
        16 => (0usize..2, prop::collection::vec(change, 0..4), any::<bool>()).prop_map(|(w, c, r)| Step::Write(w, c, r)),
        4 => (0u64..5).prop_map(Step::Flush),
        2 => (0u64..3).prop_map(Step::FlushAndCompact),
        2 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

/// A node's disk, and the state that it serves.
struct Disk {
    _dir: DataDir,
    wal: Wal,
    db: Arc<StateDb>,
    served: ServedState,
    submitted: mpsc::Receiver<Submission>,
    last: Position,
}

impl Disk {
    fn open(path: &Path) -> Disk {
        let dir = DataDir::open(path).unwrap();
        let options =
            WalOptions { segment_bytes: 256 << 10, queue_bytes_max: 64 << 10, cache_bytes_max: 1 << 10 };
        let (wal, recovery) = Wal::open(&path.join("wal"), options).unwrap();
        let space = DiskSpace::open(path, SpaceMarks { low_bytes: 0, high_bytes: 0 }).unwrap();
        let opened = open(&dir, &wal, recovery.disk, &space).unwrap();
        assert_eq!(opened.disk, recovery.disk, "the state was taken for damaged");
        let db = Arc::new(opened.db);
        let last = Position(wal.last_index(LogId::shard(SHARD)).unwrap_or(0));
        let (submit, submitted) = mpsc::channel(8);
        let replay =
            Replay { db: db.clone(), log: LogReader::new(wal.clone()), unflushed: Arc::default(), submit };
        let at = ShardEpoch { shard: SHARD, epoch: EPOCH };
        let (served, _) = replay.open(at, last).unwrap();
        Disk { _dir: dir, wal, db, served, submitted, last }
    }

    async fn write(&mut self, batch: &WriteBatch) {
        let position = self.served.write(batch).await.unwrap();
        let body = Body::Batch(self.submitted.recv().await.unwrap().batch);
        self.last = self.last.next();
        assert_eq!(position, self.last);
        let payload = log_entries::encode(&Entry { stamp: EPOCH, body });
        let append = Record::Append { log: LogId::shard(SHARD), index: position.0, payload };
        self.wal.submit(vec![append]).await.unwrap().durable().await.unwrap();
    }

    async fn flush(&self, behind: u64) -> Position {
        let upto = Position(self.last.0.saturating_sub(behind));
        let log = LogReader::new(self.wal.clone());
        let unflushed = Unflushed::default();
        let spare = flush_shard(&self.db, &log, &unflushed, (SHARD, upto)).unwrap().unwrap().spare;
        let (_, checkpoints) = flush_round(&self.db, &log, &unflushed, &[]).unwrap();
        let value = Bytes::copy_from_slice(&checkpoints.to_le_bytes());
        let count = Record::Set { slot: slots::STATE_CHECKPOINTS, value };
        self.wal.submit(vec![count]).await.unwrap();
        self.served.flushed(upto);
        spare
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// What must be there.
#[derive(Default)]
struct Model {
    rows: [BTreeMap<u8, u8>; 2],
    replies: Vec<(u128, Position)>,
    requests: u128,
}

impl Model {
    fn write(
        &mut self,
        workload: usize,
        changes: &[(u8, Option<u8>)],
        with_reply: bool,
        at: Position,
    ) -> WriteBatch {
        self.requests += 1;
        for (key, value) in changes {
            match value {
                Some(value) => self.rows[workload].insert(*key, *value),
                None => self.rows[workload].remove(key),
            };
        }
        if with_reply {
            self.replies.push((self.requests, at));
        }
        // A value's length is its own number, so that sizes differ.
        let value = |value: u8| Bytes::from(vec![value; usize::from(value) + 1]);
        let change = |(key, to): &(u8, Option<u8>)| Change { key: vec![*key].into(), value: to.map(value) };
        WriteBatch {
            request: self.requests,
            workload: WORKLOADS[workload].to_owned(),
            changes: changes.iter().map(change).collect(),
            reply: with_reply.then(|| Bytes::from(self.requests.to_string())),
            idempotency: None,
        }
    }

    fn check(&self, served: &ServedState) {
        for (workload, rows) in WORKLOADS.iter().zip(&self.rows) {
            let limit = ScanLimit { rows: 1000, bytes: usize::MAX };
            let found = served.scan(workload, &[], None, limit).unwrap();
            let found: Vec<(u8, u8, usize)> =
                found.iter().map(|(key, value)| (key[0], value[0], value.len())).collect();
            let expected: Vec<(u8, u8, usize)> =
                rows.iter().map(|(key, value)| (*key, *value, usize::from(*value) + 1)).collect();
            assert_eq!(found, expected);
            let bytes: usize = expected.iter().map(|(_, _, bytes)| 1 + bytes).sum();
            assert_eq!(served.bytes(workload), bytes as u64);
        }
        for (age, (request, position)) in self.replies.iter().rev().enumerate() {
            let (found, right) = (served.reply_of(*request), (*position, Bytes::from(request.to_string())));
            assert!(found.is_some() || age >= REPLIES_MAX, "the reply {age} back is forgotten");
            assert!(found.is_none_or(|found| found == right), "the reply {age} back is another");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_history_leaves_what_a_plain_map_would_hold(steps in prop::collection::vec(step(), 1..260)) {
        let runtime = Runtime::new().unwrap();
        let mut path = tempfile::tempdir().unwrap();
        let mut disk = Disk::open(path.path());
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Write(workload, changes, reply) => {
                    let batch = model.write(workload, &changes, reply, disk.last.next());
                    runtime.block_on(disk.write(&batch));
                }
                Step::Flush(behind) => drop(runtime.block_on(disk.flush(behind))),
                Step::FlushAndCompact(behind) => runtime.block_on(async {
                    let spare = disk.flush(behind).await;
                    if spare > Position(0) {
                        let purge = Record::Purge { log: LogId::shard(SHARD), upto: spare.0 };
                        disk.wal.submit(vec![purge]).await.unwrap();
                    }
                }),
                Step::Reopen => {
                    drop(disk);
                    disk = Disk::open(path.path());
                    model.check(&disk.served);
                }
                Step::Crash => {
                    let after = tempfile::tempdir().unwrap();
                    copy(path.path(), after.path());
                    drop(disk);
                    path = after;
                    disk = Disk::open(path.path());
                    model.check(&disk.served);
                }
            }
        }
        model.check(&disk.served);
    }
}

#[test]
fn a_database_that_went_back_is_put_aside_and_the_disk_is_another() {
    let runtime = Runtime::new().unwrap();
    let (path, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut disk = Disk::open(path.path());
    let mut model = Model::default();
    let state = path.path().join("state.db");
    for round in 0..2_u8 {
        runtime.block_on(async {
            for _ in 0..100 {
                let batch = model.write(0, &[(round, Some(1))], true, disk.last.next());
                disk.write(&batch).await;
            }
            let spare = disk.flush(0).await;
            let purge = Record::Purge { log: LogId::shard(SHARD), upto: spare.0 };
            disk.wal.submit(vec![purge]).await.unwrap().durable().await.unwrap();
        });
        if round == 0 {
            copy(&state, old.path());
        }
    }
    drop(disk);
    std::fs::remove_dir_all(&state).unwrap();
    copy(old.path(), &state);
    for start in 0..2 {
        let dir = DataDir::open(path.path()).unwrap();
        let (wal, recovery) = Wal::open(&path.path().join("wal"), WalOptions::default()).unwrap();
        let opened = {
            let _inside = runtime.enter();
            let space = DiskSpace::open(path.path(), SpaceMarks { low_bytes: 0, high_bytes: 0 }).unwrap();
            open(&dir, &wal, recovery.disk, &space).unwrap()
        };
        assert_ne!(opened.disk, recovery.disk, "start {start}");
        assert_eq!(opened.db.current(SHARD).meta.applied.position, Position(0));
        assert!(wal.logs().iter().all(|log| log.as_shard().is_none()), "its logs are gone");
        assert!(path.path().join("state.db.damaged-1").exists());
        assert!(!path.path().join("state.db.damaged-2").exists());
    }
}

#[test]
fn a_round_leaves_a_shard_alone_that_was_given_up_since_it_began() {
    let runtime = Runtime::new().unwrap();
    let path = tempfile::tempdir().unwrap();
    let mut disk = Disk::open(path.path());
    let mut model = Model::default();
    let unflushed = Unflushed::default();
    runtime.block_on(async {
        let batch = model.write(0, &[(1, Some(1))], true, disk.last.next());
        disk.write(&batch).await;
        unflushed.applied(SHARD, disk.last);
        let round = unflushed.due(std::time::Instant::now() + std::time::Duration::from_secs(3600));
        assert_eq!(round, Due::Flush(vec![(SHARD, disk.last)]));
        unflushed.replaced(SHARD);
        disk.db.give_up(SHARD);
        disk.wal.submit(vec![Record::Drop { log: LogId::shard(SHARD) }]).await.unwrap();
    });
    let log = LogReader::new(disk.wal.clone());
    assert_eq!(flush_shard(&disk.db, &log, &unflushed, (SHARD, disk.last)).unwrap(), None);
}

#[test]
fn a_thousand_states_with_a_hundred_entries_each_are_made_within_a_second() {
    let runtime = Runtime::new().unwrap();
    let path = tempfile::tempdir().unwrap();
    let mut disk = Disk::open(path.path());
    let mut model = Model::default();
    let batch = model.write(0, &[(1, Some(127))], true, Position(1)).encode(1).unwrap();
    let entry = log_entries::encode(&Entry { stamp: EPOCH, body: Body::Batch(Arc::from(&batch[..])) });
    runtime.block_on(async {
        for shard in (0..1000).map(ShardId) {
            let append = |index| Record::Append { log: LogId::shard(shard), index, payload: entry.clone() };
            disk.wal.submit((1..=100).map(append).collect()).await.unwrap();
        }
    });
    // From the disk, not from memory.
    let path_of = path.path().to_path_buf();
    drop(disk);
    disk = Disk::open(&path_of);
    let (submit, _batches) = mpsc::channel(8);
    let replay = Replay {
        db: disk.db.clone(),
        log: LogReader::new(disk.wal.clone()),
        unflushed: Arc::default(),
        submit,
    };
    let started = std::time::Instant::now();
    let states: Vec<ServedState> = (0..1000)
        .map(|shard| {
            replay.open(ShardEpoch { shard: ShardId(shard), epoch: EPOCH }, Position(100)).unwrap().0
        })
        .collect();
    let took = started.elapsed();
    println!("{} states in {took:?}", states.len());
    assert!(took < std::time::Duration::from_secs(1), "{took:?}");
}
