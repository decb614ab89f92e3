//! The HTTP contract as plain data.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::RequestExt;
use ureq::http::{HeaderMap, Request};

/// How long a node may take to answer where nothing else is said.
pub const ANSWER_MAX: Duration = Duration::from_secs(15);

/// A client of nodes.
#[derive(Clone)]
pub struct Http {
    agent: ureq::Agent,
}

/// A node's answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// When the request was sent.
    pub sent: Instant,
    /// When the answer was there.
    pub answered: Instant,
}

impl Reply {
    /// A header as text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `code` of a problem; empty where the body is none.
    pub fn code(&self) -> String {
        self.json::<Value>()
            .ok()
            .and_then(|body| body["code"].as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// If it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("status {}, body {:?}", self.status, self.text()))
    }

    /// Which node answered for which shard under which epoch, where the reply says so.
    pub fn stamp(&self) -> Option<Stamp> {
        Some(Stamp {
            node: Some(self.header("shardloom-node")).filter(|node| !node.is_empty())?.to_owned(),
            shard: self.header("shardloom-shard").parse().ok()?,
            epoch: self.header("shardloom-epoch").parse().ok()?,
        })
    }

    /// Itself if it is a success.
    ///
    /// # Errors
    /// What the node said, if not.
    pub fn good(self) -> Result<Self> {
        if self.status < 400 {
            return Ok(self);
        }
        bail!("status {}: {}", self.status, self.text())
    }
}

/// What the headers of a reply say about who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The node that ran the call.
    pub node: String,
    /// The key's shard.
    pub shard: u32,
    /// The epoch under which it was served.
    pub epoch: u64,
}

/// `GET /v1/status`.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// The cluster's id.
    pub cluster_id: String,
    /// The newest epoch.
    pub epoch: u64,
    /// The leader's id.
    pub leader: Option<String>,
    /// All members.
    pub nodes: Vec<NodeState>,
    /// How the shards fare.
    pub shards: Totals,
    /// What an administrator should know.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// How the shards fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Totals {
    /// All.
    pub total: u32,
    /// Those that an owner serves.
    pub served: u32,
    /// Those that cannot be served.
    pub unavailable: u32,
}

impl Totals {
    /// Whether every shard is served.
    pub fn all_served(&self) -> bool {
        self.total > 0 && self.served == self.total
    }
}

/// One member as `status` shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeState {
    /// Its id.
    pub id: String,
    /// live, silent, draining, quarantined or pending.
    pub state: String,
    /// leader, voter or learner.
    pub role: String,
    /// host:port for clients.
    pub http: String,
    /// How many shards it owns.
    pub shards_owned: u32,
}

/// One shard as `shards` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Shard {
    /// Its number.
    pub shard: u32,
    /// The owner's id.
    pub owner: Option<String>,
    /// The replicas' ids.
    pub replicas: Vec<String>,
    /// Its epoch.
    pub epoch: u64,
    /// served, resharding or unavailable.
    pub state: String,
}

/// A request under construction.
pub struct Ask<'a> {
    http: &'a Http,
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    within: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Http {
    /// A client that keeps no connection for another request, so that a killed node never breaks the next one.
    pub fn new() -> Self {
        Self::with_connections(0)
    }

    /// A client that keeps up to this many connections: for measurements.
    pub fn with_connections(kept: usize) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .max_idle_connections(kept)
            .max_idle_connections_per_host(kept)
            .build();
        Self { agent: config.new_agent() }
    }

    /// Begins a request.
    pub fn ask(&self, method: &'static str, url: impl Into<String>) -> Ask<'_> {
        Ask { http: self, method, url: url.into(), headers: Vec::new(), body: Vec::new(), within: ANSWER_MAX }
    }
}

impl Ask<'_> {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Shows an admin token.
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Sends this body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends this JSON.
    pub fn json(self, value: &Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// Waits this long for the answer.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Sends the request.
    ///
    /// # Errors
    /// If no answer came; an answer with an error status is an answer.
    pub fn send(self) -> Result<Reply> {
        let mut request = Request::builder().method(self.method).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let sent = Instant::now();
        let agent = &self.http.agent;
        let reply = if self.body.is_empty() {
            let request = request.body(())?.with_agent(agent).configure();
            request.timeout_global(Some(self.within)).run()
        } else {
            let request = request.body(self.body)?.with_agent(agent).configure();
            request.timeout_global(Some(self.within)).run()
        };
        let (head, mut body) = reply.with_context(|| self.url.clone())?.into_parts();
        let body = body.with_config().limit(64 * 1024 * 1024).read_to_vec()?;
        let answered = Instant::now();
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body, sent, answered })
    }
}

/// Any text as one path segment.
pub fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
