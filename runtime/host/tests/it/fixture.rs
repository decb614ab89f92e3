//! A host in a directory of its own, and guests by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shardloom_host::{
    CallError, Compiler, Digest, HandlerInstance, Host, HostOptions, InstantiateError, Limits, LogSink,
    Outgoing, Place, PreparedHandler, Reply, Request, Setting, SharedLog,
};
use shardloom_sharding::ids::{Epoch, NodeId, ShardId};
use tempfile::TempDir;

/// A host and what goes with it.
pub(crate) struct Fixture {
    pub(crate) host: Host,
    /// What guests logged, and how many lines were dropped before each.
    pub(crate) lines: Arc<Mutex<Vec<(String, u64)>>>,
    pub(crate) directory: TempDir,
    /// By whom its guests send requests.
    pub(crate) outgoing: Option<Arc<dyn Outgoing>>,
}

/// The bytes of a guest's component.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let directory = std::env::var_os("SHARDLOOM_GUESTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests"), PathBuf::from);
    let path = directory.join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", path.display()))
}

pub(crate) fn compiler() -> Compiler {
    Compiler { executable: env!("CARGO_BIN_EXE_shardloom-host-compile").into(), arguments: Vec::new() }
}

/// A deadline that only a hanging call meets.
pub(crate) fn far() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

pub(crate) fn request(key: &str, method: &str, body: &str) -> Request {
    Request {
        key: key.to_owned(),
        method: method.to_owned(),
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
        http: None,
    }
}

pub(crate) fn text(reply: Result<Reply, CallError>) -> String {
    String::from_utf8(reply.unwrap().body).unwrap()
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        Fixture::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut HostOptions)) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let mut options = HostOptions::new(directory.path().join("components"), compiler());
        change(&mut options);
        Fixture { host: Host::new(options).unwrap(), lines: Arc::default(), directory, outgoing: None }
    }

    pub(crate) async fn admit(&self, name: &str) -> Digest {
        self.host.admit(&guest(name)).await.unwrap().digest
    }

    pub(crate) async fn handler(&self, name: &str) -> PreparedHandler {
        self.host.handler(&self.admit(name).await).await.unwrap()
    }

    pub(crate) async fn instantiate(
        &self,
        handler: &PreparedHandler,
        limits: &Limits,
    ) -> Result<HandlerInstance, InstantiateError> {
        let place = Place {
            shard: ShardId(3),
            shard_count: 16,
            epoch: Epoch(7),
            node: NodeId(0xab),
            workload: "tested".into(),
            version: 2,
        };
        let config = BTreeMap::from([("colour".to_owned(), "blue".to_owned())]);
        let lines = Arc::clone(&self.lines);
        let sink = LogSink::new(move |line| {
            let mut lines = lines.lock().unwrap();
            lines.push((format!("{:?} {} {}", line.level, line.context, line.message), line.dropped));
        });
        let setting = Setting {
            place,
            config: Arc::new(config),
            log: SharedLog::new(sink, limits),
            outgoing: self.outgoing.clone(),
        };
        HandlerInstance::instantiate(handler, limits, setting).await
    }

    /// An instance with the limits that a workload has by default.
    pub(crate) async fn instance(&self, name: &str) -> HandlerInstance {
        self.instance_within(name, Limits::default()).await
    }

    pub(crate) async fn instance_within(&self, name: &str, limits: Limits) -> HandlerInstance {
        self.instantiate(&self.handler(name).await, &limits).await.unwrap()
    }
}
