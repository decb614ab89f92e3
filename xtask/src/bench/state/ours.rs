//! Three nodes of Shardloom; clients speak HTTP, each to the next node in turn, or to the owner of each key once a reply has named it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;

use anyhow::{Context, Result};
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

/// The reply's header that names the owner's address.
const OWNER: &str = "shardloom-node-http";

/// The cluster.
pub(crate) struct Ours {
    cluster: Cluster,
    /// Whether clients go to owners.
    direct: bool,
}

impl Ours {
    /// Starts it.
    pub(crate) fn start(direct: bool) -> Result<Ours> {
        let cluster = cluster(1024)?;
        cluster.deploy("kv", SPREAD, &[])?;
        let function = shardloom_harness::artefacts::guest("by-tenant")?.display().to_string();
        cluster.deploy("kv", TENANT, &["--shard-function", &function])?;
        cluster.deploy("counter", COUNTER, &[])?;
        Ok(Ours { cluster, direct })
    }

    fn address(&self, number: usize) -> SocketAddr {
        self.cluster.node(number % self.cluster.size()).addresses.http
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
        let requests: Vec<Vec<u8>> = (0..KEYS).map(|key| request(method, key)).collect();
        if !self.direct {
            return Ok(Box::new(KeepingClient { connection, requests }));
        }
        let mut client = DirectClient { connections: BTreeMap::new(), calls: Vec::new() };
        for request in requests {
            connection.exchange(&request)?;
            let owner: SocketAddr = connection.header(OWNER).context("a reply names no owner")?.parse()?;
            client.connect(owner)?;
            client.calls.push((owner, request));
        }
        Ok(Box::new(client))
    }

    fn spent(&self) -> Result<Spent> {
        let mut spent = Spent::of(self.cluster.running().filter_map(|node| node.pid()))?;
        for node in self.cluster.running() {
            spent.add_metrics(&self.cluster.admin(node.index, "GET", "/metrics").send()?.good()?.text());
        }
        Ok(spent)
    }
}

/// Keeps to one node.
struct KeepingClient {
    connection: Connection,
    requests: Vec<Vec<u8>>,
}

impl Client for KeepingClient {
    fn call(&mut self, turn: usize) -> Result<()> {
        self.connection.exchange(&self.requests[turn % self.requests.len()])
    }
}

/// Goes to the owner of each key.
struct DirectClient {
    connections: BTreeMap<SocketAddr, Connection>,
    calls: Vec<(SocketAddr, Vec<u8>)>,
}

impl DirectClient {
    /// Makes a connection to a node that has none.
    fn connect(&mut self, node: SocketAddr) -> Result<()> {
        if let Entry::Vacant(vacant) = self.connections.entry(node) {
            vacant.insert(Connection::open(node)?);
        }
        Ok(())
    }
}

impl Client for DirectClient {
    fn call(&mut self, turn: usize) -> Result<()> {
        let (owner, request) = &mut self.calls[turn % KEYS];
        let connection = self.connections.get_mut(owner).context("no connection to an owner")?;
        connection.exchange(request)?;
        let said = connection.header(OWNER).context("a reply names no owner")?.parse()?;
        if said == *owner {
            return Ok(());
        }
        *owner = said;
        self.connect(said)
    }
}
