//! A plain HTTP client of the nodes: several servers, one token, errors that say what to do.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ureq::http::{HeaderMap, Method, Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{AsSendBody, Body, RequestExt, SendBody};

use crate::credentials::{Credentials, CredentialsError, normalised};

/// How long to wait for a connection before the next server is tried.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// The most bytes of a reply: a list of 65,536 shards is about 12 MB.
const REPLY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a body that are read at once where it is not kept in memory.
const PIECE_BYTES: usize = 64 * 1024;

/// How long an answer may take that needs no work.
pub(super) const QUICK: Duration = Duration::from_secs(15);
/// How long an answer may take that waits for all nodes to compile.
pub(super) const SLOW: Duration = Duration::from_secs(300);

/// An `application/problem+json` reply.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Problem {
    /// The HTTP status.
    pub(super) status: u16,
    /// What kind of problem, from a closed set.
    pub(super) code: String,
    /// The kind in words.
    pub(super) title: String,
    /// What happened this time.
    pub(super) detail: String,
    /// `no`, `rolled-back` or `unknown`.
    pub(super) executed: String,
    /// Whether the same request may succeed later.
    pub(super) retryable: bool,
}

/// Why a request got no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// No server took the request.
    #[error(
        "no node answered ({tried}); is one running? Start one with `shardloom dev`, or name one with --server"
    )]
    Unreachable {
        /// Each server and what went wrong there.
        tried: String,
    },
    /// The request went out and no answer came back.
    #[error("{server} took the request and did not answer ({reason}); it may have been carried out")]
    Lost {
        /// The server.
        server: String,
        /// What went wrong.
        reason: String,
    },
    /// A node refused.
    #[error("{}{hint}", describe(.problem))]
    Refused {
        /// What it said.
        problem: Box<Problem>,
        /// What to do, where that is known here.
        hint: &'static str,
    },
    /// A node answered something else.
    #[error("{server} answered something that is not a Shardloom reply ({reason}); is it a Shardloom node?")]
    Strange {
        /// The server.
        server: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What came cannot be written down.
    #[error("what the node sent cannot be kept")]
    Kept(#[source] io::Error),
    /// The trusted certificates cannot be used.
    #[error("{path}: {reason}")]
    Trust {
        /// The file given.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The user's credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

fn describe(problem: &Problem) -> String {
    let what = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
    let executed = match problem.executed.as_str() {
        "" | "no" => String::new(),
        other => format!(", executed: {other}"),
    };
    format!("{what} ({} {}{executed})", problem.status, problem.code)
}

/// A reply of a node.
#[derive(Debug)]
pub(super) struct Reply {
    /// The server that gave it.
    pub(super) server: String,
    /// The HTTP status.
    pub(super) status: u16,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// Its body, whole.
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// A header as text; empty where there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What is sent.
pub(super) struct Outgoing<'a> {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: &'a [u8],
    deadline: Option<Duration>,
    silence: Option<Duration>,
    authorized: bool,
    progress: Option<indicatif::ProgressBar>,
}

impl<'a> Outgoing<'a> {
    /// A request without body, with the admin token.
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: &[],
            deadline: Some(QUICK),
            silence: None,
            authorized: true,
            progress: None,
        }
    }

    /// Sends this body.
    pub(super) fn body(mut self, body: &'a [u8]) -> Self {
        self.body = body;
        self
    }

    /// Sends this header too.
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Waits for the answer for this long.
    pub(super) fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Leaves the admin token out: calls need none, so they should not carry it about.
    pub(super) fn without_token(mut self) -> Self {
        self.authorized = false;
        self
    }

    /// Shows how much of the body has gone.
    pub(super) fn progress(mut self, bar: indicatif::ProgressBar) -> Self {
        self.progress = Some(bar);
        self
    }
}

/// How long a stream is listened to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// In all; none for as long as it comes.
    pub(super) whole: Option<Duration>,
    /// While nothing comes.
    pub(super) silence: Option<Duration>,
}

/// Talks to the first of several servers that takes a request.
pub(super) struct Client {
    servers: Vec<String>,
    token: Option<String>,
    agent: ureq::Agent,
}

