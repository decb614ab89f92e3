//! What a call costs: warm, with state and without, on a fresh instance, of a shard function, of a weigher; and the memory
//! of a warm instance.
//!
//! `cargo bench -p shardloom-host`; the guests must have been built (`cargo xtask guests`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use divan::{Bencher, black_box};
use shardloom_host::{
    Compiler, HandlerInstance, Host, HostOptions, Limits, LogSink, Place, PreparedHandler, Request, Setting,
    ShardFunction, ShardLoad, SharedLog, StateError, StateView, Weigher,
};
use shardloom_sharding::ids::{Epoch, NodeId, ShardId};
use shardloom_sharding::key::shard_of_str;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Instances whose memory is measured together.
const INSTANCES: u64 = 1_000;

/// `echo` does without state; `word-count` reads a row and writes one.
const HANDLERS: [&str; 2] = ["word-count", "echo"];

/// The key that shard functions are asked for.
const KEY: &str = "52.5200,13.4050:tenant-17";

static BENCH: LazyLock<Bench> = LazyLock::new(Bench::open);

struct Bench {
    runtime: Runtime,
    host: Host,
    state: Arc<dyn StateView>,
    _directory: TempDir,
}

/// A state of one row, so that what is measured is the way there and back.
struct OneRow(Bytes);

impl StateView for OneRow {
    fn get(&self, _: &[u8]) -> Result<Option<Bytes>, StateError> {
        Ok(Some(self.0.clone()))
    }

    fn scan(
        &self,
        _: &[u8],
        _: Option<&[u8]>,
        _: usize,
        _: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        Ok(Vec::new())
    }

    fn bytes(&self) -> u64 {
        100
    }
}

fn main() {
    for name in HANDLERS {
        let handler = BENCH.handler(name);
        let (before, mappings) = (resident_bytes(), mappings());
        let instances: Vec<HandlerInstance> = (0..INSTANCES)
            .map(|_| {
                let mut instance = BENCH.instance(&handler);
                BENCH.call(&mut instance);
                instance
            })
            .collect();
        let each = resident_bytes().saturating_sub(before) / INSTANCES;
        let mappings = (crate::mappings() - mappings) as f64 / INSTANCES as f64;
        println!(
            "{name}: {each} bytes resident and {mappings:.1} mappings per warm instance, {} live",
            instances.len()
        );
    }
    divan::main();
}

#[divan::bench(args = HANDLERS)]
fn warm_call(bencher: Bencher<'_, '_>, name: &str) {
    let mut instance = BENCH.instance(&BENCH.handler(name));
    bencher.bench_local(|| BENCH.call(&mut instance));
}

/// `faulty`, which does nothing but the step named: no state, one read, one write.
#[divan::bench(args = ["ok", "written", "write-blindly"])]
fn warm_call_of_one_step(bencher: Bencher<'_, '_>, method: &str) {
    let mut instance = BENCH.instance(&BENCH.handler("faulty"));
    bencher.bench_local(|| BENCH.call_method(&mut instance, method));
}

#[divan::bench(args = HANDLERS)]
fn fresh_instance_and_call(bencher: Bencher<'_, '_>, name: &str) {
    let handler = BENCH.handler(name);
    bencher.bench_local(|| BENCH.call(&mut BENCH.instance(&handler)));
}

/// What routing costs by the built-in function, beside which stands what it costs by a component.
#[divan::bench]
fn shard_function_built_in(bencher: Bencher<'_, '_>) {
    bencher.bench(|| shard_of_str(black_box(KEY), 1024));
}

/// A component in Rust, and one in C.
#[divan::bench(args = ["by-tenant", "by-range", "by-geohash"])]
fn shard_function(bencher: Bencher<'_, '_>, name: &str) {
    let function = BENCH.shard_function(name);
    bencher.bench(|| function.shard_of(black_box(KEY), 1024));
}

#[divan::bench]
fn weigher_of_10_000_shards(bencher: Bencher<'_, '_>) {
    let weigher = BENCH.weigher();
    let load = |shard| ShardLoad {
        shard,
        calls_per_second: 1.0,
        busy_ms_per_second: 2.5,
        state_bytes: 0,
        queue_depth: 0,
        weight: 1,
    };
    let loads: Vec<ShardLoad> = (0..10_000).map(load).collect();
    bencher.bench_local(|| BENCH.runtime.block_on(weigher.weigh(&loads)));
}

impl Bench {
    fn open() -> Bench {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let compiler = Compiler {
            executable: env!("CARGO_BIN_EXE_shardloom-host-compile").into(),
            arguments: Vec::new(),
        };
        let host = Host::new(HostOptions::new(directory.path(), compiler)).expect("a host");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let state = Arc::new(OneRow(Bytes::from_static(b"41")));
        Bench { runtime, host, state, _directory: directory }
    }

    fn handler(&self, name: &str) -> PreparedHandler {
        self.runtime.block_on(async {
            let admitted = self.host.admit(&guest(name)).await.expect("the guest is admitted");
            self.host.handler(&admitted.digest).await.expect("the guest loads")
        })
    }

    fn shard_function(&self, name: &str) -> ShardFunction {
        self.runtime.block_on(async {
            let admitted = self.host.admit(&guest(name)).await.expect("the guest is admitted");
            self.host.shard_function(&admitted.digest).await.expect("the guest loads")
        })
    }

    fn weigher(&self) -> Weigher {
        self.runtime.block_on(async {
            let admitted = self.host.admit(&guest("by-busy-time")).await.expect("the guest is admitted");
            self.host.weigher(&admitted.digest).await.expect("the guest loads")
        })
    }

    fn instance(&self, handler: &PreparedHandler) -> HandlerInstance {
        let place = Place {
            shard: ShardId(0),
            shard_count: 1,
            epoch: Epoch(1),
            node: NodeId(1),
            workload: "bench".into(),
            version: 1,
        };
        let config = Arc::new(BTreeMap::new());
        let limits = Limits::default();
        let log = SharedLog::new(LogSink::discard(), &limits);
        let setting = Setting { place, config, log, outgoing: None };
        let made = HandlerInstance::instantiate(handler, &limits, setting);
        self.runtime.block_on(made).expect("an instance")
    }

    /// One call with a payload of 100 bytes: a number, where the guest wants one.
    fn call(&self, instance: &mut HandlerInstance) -> usize {
        self.call_method(instance, "add")
    }

    fn call_method(&self, instance: &mut HandlerInstance, method: &str) -> usize {
        let request = Request {
            key: "key".to_owned(),
            method: method.to_owned(),
            headers: Vec::new(),
            body: vec![b'0'; 100],
            http: None,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        let end = self.runtime.block_on(instance.call(request, deadline, Arc::clone(&self.state)));
        end.result.expect("a reply").body.len() + end.writes.len()
    }
}

fn guest(name: &str) -> Vec<u8> {
    let directory = std::env::var_os("SHARDLOOM_GUESTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests"), PathBuf::from);
    std::fs::read(directory.join(format!("{name}.wasm"))).expect("guests: run `cargo xtask guests`")
}

/// Memory of this process that is in RAM.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line for the resident set");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
    kib * 1024
}

/// Mappings of this process; Linux allows 65,530 unless told otherwise.
fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("Linux").lines().count()
}
