//! Requests that guests send: what the host asks of whoever lets them out, and how an error comes back to the guest.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody, WasiHttpHooks};

/// Requests that one instance may have under way at once: enough to ask several services, too few to flood one.
const REQUESTS_MAX: usize = 16;

/// A body on its way out, or back.
pub type OutgoingBody = UnsyncBoxBody<Bytes, OutgoingError>;

/// A response whose body may still be coming, and the connection that brings it, which somebody must drive.
pub type Sent = (http::Response<OutgoingBody>, BoxFuture<'static, ()>);

/// How long a guest will wait, where it says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Option<Duration>,
    /// For the head of the response.
    pub first_byte: Option<Duration>,
    /// For each part of its body.
    pub between_bytes: Option<Duration>,
}

/// Lets the requests of one workload's guests out, or does not.
pub trait Outgoing: Send + Sync {
    /// Sends a request whose address is whole: scheme, authority and path.
    ///
    /// # Cancel safety
    /// Dropping the future gives the request up; it may have been sent.
    fn send(
        &self,
        request: http::Request<OutgoingBody>,
        patience: Patience,
    ) -> BoxFuture<'static, Result<Sent, OutgoingError>>;
}

/// Why a request was not sent, or got no response.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    /// No grant names the host.
    #[error("no grant lets it go to {0}")]
    NotGranted(String),
    /// The host's name leads to an address that no guest may reach.
    #[error("{0} is at an address that guests may not reach")]
    Forbidden(String),
    /// More requests at once than an instance may have.
    #[error("too many requests at once")]
    TooMany,
    /// The address makes no sense.
    #[error("the address is not whole: scheme, host and path are wanted")]
    Address,
    /// The host's name leads nowhere.
    #[error("the name does not resolve: {0}")]
    Name(String),
    /// Nobody answers there.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The far end did not prove who it is.
    #[error("TLS: {0}")]
    Tls(String),
    /// It took longer than the guest waits.
    #[error("it took too long")]
    Timeout,
    /// What came back is no HTTP, or broke off.
    #[error("HTTP: {0}")]
    Protocol(String),
    /// The guest did not bring its own request's body to an end.
    #[error("the body of the request: {0}")]
    Body(String),
}

impl From<OutgoingError> for WasiError {
    fn from(error: OutgoingError) -> WasiError {
        match error {
            OutgoingError::NotGranted(_) => WasiError::HttpRequestDenied,
            OutgoingError::Forbidden(_) => WasiError::DestinationIpProhibited,
            OutgoingError::TooMany => WasiError::ConnectionLimitReached,
            OutgoingError::Address => WasiError::HttpRequestUriInvalid,
            OutgoingError::Name(words) => WasiError::DnsError { rcode: Some(words), info_code: None },
            OutgoingError::Connect(_) => WasiError::ConnectionRefused,
            OutgoingError::Tls(_) => WasiError::TlsCertificateError,
            OutgoingError::Timeout => WasiError::ConnectionTimeout,
            OutgoingError::Protocol(_) => WasiError::HttpProtocolError,
            OutgoingError::Body(words) => WasiError::InternalError(Some(words)),
        }
    }
}

/// Bytes of a body that wait in the host for whoever reads it, written at once. A guest may have as many bodies open as it has
/// room for in its table: together they must stay small.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// What wasmtime asks when a guest sends a request.
pub(crate) struct Hooks {
    outgoing: Option<Arc<dyn Outgoing>>,
    under_way: Arc<Semaphore>,
}

impl Hooks {
    pub(crate) fn new(outgoing: Option<Arc<dyn Outgoing>>) -> Hooks {
        Hooks { outgoing, under_way: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }
}

/// What wasmtime drives while the response's body comes.
type Driver = Box<dyn Future<Output = Result<(), WasiError>> + Send>;

impl WasiHttpHooks for Hooks {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES_MAX
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES_MAX
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _errors: Driver,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Driver), WasiError>> + Send> {
        let Some(outgoing) = self.outgoing.clone() else {
            return Box::new(async { Err(WasiError::HttpRequestDenied) });
        };
        let Ok(permit) = Arc::clone(&self.under_way).try_acquire_owned() else {
            return Box::new(async { Err(OutgoingError::TooMany.into()) });
        };
        let patience = options.map_or_else(Patience::default, |options| Patience {
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
        });
        Box::new(async move {
            let request = request
                .map(|body| body.map_err(|error| OutgoingError::Body(error.to_string())).boxed_unsync());
            let (response, driver) = outgoing.send(request, patience).await?;
            let response = response.map(|body| body.map_err(WasiError::from).boxed_unsync());
            let driver: Driver = Box::new(async move {
                let _permit = permit;
                driver.await;
                Ok(())
            });
            Ok((response, driver))
        })
    }
}