impl Client {
    /// A client of these servers. Without a token of its own it looks into the user's credentials.
    ///
    /// # Errors
    /// If credentials or certificates cannot be read.
    pub(super) fn open(
        servers: &[String],
        token: Option<String>,
        trust: Option<&Path>,
    ) -> Result<Self, ClientError> {
        let token = match token {
            Some(token) => Some(token),
            None => match Credentials::of_user() {
                Ok(credentials) => credentials.token_for(servers)?,
                Err(_no_home) => None,
            },
        };
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_MAX))
            .user_agent(concat!("shardloom/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = trust {
            config = config.tls_config(trusting(path)?);
        }
        let servers = servers.iter().map(|server| normalised(server)).collect();
        Ok(Self { servers, token, agent: config.build().new_agent() })
    }

    /// The servers, in the order in which they are tried.
    pub(super) fn servers(&self) -> &[String] {
        &self.servers
    }

    /// Asks for JSON.
    ///
    /// # Errors
    /// If no server answers, or one refuses.
    pub(super) fn read(&self, path: &str) -> Result<Value, ClientError> {
        self.json(Outgoing::new(Method::GET, path))
    }

    /// Sends JSON (or nothing), gets JSON.
    ///
    /// # Errors
    /// If no server answers, or one refuses.
    pub(super) fn write(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        deadline: Duration,
    ) -> Result<Value, ClientError> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let outgoing = Outgoing::new(method, path).body(&body).deadline(deadline);
        self.json(outgoing.header("content-type", "application/json"))
    }

    /// Sends a request whose answer is JSON.
    ///
    /// # Errors
    /// If no server answers, or one refuses.
    pub(super) fn json(&self, outgoing: Outgoing<'_>) -> Result<Value, ClientError> {
        let reply = self.send(outgoing)?;
        parse(&reply.server, &reply.body)
    }

    /// Sends a request to the first server that takes it.
    ///
    /// # Errors
    /// If no server answers, or the last one tried refuses.
    pub(super) fn send(&self, outgoing: Outgoing<'_>) -> Result<Reply, ClientError> {
        let mut tried = Vec::new();
        let mut refused = None;
        for server in &self.servers {
            match self.send_to(server, &outgoing) {
                Ok(reply) if reply.status < 400 => return Ok(reply),
                Ok(reply) => match refusal(&reply) {
                    ClientError::Refused { problem, hint } if may_go_elsewhere(&problem) => {
                        refused = Some(ClientError::Refused { problem, hint });
                    }
                    error => return Err(error),
                },
                Err(error) if not_sent(&error) || outgoing.method == Method::GET => {
                    tried.push(format!("{server}: {error}"));
                }
                Err(error) => {
                    return Err(ClientError::Lost { server: server.clone(), reason: error.to_string() });
                }
            }
        }
        Err(refused.unwrap_or_else(|| ClientError::Unreachable { tried: tried.join("; ") }))
    }

    /// Writes the body of an answer to `into` as it comes.
    ///
    /// # Errors
    /// As [`Client::send`]; part of the body may have been written then.
    pub(super) fn download(
        &self,
        path: &str,
        deadline: Duration,
        into: &mut impl Write,
    ) -> Result<(), ClientError> {
        let outgoing = Outgoing::new(Method::GET, path).deadline(deadline);
        let (mut tried, mut refused) = (Vec::new(), None);
        for server in &self.servers {
            let reply = match self.open_to(server, &outgoing) {
                Ok(reply) if reply.status().as_u16() < 400 => reply,
                Ok(reply) => match whole(server, reply).map(|reply| refusal(&reply)) {
                    Ok(error @ ClientError::Refused { .. }) => {
                        refused = Some(error);
                        continue;
                    }
                    Ok(error) => return Err(error),
                    Err(error) => {
                        tried.push(format!("{server}: {error}"));
                        continue;
                    }
                },
                Err(error) => {
                    tried.push(format!("{server}: {error}"));
                    continue;
                }
            };
            return pour(server, reply, into);
        }
        Err(refused.unwrap_or_else(|| ClientError::Unreachable { tried: tried.join("; ") }))
    }

    /// Writes the body of one server's answer to `into` as it comes, for as long as patience lasts.
    ///
    /// # Errors
    /// If the server does not answer, refuses, or breaks off.
    pub(super) fn follow(
        &self,
        server: &str,
        path: &str,
        patience: Patience,
        into: &mut impl Write,
    ) -> Result<(), ClientError> {
        let unreachable =
            |error: ureq::Error| ClientError::Unreachable { tried: format!("{server}: {error}") };
        let Patience { whole: deadline, silence } = patience;
        let outgoing = Outgoing { deadline, silence, ..Outgoing::new(Method::GET, path) };
        let reply = self.open_to(server, &outgoing).map_err(unreachable)?;
        if reply.status().as_u16() >= 400 {
            return Err(refusal(&whole(server, reply).map_err(unreachable)?));
        }
        pour(server, reply, into)
    }

    fn send_to(&self, server: &str, outgoing: &Outgoing<'_>) -> Result<Reply, ureq::Error> {
        whole(server, self.open_to(server, outgoing)?)
    }

    fn open_to(&self, server: &str, outgoing: &Outgoing<'_>) -> Result<Response<Body>, ureq::Error> {
        let mut request =
            Request::builder().method(outgoing.method.clone()).uri(format!("{server}{}", outgoing.path));
        for (name, value) in &outgoing.headers {
            request = request.header(*name, value);
        }
        if let (true, Some(token)) = (outgoing.authorized, &self.token) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if outgoing.body.is_empty() {
            self.carry(request.body(()), outgoing)
        } else {
            let mut shown = Shown { left: outgoing.body, bar: outgoing.progress.as_ref() };
            let request = request.header("content-length", outgoing.body.len());
            self.carry(request.body(SendBody::from_reader(&mut shown)), outgoing)
        }
    }

    fn carry<S: AsSendBody>(
        &self,
        request: Result<Request<S>, ureq::http::Error>,
        outgoing: &Outgoing<'_>,
    ) -> Result<Response<Body>, ureq::Error> {
        let request = request.map_err(ureq::Error::Http)?.with_agent(&self.agent);
        request.configure().timeout_global(outgoing.deadline).timeout_per_read(outgoing.silence).run()
    }
}

