//! `shardloom node`: runs one node in this process, from flags, environment and file; or manages members.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use toml::{Table, Value};
use tracing_subscriber::EnvFilter;

use super::Global;
use super::members::Member;
use crate::server;
use crate::server::config::{LogFormat, NodeConfig};

/// What is logged where SHARDLOOM_LOG says nothing. The consensus library repeats itself at each try to reach a peer that
/// is gone, as errors: we say that ourselves, once.
const LOG_LEVEL: &str = "info,openraft=error,openraft::replication=off,openraft::engine=off";
/// The most bytes of a configuration file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Run a node, or add, drain, quarantine and remove members.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  shardloom node --data d1 --http 127.0.0.1:7080 --peer 127.0.0.1:7081 --gossip 127.0.0.1:7082 --bootstrap
  shardloom node --data d2 --http 127.0.0.1:7090 --peer 127.0.0.1:7091 --gossip 127.0.0.1:7092 \\
      --join 127.0.0.1:7081 --token \"$(shardloom token create)\"
  shardloom node --config /etc/shardloom.toml
  shardloom node drain 3f09b1c2d4e5f607

Exit codes of a node:
  0   it was told to end, and has
  1   it was told something that cannot be, or the cluster refuses it
  65  what is on its disk is damaged
  73  the disk is full to the last reserve
  74  a write or an fdatasync failed: the disk is not to be trusted
  76  what is on its disk, or what the cluster writes, is of a newer shardloom: start that one"
)]
pub(super) struct Node {
    #[command(flatten)]
    flags: Box<Flags>,
    #[command(subcommand)]
    member: Option<Member>,
}

impl Node {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self.member {
            Some(member) => member.run(global),
            None => run_here(self.flags.into_config()?),
        }
    }
}

/// Flags and environment of one node. They go over what the file says.
#[derive(Args, Default)]
struct Flags {
    /// The data directory.
    #[arg(long, env = "SHARDLOOM_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// A TOML file with any of these settings, and with the sections [limits] and [timings].
    #[arg(long, env = "SHARDLOOM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect (TCP) [default: 127.0.0.1:7080]
    #[arg(long, env = "SHARDLOOM_HTTP", value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Where nodes connect (QUIC over UDP) [default: 127.0.0.1:7081]
    #[arg(long, env = "SHARDLOOM_PEER", value_name = "ADDR")]
    peer: Option<SocketAddr>,
    /// Where nodes gossip (UDP) [default: 127.0.0.1:7082]
    #[arg(long, env = "SHARDLOOM_GOSSIP", value_name = "ADDR")]
    gossip: Option<SocketAddr>,
    #[command(flatten, next_help_heading = "First start")]
    start: StartFlags,
    #[command(flatten, next_help_heading = "Placement")]
    placement: PlacementFlags,
    #[command(flatten, next_help_heading = "Addresses and HTTPS")]
    addresses: AddressFlags,
    /// How log lines are written; what is logged, SHARDLOOM_LOG says (info, or shardloom=debug)
    #[arg(long, env = "SHARDLOOM_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormatFlag>,
    /// Any other setting, as in the file: --set limits.body_bytes_max=1048576
    #[arg(long, env = "SHARDLOOM_SET", value_delimiter = ',', value_name = "SECTION.NAME=VALUE")]
    set: Vec<String>,
}

#[derive(Args, Default)]
struct StartFlags {
    /// Make a new cluster, unless the data directory already belongs to one.
    #[arg(long, env = "SHARDLOOM_BOOTSTRAP")]
    bootstrap: bool,
    /// With --bootstrap: how many shards the cluster has, for ever [default: 1024]
    #[arg(long, value_name = "N")]
    shards: Option<u32>,
    /// With --bootstrap: how many nodes hold each shard [default: 3]
    #[arg(long, value_name = "R")]
    replicas: Option<u32>,
    /// With --bootstrap: whether nodes with a token become members by themselves [default: auto]
    #[arg(long, value_name = "POLICY", value_parser = ["auto", "manual"])]
    join_policy: Option<String>,
    /// Join a cluster by the peer addresses of members; names are resolved, all their records tried.
    #[arg(long, env = "SHARDLOOM_JOIN", value_delimiter = ',', value_name = "ADDR")]
    join: Vec<String>,
    /// With --join: what `shardloom token create` printed.
    #[arg(long, env = "SHARDLOOM_JOIN_TOKEN", value_name = "T", hide_env_values = true)]
    token: Option<String>,
}

