//! Everything that one node can be told, in one struct: file, environment and flags all fill a [`NodeConfig`].
//!
//! Precedence is flags over environment over file over the defaults here; the CLI does the merging. A configuration
//! that passed [`NodeConfig::validate`] is complete: nothing below re-checks it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use super::config_error::ConfigError;
pub use super::limits::{Limits, Timings};

use super::config_error::{host_port, within};

/// The HTTP port of a node that was given none.
pub const HTTP_PORT: u16 = 7080;
/// The peer (QUIC, UDP) port of a node that was given none.
pub const PEER_PORT: u16 = 7081;
/// The gossip (UDP) port of a node that was given none.
pub const GOSSIP_PORT: u16 = 7082;

/// The most shards a cluster can be made with: shard numbers are interned as 16-bit in maps.
pub const SHARDS_MAX: u32 = 65_536;
/// The most replicas a shard can have: a quorum of more costs latency and adds little safety.
pub const REPLICAS_MAX: u32 = shardloom_sharding::map::REPLICAS_MAX as u32;

/// The whole configuration of one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The data directory. Holds the node's identity, its logs and its components.
    pub data: PathBuf,
    /// Where the node listens.
    #[serde(default)]
    pub listen: Listen,
    /// What the node tells others to dial, where that is not what it listens on.
    #[serde(default)]
    pub advertise: Advertise,
    /// Make a new cluster at the first start. Ignored once the data directory belongs to one.
    #[serde(default)]
    pub bootstrap: Option<Bootstrap>,
    /// Join a cluster at the first start. Ignored once the data directory belongs to one.
    #[serde(default)]
    pub join: Option<Join>,
    /// Where the node stands and how much it can carry.
    #[serde(default)]
    pub placement: Placement,
    /// How lines of the log are written.
    #[serde(default)]
    pub log_format: LogFormat,
    /// Sizes and counts that bound what the node holds at once.
    #[serde(default)]
    pub limits: Limits,
    /// Deadlines, leases and intervals.
    #[serde(default)]
    pub timings: Timings,
}

/// Addresses that the node binds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// TCP: calls, administration, health, metrics.
    pub http: SocketAddr,
    /// UDP: QUIC between nodes, mutual TLS.
    pub peer: SocketAddr,
    /// UDP: gossip, unauthenticated, hints only.
    pub gossip: SocketAddr,
    /// PEM file of the certificate chain for HTTPS. Together with `http_key`.
    pub http_cert: Option<PathBuf>,
    /// PEM file of the private key for HTTPS.
    pub http_key: Option<PathBuf>,
    /// Allows plain HTTP on an address that is not loopback.
    pub insecure_http: bool,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            http: SocketAddr::from(([127, 0, 0, 1], HTTP_PORT)),
            peer: SocketAddr::from(([127, 0, 0, 1], PEER_PORT)),
            gossip: SocketAddr::from(([127, 0, 0, 1], GOSSIP_PORT)),
            http_cert: None,
            http_key: None,
            insecure_http: false,
        }
    }
}

impl Listen {
    /// Certificate and key files, where HTTPS was asked for.
    pub fn https(&self) -> Option<(&Path, &Path)> {
        self.http_cert.as_deref().zip(self.http_key.as_deref())
    }
}

/// Addresses (`host:port`, names allowed) that others are told to dial; each defaults to the one bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Advertise {
    /// For clients and for `http` in the node list.
    pub http: Option<String>,
    /// For the other nodes' QUIC connections.
    pub peer: Option<String>,
    /// For the other nodes' gossip.
    pub gossip: Option<String>,
}

/// The fixed facts of a new cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bootstrap {
    /// How many shards there are, for ever.
    pub shards: u32,
    /// How many nodes hold each shard's log.
    pub replicas: u32,
    /// Whether nodes with a good token become members by themselves.
    pub join_policy: JoinPolicy,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { shards: 1024, replicas: 3, join_policy: JoinPolicy::Auto }
    }
}

/// Who turns a joining node into a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinPolicy {
    /// The leader, at once.
    #[default]
    Auto,
    /// An administrator, with `shardloom node add`.
    Manual,
}

/// How to find the cluster for the first time.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// Peer addresses (`host:port`) of members; all records of a DNS name are tried.
    pub addresses: Vec<String>,
    /// The single-use token that `shardloom token create` printed. Empty if none was given: none is needed to
    /// come back.
    pub token: String,
}

impl std::fmt::Debug for Join {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is a secret: configurations are logged at start.
        f.debug_struct("Join").field("addresses", &self.addresses).field("token", &"(hidden)").finish()
    }
}

/// What the planner knows about the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// The failure zone; replicas of a shard go to different ones where there are several.
    pub zone: String,
    /// How much the node can carry, relative to the others.
    pub capacity: u32,
    /// Free labels, shown in the node list.
    pub labels: BTreeMap<String, String>,
}

impl Default for Placement {
    fn default() -> Self {
        Self { zone: String::new(), capacity: 100, labels: BTreeMap::new() }
    }
}

