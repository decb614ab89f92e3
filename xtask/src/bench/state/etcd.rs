//! Three etcd processes; clients speak gRPC, each on an HTTP/2 connection of its own, to the next member in turn, or all to the leader.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use http::{Method, Request};
use prost::Message;
use shardloom_harness::until;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::closed_loop::{Client, System};
use super::server::{Server, free_address, is_installed, wait_for};
use super::spent::Spent;
use super::{KEYS, Op, VALUE_BYTES};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long the three may take to elect a leader.
const READY_MAX: Duration = Duration::from_secs(60);
/// A gRPC message begins with a flag and its length.
const FRAME_HEAD_BYTES: usize = 5;

/// `etcdserverpb.PutRequest`, as far as it is needed here.
#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `etcdserverpb.RangeRequest`: linearizable unless it says otherwise.
#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

/// `etcdserverpb.RangeResponse`.
#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(int64, tag = "4")]
    count: i64,
}

/// `etcdserverpb.StatusResponse`, as far as it is needed here.
#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// `etcdserverpb.ResponseHeader`.
#[derive(Clone, PartialEq, Message)]
struct ResponseHeader {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

/// The three processes.
pub(crate) struct Etcd {
    /// Whether clients go to the leader.
    direct: bool,
    clients: Vec<SocketAddr>,
    servers: Vec<Server>,
    _directory: TempDir,
}

impl Etcd {
    /// Starts them; none where it is not installed.
    pub(crate) fn start(direct: bool) -> Result<Option<Etcd>> {
        if !is_installed("etcd", "etcd-server") {
            return Ok(None);
        }
        let directory = TempDir::new()?;
        let addresses = |_| free_address();
        let clients = (0..3).map(addresses).collect::<Result<Vec<_>>>()?;
        let peers = (0..3).map(addresses).collect::<Result<Vec<_>>>()?;
        let members: Vec<String> =
            peers.iter().enumerate().map(|(number, peer)| format!("n{number}=http://{peer}")).collect();
        let mut servers = Vec::new();
        for (number, (client, peer)) in clients.iter().zip(&peers).enumerate() {
            let home = directory.path().join(number.to_string());
            let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
            let mut command = Command::new("etcd");
            command.args(["--name", &format!("n{number}"), "--log-level", "error", "--data-dir"]);
            command.arg(home.join("data"));
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster", &members.join(","), "--initial-cluster-state", "new"]);
            servers.push(Server::start(&mut command, &home)?);
        }
        clients.iter().try_for_each(|address| wait_for(*address))?;
        let etcd = Etcd { direct, clients, servers, _directory: directory };
        until("etcd to take a write", READY_MAX, || EtcdClient::open(etcd.clients[0], Op::Put, 0)?.call(0))?;
        Ok(Some(etcd))
    }
}

impl System for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn can(&self, op: Op) -> bool {
        matches!(op, Op::Put | Op::Get)
    }

    fn client(&self, op: Op, number: usize) -> Result<Box<dyn Client>> {
        let address = if self.direct { self.leader()? } else { self.clients[number % self.clients.len()] };
        if op == Op::Get {
            let mut writer = EtcdClient::open(address, Op::Put, number)?;
            (0..KEYS).try_for_each(|turn| writer.call(turn))?;
        }
        Ok(Box::new(EtcdClient::open(address, op, number)?))
    }

    fn spent(&self) -> Result<Spent> {
        Spent::of(self.servers.iter().map(Server::pid))
    }
}

impl Etcd {
    /// Where the leader takes clients.
    fn leader(&self) -> Result<SocketAddr> {
        for address in &self.clients {
            let answer = EtcdClient::open(*address, Op::Get, 0)?
                .ask(STATUS, Bytes::from_static(&[0; FRAME_HEAD_BYTES]))?;
            let status = StatusResponse::decode(&answer[FRAME_HEAD_BYTES..])?;
            if status.header.is_some_and(|header| header.member_id == status.leader) {
                return Ok(*address);
            }
        }
        bail!("no member of etcd leads")
    }
}

/// Asks a member how it is.
const STATUS: &str = "etcdserverpb.Maintenance/Status";

struct EtcdClient {
    address: SocketAddr,

    runtime: Runtime,
    connection: Connection<TcpStream>,
    requests: SendRequest<Bytes>,
    method: &'static str,
    reads: bool,
    messages: Vec<Bytes>,
}

impl EtcdClient {
    fn open(address: SocketAddr, op: Op, number: usize) -> Result<EtcdClient> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (requests, connection) = runtime.block_on(async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            anyhow::Ok(h2::client::handshake(stream).await?)
        })?;
        let key = |key: usize| format!("c{number}-{key}").into_bytes();
        let reads = op == Op::Get;
        let message = |at: usize| match reads {
            true => framed(&RangeRequest { key: key(at) }),
            false => framed(&PutRequest { key: key(at), value: vec![b'v'; VALUE_BYTES] }),
        };
        let method = if reads { "etcdserverpb.KV/Range" } else { "etcdserverpb.KV/Put" };
        Ok(EtcdClient {
            address,
            runtime,
            connection,
            requests,
            method,
            reads,
            messages: (0..KEYS).map(message).collect(),
        })
    }
}

impl EtcdClient {
    /// One call; the answer is a whole message.
    fn ask(&mut self, method: &str, message: Bytes) -> Result<Vec<u8>> {
        let EtcdClient { address, runtime, connection, requests, .. } = self;
        let uri = format!("http://{address}/{method}");
        let exchange = async {
            tokio::select! {
                biased;
                answer = exchange(requests, &uri, message) => answer,
                ended = connection => {
                    ended?;
                    bail!("the connection ended")
                }
            }
        };
        let answer = runtime.block_on(async { timeout(ANSWER_MAX, exchange).await })??;
        // A refusal comes as trailers alone.
        ensure!(answer.len() > FRAME_HEAD_BYTES, "etcd refused");
        Ok(answer)
    }
}

impl Client for EtcdClient {
    fn call(&mut self, turn: usize) -> Result<()> {
        let message = self.messages[turn % self.messages.len()].clone();
        let answer = self.ask(self.method, message)?;
        if self.reads {
            let found = RangeResponse::decode(&answer[FRAME_HEAD_BYTES..])?;
            ensure!(found.count == 1, "{} values", found.count);
        }
        Ok(())
    }
}

/// Sends one message and takes the answer whole.
async fn exchange(requests: &mut SendRequest<Bytes>, uri: &str, message: Bytes) -> Result<Vec<u8>> {
    let request = Request::builder().method(Method::POST).uri(uri).header("content-type", "application/grpc");
    poll_fn(|cx| requests.poll_ready(cx)).await?;
    let (answer, mut body) = requests.send_request(request.header("te", "trailers").body(())?, false)?;
    body.send_data(message, true)?;
    let mut body = answer.await?.into_body();
    let mut bytes = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        bytes.extend_from_slice(&part);
    }
    body.trailers().await?;
    Ok(bytes)
}

fn framed(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).expect("a message of the benchmark is small");
    [&[0][..], &length.to_be_bytes(), &body].concat().into()
}
