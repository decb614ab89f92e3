//! A node of the test's own: it listens, counts what it gets, and answers what it was told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What a node does with a call.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Answers that this node has run it, on the shard and under the epoch.
    Ran { node: u64, shard: u32, epoch: u64, http: Option<SocketAddr> },
    /// Answers with a problem.
    Problem { status: u16, code: &'static str, executed: &'static str, retryable: bool },
    /// Answers as no node does.
    Words(u16, String),
    /// Takes it, and closes the connection.
    HangUp,
    /// Takes it, and says nothing as long as the test lasts.
    Silence,
}

/// A node; it ends with the test.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    calls: Vec<Call>,
    connections: usize,
}

/// A call that came to a node.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What a node answers, by the path and by how many calls came before.
pub(crate) type Script = Arc<dyn Fn(&str, usize) -> Answer + Send + Sync>;

impl Node {
    /// A node that answers each call alike.
    pub(crate) async fn that(answer: Answer) -> Node {
        Node::by(move |_, _| answer.clone()).await
    }

    /// A node that answers by a script.
    pub(crate) async fn by(script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Node {
        Node::on(TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port"), script)
    }

    /// A node at a place that was taken before.
    pub(crate) fn on(
        listener: TcpListener,
        script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
    ) -> Node {
        let address = listener.local_addr().expect("a listener has an address");
        let (seen, script): (_, Script) = (Arc::<Mutex<Seen>>::default(), Arc::new(script));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((io, _)) = listener.accept().await {
                shared.lock().expect("no script panics").connections += 1;
                let (seen, script) = (Arc::clone(&shared), Arc::clone(&script));
                let service =
                    service_fn(move |request| answer(request, Arc::clone(&seen), Arc::clone(&script)));
                connections.spawn(async move {
                    // It ends with an error where the script hangs up.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(io), service).await;
                });
            }
        });
        Node { address, seen, _tasks: tasks }
    }

    /// What came so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.seen.lock().expect("no script panics").calls.clone()
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().expect("no script panics").connections
    }

    /// The base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// An address at which nobody listens: no kernel gives such a port to whoever asks for none.
pub(crate) const NOBODY: &str = "http://127.0.0.1:1";

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Seen>>,
    script: Script,
) -> Result<Response<Full<Bytes>>, HangUp> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let body = body.collect().await.map_err(|_| HangUp)?.to_bytes();
    let before = {
        let mut seen = seen.lock().expect("no script panics");
        seen.calls.push(Call { path: path.clone(), headers: head.headers, body: body.clone() });
        seen.calls.len() - 1
    };
    let response = Response::builder();
    let response = match script(&path, before) {
        Answer::Ran { node, shard, epoch, http } => {
            let mut response = response
                .header("shardloom-node", format!("{node:016x}"))
                .header("shardloom-shard", shard)
                .header("shardloom-epoch", epoch)
                .header("shardloom-workload-version", 1);
            if let Some(http) = http {
                response = response.header("shardloom-node-http", http.to_string());
            }
            response.body(Full::new(body))
        }
        Answer::Problem { status, code, executed, retryable } => {
            let body = json!({
                "status": status, "code": code, "title": "A problem", "detail": "in a test",
                "executed": executed, "retryable": retryable, "epoch": 1,
            });
            let kind = "application/problem+json";
            response.status(status).header("content-type", kind).body(Full::new(body.to_string().into()))
        }
        Answer::Words(status, words) => response.status(status).body(Full::new(words.into())),
        Answer::HangUp => return Err(HangUp),
        Answer::Silence => std::future::pending().await,
    };
    Ok(response.expect("what scripts say makes a response"))
}

/// The connection closes without an answer.
#[derive(Debug, thiserror::Error)]
#[error("as the script says")]
struct HangUp;
