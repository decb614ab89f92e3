//! A shard's state in a map, as a node's replica would have it: calls see it, and what they leave goes into it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use shardloom_host::{
    CallEnd, CallError, Failure, HandlerInstance, Reply, Request, StateError, StateView, Write,
};

use crate::fixture::{far, request, text};

type Rows = BTreeMap<Bytes, Bytes>;

/// One workload's state on one shard.
#[derive(Clone, Default)]
pub(crate) struct State(Arc<Mutex<Arc<Rows>>>);

/// The state as of the start of a call.
struct Snapshot(Arc<Rows>);

/// A state on a broken disk.
pub(crate) struct Broken;

impl State {
    pub(crate) fn view(&self) -> Arc<dyn StateView> {
        Arc::new(Snapshot(Arc::clone(&self.0.lock().unwrap())))
    }

    pub(crate) fn apply(&self, writes: &[Write]) {
        assert!(writes.is_sorted_by(|one, other| one.key < other.key), "sorted, each key once");
        let mut rows = self.0.lock().unwrap();
        let rows = Arc::make_mut(&mut rows);
        for Write { key, value } in writes {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
    }

    /// Puts rows in place for a test; keys as the guest's `store` has them.
    pub(crate) fn fill(&self, rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) {
        let write = |(key, value): (Vec<u8>, Vec<u8>)| Write {
            key: [&[0], &key[..]].concat().into(),
            value: Some(value.into()),
        };
        let mut writes: Vec<Write> = rows.into_iter().map(write).collect();
        writes.sort_by(|one, other| one.key.cmp(&other.key));
        self.apply(&writes);
    }

    pub(crate) fn rows(&self) -> Vec<(Bytes, Bytes)> {
        let rows = self.0.lock().unwrap();
        rows.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows().is_empty()
    }

    /// Runs a call and keeps what it leaves; a call without a reply leaves nothing.
    pub(crate) async fn run(
        &self,
        instance: &mut HandlerInstance,
        request: Request,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let CallEnd { result, writes } = instance.call(request, deadline, self.view()).await;
        assert!(result.is_ok() || writes.is_empty(), "{result:?} leaves {writes:?}");
        self.apply(&writes);
        result
    }

    pub(crate) async fn call(
        &self,
        instance: &mut HandlerInstance,
        key: &str,
        method: &str,
        body: &str,
    ) -> Result<Reply, CallError> {
        self.run(instance, request(key, method, body), far()).await
    }

    /// A call that is expected to be refused.
    pub(crate) async fn refusal(
        &self,
        instance: &mut HandlerInstance,
        key: &str,
        method: &str,
        body: &str,
    ) -> Failure {
        match self.call(instance, key, method, body).await {
            Err(CallError::Failure(failure)) => failure,
            other => panic!("{method} {body}: {other:?}"),
        }
    }

    /// A call that is expected to be answered with text.
    pub(crate) async fn ask(
        &self,
        instance: &mut HandlerInstance,
        key: &str,
        method: &str,
        body: &str,
    ) -> String {
        text(self.call(instance, key, method, body).await)
    }
}

impl StateView for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut found, mut found_bytes) = (Vec::new(), 0);
        for (key, value) in self.0.range::<[u8], _>((Bound::Included(start), end)) {
            if found.len() >= rows || found_bytes >= bytes {
                break;
            }
            found_bytes += key.len() + value.len();
            found.push((key.clone(), value.clone()));
        }
        Ok(found)
    }

    fn bytes(&self) -> u64 {
        self.0.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }
}

impl StateView for Broken {
    fn get(&self, _: &[u8]) -> Result<Option<Bytes>, StateError> {
        Err(StateError::new("input/output error"))
    }

    fn scan(
        &self,
        _: &[u8],
        _: Option<&[u8]>,
        _: usize,
        _: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        Err(StateError::new("input/output error"))
    }

    fn bytes(&self) -> u64 {
        0
    }
}
