//! Connections: accepted up to a bound, served by hyper, closed so that the last reply still arrives.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use axum::serve::Listener;
use futures::future::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::plain_words::PlainWords;
use crate::server::endings::Endings;

/// How long a connection is read after its last reply, so that a client that is still sending gets to see the reply: to close
/// at once would reset the connection, and the reply with it.
const LINGER_MAX: Duration = Duration::from_secs(5);
/// How long at most when the node is about to end: clients keep idle connections open and do not notice that we are gone.
const LINGER_AT_END: Duration = Duration::from_millis(250);
/// How much is read at once meanwhile.
const LINGER_BUFFER_BYTES: usize = 64 << 10;

/// Marks the requests that came by TLS.
#[derive(Debug, Clone, Copy)]
pub struct Secured;

/// How the requests of a listener come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// As they are.
    Plain,
    /// By TLS.
    Tls,
}

/// What bounds connections.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Open at once; the next ones wait to be accepted.
    pub connections: usize,
    /// Bytes of a request line and all headers.
    pub head_bytes: usize,
    /// How long they may take.
    pub head_wait: Duration,
    /// Shows how many are open.
    pub open: Gauge,
    /// How their requests come.
    pub carrier: Carrier,
}

/// Accepts and serves until `endings.close`, and then until the last connection has ended.
pub async fn serve<L>(mut listener: L, routes: Router, bounds: Bounds, endings: Endings)
where
    L: Listener<Addr = SocketAddr>,
{
    let _done = endings.done.clone().drop_guard();
    let room = Arc::new(Semaphore::new(bounds.connections.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let room = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await.0, room)
        };
        tokio::select! {
            () = endings.close.cancelled() => break,
            (io, room) = accepted => {
                let (routes, bounds, endings) = (routes.clone(), bounds.clone(), endings.clone());
                connections.spawn(async move {
                    bounds.open.inc();
                    serve_one(io, routes, &bounds, &endings).await;
                    bounds.open.dec();
                    drop(room);
                });
            }
            // Ended ones are taken out as they end, so that the set does not grow.
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve_one<I>(io: I, routes: Router, bounds: &Bounds, endings: &Endings)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let leave = endings.leave.clone();
    let carrier = bounds.carrier;
    let service = service_fn(move |request: Request<Incoming>| {
        let mut routes = routes.clone();
        let leave = leave.clone();
        async move {
            let mut request = request.map(Body::new);
            if carrier == Carrier::Tls {
                request.extensions_mut().insert(Secured);
            }
            let mut response = routes.call(request).await;
            if let (true, Ok(response)) = (leave.is_cancelled(), &mut response) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
        .boxed()
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_wait)
        .max_header_size(bounds.head_bytes)
        .serve_connection(TokioIo::new(PlainWords::new(io)), service);
    let closed_early = {
        let mut served = pin!(poll_fn(|cx| connection.poll_without_shutdown(cx)));
        tokio::select! {
            _ = &mut served => false,
            () = endings.close.cancelled() => true,
        }
    };
    if closed_early {
        Pin::new(&mut connection).graceful_shutdown();
        // What goes wrong on a connection is its client's to notice.
        let _ = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    }
    linger(connection.into_parts().io.into_inner(), &endings.close).await;
}

/// Says that nothing more comes, and reads on until the client says the same.
async fn linger<I: AsyncRead + AsyncWrite + Unpin>(mut io: I, close: &CancellationToken) {
    let read_on = async {
        io.shutdown().await?;
        let mut ignored = vec![0; LINGER_BUFFER_BYTES];
        while io.read(&mut ignored).await? > 0 {}
        std::io::Result::Ok(())
    };
    let long_enough = async {
        let _ = timeout(LINGER_MAX - LINGER_AT_END, close.cancelled()).await;
        sleep(LINGER_AT_END).await;
    };
    tokio::select! {
        _ = read_on => {}
        () = long_enough => {}
    }
}
