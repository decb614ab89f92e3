//! A Redis primary with two replicas: code next to data as a Function, the append-only file synced always, `WAIT 1` after each write.
//!
//! What it acknowledges it may still lose: the replica that `WAIT` counts need not be the one that takes over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use shardloom_harness::until;
use tempfile::TempDir;

use super::closed_loop::{Client, System};
use super::server::{Server, free_address, is_installed, wait_for};
use super::spent::Spent;
use super::{KEYS, Op, VALUE_BYTES};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long the replicas may take to be in step.
const REPLICAS_MAX: Duration = Duration::from_secs(60);
/// How long a write may wait for a replica, in milliseconds.
const WAIT_MS: &str = "5000";
/// The functions: the same work that our guests do.
const LIBRARY: &str = "#!lua name=bench\n\
    redis.register_function('put', function(keys, args) redis.call('SET', keys[1], args[1]) return '' end)\n\
    redis.register_function{function_name='get', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}\n\
    redis.register_function('add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)\n";

/// The three processes.
pub(crate) struct Redis {
    primary: SocketAddr,
    servers: Vec<Server>,
    _directory: TempDir,
}

impl Redis {
    /// Starts them; none where it is not installed.
    pub(crate) fn start() -> Result<Option<Redis>> {
        if !is_installed("redis-server", "redis-server") {
            return Ok(None);
        }
        let directory = TempDir::new()?;
        let (mut servers, mut primary) = (Vec::new(), None);
        for number in 0..3 {
            let address = free_address()?;
            servers.push(start(&directory.path().join(number.to_string()), address, primary)?);
            wait_for(address)?;
            primary = primary.or(Some(address));
        }
        let primary = primary.context("no server")?;
        let redis = Redis { primary, servers, _directory: directory };
        let mut connection = RedisConnection::open(primary)?;
        connection.ask(&["FUNCTION", "LOAD", LIBRARY])?;
        until("two replicas in step", REPLICAS_MAX, || {
            connection.ask(&["SET", "probe", "1"])?;
            let held = connection.ask(&["WAIT", "2", "100"])?;
            ensure!(held == b"2", "{} replicas", String::from_utf8_lossy(&held));
            Ok(())
        })?;
        Ok(Some(redis))
    }
}

fn start(directory: &Path, address: SocketAddr, primary: Option<SocketAddr>) -> Result<Server> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(directory);
    if let Some(primary) = primary {
        command.args(["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    }
    Server::start(&mut command, directory)
}

impl System for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn can(&self, op: Op) -> bool {
        op != Op::PutOneShard
    }

    fn client(&self, op: Op, number: usize) -> Result<Box<dyn Client>> {
        let mut connection = RedisConnection::open(self.primary)?;
        let value = "v".repeat(VALUE_BYTES);
        let request = |op: Op, key: usize| {
            let key = format!("{}-c{number}-{key}", op.name());
            match op {
                Op::Get => encode(&["FCALL_RO", "get", "1", &key.replacen("get", "put", 1)]),
                Op::Add => encode(&["FCALL", "add", "1", &key, "1"]),
                _ => encode(&["FCALL", "put", "1", &key, &value]),
            }
        };
        if op == Op::Get {
            (0..KEYS).try_for_each(|key| connection.exchange(&request(Op::Put, key)).map(drop))?;
        }
        let mut requests: Vec<Vec<u8>> = (0..KEYS).map(|key| request(op, key)).collect();
        let waits = op != Op::Get;
        if waits {
            requests.iter_mut().for_each(|request| request.extend(encode(&["WAIT", "1", WAIT_MS])));
        }
        Ok(Box::new(RedisClient { connection, requests, waits }))
    }

    fn spent(&self) -> Result<Spent> {
        Spent::of(self.servers.iter().map(Server::pid))
    }
}

struct RedisClient {
    connection: RedisConnection,
    requests: Vec<Vec<u8>>,
    waits: bool,
}

impl Client for RedisClient {
    fn call(&mut self, turn: usize) -> Result<()> {
        let answer = self.connection.exchange(&self.requests[turn % self.requests.len()])?;
        if self.waits {
            let held = self.connection.answer()?;
            ensure!(held != b"0", "no replica has it");
        } else {
            ensure!(answer.len() == VALUE_BYTES, "a value of {} bytes", answer.len());
        }
        Ok(())
    }
}

/// A connection that speaks RESP2, as far as it is needed here.
struct RedisConnection(BufReader<TcpStream>);

impl RedisConnection {
    fn open(address: SocketAddr) -> Result<RedisConnection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(RedisConnection(BufReader::new(stream)))
    }

    fn ask(&mut self, words: &[&str]) -> Result<Vec<u8>> {
        self.exchange(&encode(words))
    }

    fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.0.get_mut().write_all(request)?;
        self.answer()
    }

    /// The next answer: of a number its digits, of a text its bytes.
    fn answer(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line)?;
        let text = line.strip_suffix(b"\r\n").context("the server closed the connection")?;
        match text.split_first() {
            Some((b'+' | b':', rest)) => Ok(rest.to_vec()),
            Some((b'$', rest)) => {
                let bytes: usize = std::str::from_utf8(rest)?.parse().context("there is no such value")?;
                let mut value = vec![0; bytes + 2];
                self.0.read_exact(&mut value)?;
                value.truncate(bytes);
                Ok(value)
            }
            _ => bail!("{}", String::from_utf8_lossy(text)),
        }
    }
}

fn encode(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}
