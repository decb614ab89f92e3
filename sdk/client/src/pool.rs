//! Connections that are kept open, and what a node says over them. Only this module knows the HTTP client.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// How long a connection may take to be made: longer than any handshake in a network that works.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// How long a connection is kept with nothing to do: a node closes it after 10 s, and what is sent just then may be lost.
const IDLE_MAX: Duration = Duration::from_secs(8);
/// Idle connections that are kept to one node.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// Bytes of a body that are read at most: a list of 65,536 shards is about 12 MB, the reply of a workload at most 64 MiB.
const BODY_BYTES_MAX: usize = 65 << 20;

type Sending = Pin<Box<dyn Future<Output = Result<Response<Incoming>, legacy::Error>> + Send>>;

/// Sends requests over connections that are kept open.
#[derive(Clone)]
pub(crate) struct Pool {
    send: Arc<dyn Fn(Request<Full<Bytes>>) -> Sending + Send + Sync>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// Nothing was sent.
    NotSent(String),
    /// The request was sent, in part or as a whole.
    Lost(String),
}

impl Pool {
    /// A pool of plain connections.
    pub(crate) fn plain() -> Pool {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_MAX));
        connector.set_nodelay(true);
        Pool::of(connector)
    }

    /// A pool of connections that `connector` makes.
    pub(crate) fn of<C: Connect + Clone + Send + Sync + 'static>(connector: C) -> Pool {
        let client: Client<C, Full<Bytes>> = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Pool { send: Arc::new(move |request| Box::pin(client.request(request))) }
    }

    /// Sends a request and reads the whole answer, at most for so long.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; what was sent stays sent.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        time: Duration,
    ) -> Result<Response<Bytes>, NoAnswer> {
        let exchange = async {
            let response = (self.send)(request).await.map_err(|error| match error.is_connect() {
                true => NoAnswer::NotSent(whole(&error)),
                false => NoAnswer::Lost(whole(&error)),
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| NoAnswer::Lost(format!("the answer broke off: {error}")))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let late = |_| NoAnswer::Lost(format!("no answer within {} ms", time.as_millis()));
        tokio::time::timeout(time, exchange).await.map_err(late)?
    }
}

/// An error with all that it rests on.
fn whole(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}