#[derive(Args, Default)]
struct PlacementFlags {
    /// The failure zone; replicas go to different ones.
    #[arg(long, env = "SHARDLOOM_ZONE", value_name = "Z")]
    zone: Option<String>,
    /// How much the node can carry, relative to the others [default: 100]
    #[arg(long, env = "SHARDLOOM_CAPACITY", value_name = "C")]
    capacity: Option<u32>,
    /// A label: the node list shows it, and workloads may ask for it (`deploy --require-label`); may be repeated.
    #[arg(long, value_name = "K=V")]
    label: Vec<String>,
}

#[derive(Args, Default)]
struct AddressFlags {
    /// What clients are told to dial, if not --http.
    #[arg(long, env = "SHARDLOOM_ADVERTISE_HTTP", value_name = "HOST:PORT")]
    advertise_http: Option<String>,
    /// What nodes are told to dial, if not --peer.
    #[arg(long, env = "SHARDLOOM_ADVERTISE_PEER", value_name = "HOST:PORT")]
    advertise_peer: Option<String>,
    /// Where nodes are told to gossip, if not --gossip.
    #[arg(long, env = "SHARDLOOM_ADVERTISE_GOSSIP", value_name = "HOST:PORT")]
    advertise_gossip: Option<String>,
    /// PEM file with the certificate chain for HTTPS.
    #[arg(long, env = "SHARDLOOM_HTTP_CERT", value_name = "FILE")]
    http_cert: Option<PathBuf>,
    /// PEM file with the private key for HTTPS.
    #[arg(long, env = "SHARDLOOM_HTTP_KEY", value_name = "FILE")]
    http_key: Option<PathBuf>,
    /// Allow plain HTTP on an address that is not loopback.
    #[arg(long, env = "SHARDLOOM_INSECURE_HTTP")]
    insecure_http: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormatFlag {
    Text,
    Json,
}

impl Flags {
    /// Lays the flags over the file and reads the result as one configuration.
    fn into_config(self) -> anyhow::Result<NodeConfig> {
        let mut table = match &self.config {
            Some(path) => read_file(path)?,
            None => Table::new(),
        };
        if !self.start.bootstrap {
            let given = [
                ("--shards", self.start.shards.is_some()),
                ("--replicas", self.start.replicas.is_some()),
                ("--join-policy", self.start.join_policy.is_some()),
            ];
            if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
                bail!("{flag} is decided once, when the cluster is made: it goes with --bootstrap");
            }
        }
        self.lay_over(&mut table)?;
        if !table.contains_key("data") {
            bail!("give --data DIR: the node keeps its identity and its logs there");
        }
        let config = NodeConfig::deserialize(Value::Table(table)).context("the configuration")?;
        config.validate()?;
        Ok(config)
    }

    fn lay_over(&self, table: &mut Table) -> anyhow::Result<()> {
        let path = |path: &PathBuf| path.display().to_string();
        let mut put = |at: &str, value: Option<Value>| value.map_or(Ok(()), |value| put(table, at, value));
        put("data", self.data.as_ref().map(path).map(Value::from))?;
        put("listen.http", self.http.map(|address| address.to_string().into()))?;
        put("listen.peer", self.peer.map(|address| address.to_string().into()))?;
        put("listen.gossip", self.gossip.map(|address| address.to_string().into()))?;

        let start = &self.start;
        put("bootstrap", start.bootstrap.then(|| Table::new().into()))?;
        put("bootstrap.shards", start.shards.map(|count| i64::from(count).into()))?;
        put("bootstrap.replicas", start.replicas.map(|count| i64::from(count).into()))?;
        put("bootstrap.join_policy", start.join_policy.clone().map(Value::from))?;
        if !start.join.is_empty() {
            // A node that comes back needs no token, so that the same command line starts it again.
            put("join.addresses", Some(start.join.clone().into()))?;
            put("join.token", Some(start.token.clone().unwrap_or_default().into()))?;
        }

        let placement = &self.placement;
        put("placement.zone", placement.zone.clone().map(Value::from))?;
        put("placement.capacity", placement.capacity.map(|capacity| i64::from(capacity).into()))?;
        for label in &placement.label {
            let (key, value) = label.split_once('=').context("--label is given as KEY=VALUE")?;
            let mut labels = Table::new();
            labels.insert(key.to_owned(), value.into());
            put("placement.labels", Some(labels.into()))?;
        }

        let addresses = &self.addresses;
        put("advertise.http", addresses.advertise_http.clone().map(Value::from))?;
        put("advertise.peer", addresses.advertise_peer.clone().map(Value::from))?;
        put("advertise.gossip", addresses.advertise_gossip.clone().map(Value::from))?;
        put("listen.http_cert", addresses.http_cert.as_ref().map(path).map(Value::from))?;
        put("listen.http_key", addresses.http_key.as_ref().map(path).map(Value::from))?;
        put("listen.insecure_http", addresses.insecure_http.then(|| true.into()))?;

        let format = self.log_format.map(|format| match format {
            LogFormatFlag::Text => "text",
            LogFormatFlag::Json => "json",
        });
        put("log_format", format.map(Value::from))?;
        for setting in &self.set {
            let (at, value) = setting.split_once('=').context("--set is given as SECTION.NAME=VALUE")?;
            // What is no TOML value (a word without quotes) is taken as text.
            let value = value.parse::<Value>().unwrap_or_else(|_| Value::from(value));
            put(at.trim(), Some(value))?;
        }
        Ok(())
    }
}

