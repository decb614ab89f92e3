//! Three nodes of Shardloom; clients speak HTTP, each to the next node in turn.

use std::net::SocketAddr;

use anyhow::Result;
use shardloom_harness::cluster::{Cluster, call_path};

use super::closed_loop::{Client, System};
use super::spent::Spent;
use super::{KEYS, Op, VALUE_BYTES};
use crate::bench::cluster;
use crate::bench::connection::Connection;

/// Its name in the report.
pub(crate) const NAME: &str = "shardloom";
/// The workload whose keys are spread over all shards.
const SPREAD: &str = "kv";
/// The workload whose shard function puts a tenant's keys on one shard.
const TENANT: &str = "kv-one-shard";
/// The workload that counts.
const COUNTER: &str = "counter";

/// The cluster.
pub(crate) struct Ours(Cluster);

impl Ours {
    /// Starts it.
    pub(crate) fn start() -> Result<Ours> {
        let cluster = cluster(1024)?;
        cluster.deploy("kv", SPREAD, &[])?;
        let function = shardloom_harness::artefacts::guest("by-tenant")?.display().to_string();
        cluster.deploy("kv", TENANT, &["--shard-function", &function])?;
        cluster.deploy("counter", COUNTER, &[])?;
        Ok(Ours(cluster))
    }

    fn address(&self, number: usize) -> SocketAddr {
        self.0.node(number % self.0.size()).addresses.http
    }
}

impl System for Ours {
    fn name(&self) -> &'static str {
        NAME
    }

    fn can(&self, _: Op) -> bool {
        true
    }

    fn client(&self, op: Op, number: usize) -> Result<Box<dyn Client>> {
        let mut connection = Connection::open(self.address(number))?;
        let (workload, method, tenant) = match op {
            Op::Put => (SPREAD, "put", format!("c{number}-")),
            Op::Get => (SPREAD, "get", format!("c{number}-")),
            Op::Add => (COUNTER, "add", format!("c{number}-")),
            Op::PutOneShard => (TENANT, "put", format!("all:c{number}-")),
        };
        let value = "v".repeat(VALUE_BYTES);
        let body = |method: &str| match method {
            "put" => value.clone(),
            "add" => "1".to_owned(),
            _ => String::new(),
        };
        let request = |method: &str, key: usize| {
            let (path, body) = (call_path(workload, &format!("{tenant}{key}"), method), body(method));
            format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                .into_bytes()
        };
        if op == Op::Get {
            (0..KEYS).try_for_each(|key| connection.exchange(&request("put", key)))?;
        }
        Ok(Box::new(OurClient { connection, requests: (0..KEYS).map(|key| request(method, key)).collect() }))
    }

    fn spent(&self) -> Result<Spent> {
        let mut spent = Spent::of(self.0.running().filter_map(|node| node.pid()))?;
        for node in self.0.running() {
            spent.add_metrics(&self.0.admin(node.index, "GET", "/metrics").send()?.good()?.text());
        }
        Ok(spent)
    }
}

struct OurClient {
    connection: Connection,
    requests: Vec<Vec<u8>>,
}

impl Client for OurClient {
    fn call(&mut self, turn: usize) -> Result<()> {
        self.connection.exchange(&self.requests[turn % self.requests.len()])
    }
}
