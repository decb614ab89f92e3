//! The state of the test cluster's shards: one copy, which outlives every owner, as the replicated log does.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use shardloom::server::state::{FrozenShard, NotWritten, ShardState};
use shardloom_host::StateError;
use shardloom_protocol::batch::WriteBatch;
use shardloom_protocol::shard_file::StateRow;
use shardloom_sharding::ids::{Epoch, Position, Tail};
use tokio::sync::watch;

#[derive(Default)]
struct Log {
    rows: BTreeMap<(String, Bytes), Bytes>,
    replies: HashMap<u128, (Position, Bytes)>,
    last: Position,
    held: bool,
}

/// One shard's state.
pub(crate) struct TestState {
    log: Mutex<Log>,
    committed: watch::Sender<Position>,
}

impl Default for TestState {
    fn default() -> TestState {
        TestState { log: Mutex::default(), committed: watch::Sender::new(Position(0)) }
    }
}

impl TestState {
    /// From now on nothing is committed, until [`TestState::commit`].
    pub(crate) fn hold(&self) {
        self.log.lock().unwrap().held = true;
    }

    /// How many batches were written.
    pub(crate) fn writes(&self) -> usize {
        self.log.lock().unwrap().last.0 as usize
    }

    /// Commits everything, from now on at once.
    pub(crate) fn commit(&self) {
        let mut log = self.log.lock().unwrap();
        log.held = false;
        self.committed.send_replace(log.last);
    }
}

impl ShardState for TestState {
    fn get(&self, workload: &str, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        let log = self.log.lock().unwrap();
        Ok(log.rows.get(&(workload.to_owned(), Bytes::copy_from_slice(key))).cloned())
    }

    fn scan(
        &self,
        workload: &str,
        start: &[u8],
        end: Option<&[u8]>,
        rows: usize,
        _bytes: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        let log = self.log.lock().unwrap();
        let inside = |key: &Bytes| key[..] >= *start && end.is_none_or(|end| key[..] < *end);
        let found = log.rows.iter().filter(|((owner, key), _)| owner == workload && inside(key));
        Ok(found.take(rows).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn bytes(&self, workload: &str) -> u64 {
        let log = self.log.lock().unwrap();
        let rows = log.rows.iter().filter(|((owner, _), _)| owner == workload);
        rows.map(|((_, key), value)| (key.len() + value.len()) as u64).sum()
    }

    fn bytes_of_all(&self) -> u64 {
        let log = self.log.lock().unwrap();
        log.rows.iter().map(|((_, key), value)| (key.len() + value.len()) as u64).sum()
    }

    fn write<'a>(&'a self, batch: &'a WriteBatch) -> BoxFuture<'a, Result<Position, NotWritten>> {
        let mut log = self.log.lock().unwrap();
        for change in &batch.changes {
            let key = (batch.workload.clone(), change.key.clone());
            match &change.value {
                Some(value) => log.rows.insert(key, value.clone()),
                None => log.rows.remove(&key),
            };
        }
        log.last = log.last.next();
        let last = log.last;
        if let Some(reply) = &batch.reply {
            log.replies.insert(batch.request, (last, reply.clone()));
        }
        if !log.held {
            self.committed.send_replace(last);
        }
        async move { Ok(last) }.boxed()
    }

    fn write_after<'a>(
        &'a self,
        batch: &'a WriteBatch,
        last: Position,
    ) -> BoxFuture<'a, Result<Position, NotWritten>> {
        if self.last() != last {
            return async { Err(NotWritten::Overtaken) }.boxed();
        }
        self.write(batch)
    }

    fn freeze(&self) -> BoxFuture<'_, Result<Arc<dyn FrozenShard>, StateError>> {
        let log = self.log.lock().unwrap();
        let row = |((workload, key), value): (&(String, Bytes), &Bytes)| StateRow {
            key: [&[workload.len() as u8], workload.as_bytes(), key].concat().into(),
            value: value.clone(),
        };
        let mut rows: Vec<StateRow> = log.rows.iter().map(row).collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        let frozen: Arc<dyn FrozenShard> = Arc::new(TestFrozen { last: log.last, rows });
        async { Ok(frozen) }.boxed()
    }

    fn last(&self) -> Position {
        self.log.lock().unwrap().last
    }

    fn committed(&self) -> watch::Receiver<Position> {
        self.committed.subscribe()
    }

    fn reply_of(&self, request: u128) -> Option<(Position, Bytes)> {
        self.log.lock().unwrap().replies.get(&request).cloned()
    }
}

struct TestFrozen {
    last: Position,
    rows: Vec<StateRow>,
}

impl FrozenShard for TestFrozen {
    fn tail(&self) -> Tail {
        Tail { stamp: Epoch(1), position: self.last }
    }

    fn read(&self, start: Bytes, _bytes: usize) -> BoxFuture<'_, Result<Vec<StateRow>, StateError>> {
        // As little at once as may be, so that every reader has to go on.
        let row = self.rows.iter().find(|row| row.key >= start).cloned();
        async move { Ok(row.into_iter().collect()) }.boxed()
    }
}