/// Reads a reply to its end.
fn whole(server: &str, reply: Response<Body>) -> Result<Reply, ureq::Error> {
    let (head, mut body) = reply.into_parts();
    Ok(Reply {
        server: server.to_owned(),
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.with_config().limit(REPLY_BYTES_MAX).read_to_vec()?,
    })
}

/// Reads a reply to its end, and writes what comes.
fn pour(server: &str, reply: Response<Body>, into: &mut impl Write) -> Result<(), ClientError> {
    let mut body = reply.into_body();
    let (mut reader, mut piece) = (body.as_reader(), vec![0; PIECE_BYTES]);
    loop {
        let lost =
            |error: io::Error| ClientError::Lost { server: server.to_owned(), reason: error.to_string() };
        match reader.read(&mut piece).map_err(lost)? {
            0 => return Ok(()),
            count => into.write_all(&piece[..count]).map_err(ClientError::Kept)?,
        }
    }
}

/// Reads JSON out of a reply.
fn parse<T: DeserializeOwned>(server: &str, body: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(body)
        .map_err(|error| ClientError::Strange { server: server.to_owned(), reason: error.to_string() })
}

/// What a reply with an error status says.
fn refusal(reply: &Reply) -> ClientError {
    let problem: Problem = match parse(&reply.server, &reply.body) {
        Ok(problem) => problem,
        Err(_) => {
            let reason = format!("status {} without an explanation", reply.status);
            return ClientError::Strange { server: reply.server.clone(), reason };
        }
    };
    let hint = match problem.code.as_str() {
        "forbidden" => {
            "; an admin makes one of another role with `shardloom token create --role ROLE --name NAME`"
        }
        "unauthenticated" => {
            "; set SHARDLOOM_ADMIN_TOKEN, or run `shardloom login` with the token from admin.token in the data \
             directory of the node that made the cluster"
        }
        "unknown-workload" => "; `shardloom workloads` lists those that are deployed",
        "deploy-conflict" => "; try again when the other deploy has ended",
        _ => "",
    };
    ClientError::Refused { problem: Box::new(Problem { status: reply.status, ..problem }), hint }
}

/// Whether another node may do what this one explicitly did not.
fn may_go_elsewhere(problem: &Problem) -> bool {
    problem.status == 503 && problem.executed == "no"
}

/// Whether a transport error says that the request cannot have been carried out.
fn not_sent(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::BadUri(_)
        | ureq::Error::Tls(_)
        | ureq::Error::Rustls(_)
        | ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => true,
        ureq::Error::Io(error) => {
            matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
        }
        _ => false,
    }
}

/// Trust in the certificates of one PEM file, and in no others.
fn trusting(path: &Path) -> Result<TlsConfig, ClientError> {
    let failed = |reason: String| ClientError::Trust { path: path.display().to_string(), reason };
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let certificates: Vec<Certificate<'static>> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
            Ok(_) => None,
            Err(error) => Some(Err(failed(error.to_string()))),
        })
        .collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err(failed("no certificate in it".into()));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&certificates)).build())
}

/// A body that moves a progress bar as it is read.
struct Shown<'a> {
    left: &'a [u8],
    bar: Option<&'a indicatif::ProgressBar>,
}

impl Read for Shown<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.left.read(into)?;
        if let Some(bar) = self.bar {
            bar.inc(count as u64);
        }
        Ok(count)
    }
}