/// How lines of the log are written to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl NodeConfig {
    /// A node with defaults everywhere, on a data directory.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            listen: Listen::default(),
            advertise: Advertise::default(),
            bootstrap: None,
            join: None,
            placement: Placement::default(),
            log_format: LogFormat::default(),
            limits: Limits::default(),
            timings: Timings::default(),
        }
    }

    /// The `host:port` that clients are told.
    pub fn http_address(&self) -> String {
        self.advertise.http.clone().unwrap_or_else(|| self.listen.http.to_string())
    }

    /// The `host:port` that other nodes dial.
    pub fn peer_address(&self) -> String {
        self.advertise.peer.clone().unwrap_or_else(|| self.listen.peer.to_string())
    }

    /// The `host:port` that other nodes gossip with.
    pub fn gossip_address(&self) -> String {
        self.advertise.gossip.clone().unwrap_or_else(|| self.listen.gossip.to_string())
    }

    /// Checks everything that can be checked without touching disk or network.
    ///
    /// # Errors
    /// The first contradiction found, worded for whoever wrote the configuration.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.bootstrap.is_some() && self.join.is_some() {
            return Err(ConfigError::BothStarts);
        }
        if let Some(bootstrap) = &self.bootstrap {
            within("shards", bootstrap.shards.into(), 1, SHARDS_MAX.into())?;
            within("replicas", bootstrap.replicas.into(), 1, REPLICAS_MAX.into())?;
        }
        if let Some(join) = &self.join {
            if join.addresses.is_empty() {
                return Err(ConfigError::JoinNowhere);
            }
            join.addresses.iter().try_for_each(|address| host_port("join", address))?;
        }
        within("capacity", self.placement.capacity.into(), 1, 1_000_000)?;
        self.validate_addresses()?;
        self.limits.validate()?;
        self.timings.validate()
    }

    fn validate_addresses(&self) -> Result<(), ConfigError> {
        let listen = &self.listen;
        if listen.http_cert.is_some() != listen.http_key.is_some() {
            return Err(ConfigError::HalfHttps);
        }
        if !listen.http.ip().is_loopback() && listen.https().is_none() && !listen.insecure_http {
            return Err(ConfigError::PlainHttp(listen.http));
        }
        for (name, bound, told) in [
            ("http", listen.http, &self.advertise.http),
            ("peer", listen.peer, &self.advertise.peer),
            ("gossip", listen.gossip, &self.advertise.gossip),
        ] {
            match told {
                Some(address) => host_port(name, address)?,
                None if bound.ip().is_unspecified() => {
                    return Err(ConfigError::NothingToDial { listen: bound, name });
                }
                None => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(NodeConfig::new("data").validate(), Ok(()));
    }

    #[test]
    fn a_file_with_one_line_is_a_whole_configuration() {
        let config: NodeConfig = toml::from_str("data = 'd'").unwrap();
        assert_eq!(config, NodeConfig::new("d"));
    }

    #[test]
    fn every_setting_survives_its_own_file() {
        let mut config = NodeConfig::new("d");
        config.join = Some(Join { addresses: vec!["seed.example:7081".into()], token: "t".into() });
        config.placement.labels.insert("disk".into(), "nvme".into());
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<NodeConfig>(&text).unwrap(), config);
    }

    #[test]
    fn a_misspelt_setting_is_refused() {
        let error = toml::from_str::<NodeConfig>("data = 'd'\n[limits]\nbody_byte_max = 1").unwrap_err();
        assert!(error.to_string().contains("body_byte_max"), "{error}");
    }

    #[test]
    fn a_token_does_not_reach_the_log() {
        let join = Join { addresses: vec![], token: "very-secret".into() };
        assert!(!format!("{join:?}").contains("very-secret"));
    }

    #[test]
    fn plain_http_beyond_loopback_must_be_asked_for() {
        let mut config = NodeConfig::new("d");
        config.listen.http = "10.0.0.1:7080".parse().unwrap();
        assert!(matches!(config.validate(), Err(ConfigError::PlainHttp(_))));
        config.listen.insecure_http = true;
        assert_eq!(config.validate(), Ok(()));
        config.listen.insecure_http = false;
        config.listen.http_cert = Some("c.pem".into());
        assert_eq!(config.validate(), Err(ConfigError::HalfHttps));
        config.listen.http_key = Some("k.pem".into());
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn an_address_that_nobody_can_dial_is_refused() {
        let mut config = NodeConfig::new("d");
        config.listen.peer = "0.0.0.0:7081".parse().unwrap();
        assert!(matches!(config.validate(), Err(ConfigError::NothingToDial { name: "peer", .. })));
        config.advertise.peer = Some("node-1.example:7081".into());
        assert_eq!(config.validate(), Ok(()));
        config.advertise.peer = Some("node-1.example".into());
        assert!(matches!(config.validate(), Err(ConfigError::BadAddress { .. })));
    }

    #[test]
    fn one_way_to_begin_at_most() {
        let mut config = NodeConfig::new("d");
        config.bootstrap = Some(Bootstrap::default());
        config.join = Some(Join { addresses: vec!["a:1".into()], token: String::new() });
        assert_eq!(config.validate(), Err(ConfigError::BothStarts));
    }
}