/// Puts a value at a dotted place. Tables are merged, anything else is replaced.
fn put(table: &mut Table, at: &str, value: Value) -> anyhow::Result<()> {
    match at.split_once('.') {
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Table::new().into());
            let inner = inner.as_table_mut().with_context(|| format!("{section} is not a section"))?;
            put(inner, rest, value)
        }
        None => {
            match (table.get_mut(at), value) {
                (Some(Value::Table(old)), Value::Table(new)) => old.extend(new),
                (_, value) => drop(table.insert(at.to_owned(), value)),
            }
            Ok(())
        }
    }
}

fn read_file(path: &Path) -> anyhow::Result<Table> {
    let shown = || path.display().to_string();
    let bytes = std::fs::metadata(path).with_context(shown)?.len();
    if bytes > FILE_BYTES_MAX {
        bail!("{} has {bytes} bytes: that is no configuration", path.display());
    }
    std::fs::read_to_string(path).with_context(shown)?.parse().with_context(shown)
}

/// Runs a node in this process until it ends or is told to.
fn run_here(config: NodeConfig) -> anyhow::Result<()> {
    start_log(config.log_format, LOG_LEVEL);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let mut node = pin!(Box::pin(server::run(config, shutdown.clone())));
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            tokio::select! {
                ended = &mut node => return ended,
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if shutdown.is_cancelled() {
                bail!("told to end a second time: ended without handing over");
            }
            shutdown.cancel();
        }
    })
}

/// Sends log lines to standard error.
pub(super) fn start_log(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_env("SHARDLOOM_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => lines.json().init(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::server::config::{Bootstrap, JoinPolicy};

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn config(line: &str) -> anyhow::Result<NodeConfig> {
        let words = std::iter::once("node").chain(line.split(' '));
        <Line as clap::Parser>::try_parse_from(words)?.flags.into_config()
    }

    #[test]
    fn flags_alone_make_a_configuration() {
        let config = config(
            "--data d --http 127.0.0.1:1 --bootstrap --shards 16 --join-policy manual --capacity 7 \
             --label disk=nvme --label rack=4 --log-format json",
        )
        .unwrap();
        assert_eq!(config.listen.http.port(), 1);
        let bootstrap = Bootstrap { shards: 16, replicas: 3, join_policy: JoinPolicy::Manual };
        assert_eq!(config.bootstrap, Some(bootstrap));
        assert_eq!((config.placement.capacity, config.placement.labels.len()), (7, 2));
        assert_eq!(config.log_format, LogFormat::Json);
    }

    #[test]
    fn flags_go_over_the_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(
            file,
            "data = 'from-file'\n[placement]\nzone = 'a'\ncapacity = 5\n[limits]\nkey_bytes_max = 9"
        )
        .unwrap();
        let path = file.path().display();
        let config = config(&format!("--config {path} --capacity 6 --set timings.lease_ms=2000")).unwrap();
        assert_eq!(config.data, Path::new("from-file"));
        assert_eq!((config.placement.zone.as_str(), config.placement.capacity), ("a", 6));
        assert_eq!((config.limits.key_bytes_max, config.timings.lease_ms), (9, 2000));
    }

    #[test]
    fn several_members_can_be_joined_by_name() {
        let config = config("--data d --join a.example:7081,b.example:7081 --token t").unwrap();
        let join = config.join.unwrap();
        assert_eq!(join.addresses, ["a.example:7081", "b.example:7081"]);
        assert_eq!(join.token, "t");
    }

    #[test]
    fn mistakes_are_named() {
        let error = |line: &str| format!("{:#}", config(line).unwrap_err());
        assert!(error("--http 127.0.0.1:1").contains("--data"));
        assert!(error("--data d --shards 5").contains("--bootstrap"));
        assert!(error("--data d --set limits.body=1").contains("body"));
        assert!(error("--data d --http 0.0.0.0:1").contains("--insecure-http"));
        assert!(error("--data d --config /nonexistent.toml").contains("/nonexistent.toml"));
    }
}
