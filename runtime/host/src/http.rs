//! Components of wasi:http: how a request reaches one, and how its response is taken.
//!
//! The response is taken whole. A call is over when the export has returned, the response's body has ended and, from 0.3 on,
//! none of the component's tasks goes on: whatever it wrote until then is one transaction, and only then may the response
//! leave. A response of 5xx is a failure, and leaves nothing, as one of a handler does.

mod streamed;

use bytes::Bytes;
use futures::future::{Either, poll_fn, select};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiHttpView, p2, p3};

use crate::call::{CallError, Ended, Reply, ReplyBounds, Request};
use crate::guest::Guest;
use crate::stop::{LimitHit, cut};

pub(crate) use streamed::Passage;

/// What is said of a response that broke off.
const UNFINISHED: &str = "the body of the response did not come to its end";

/// What is said where there is none.
const NO_RESPONSE: &str = "the component gave no response";

/// A component of wasi:http, linked.
#[derive(Clone)]
pub(crate) enum HttpPre {
    /// It exports `wasi:http/incoming-handler@0.2`.
    Old(p2::bindings::ProxyPre<Guest>),
    /// It exports `wasi:http/handler@0.3`.
    New(p3::bindings::ServicePre<Guest>),
}

/// An instance of one.
pub(crate) enum HttpExports {
    Old(p2::bindings::Proxy),
    New(p3::bindings::Service),
}

impl HttpPre {
    pub(crate) fn new(pre: InstancePre<Guest>) -> wasmtime::Result<HttpPre> {
        if exports_new(pre.component()) {
            return Ok(HttpPre::New(p3::bindings::ServicePre::new(pre)?));
        }
        Ok(HttpPre::Old(p2::bindings::ProxyPre::new(pre)?))
    }

    pub(crate) async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<HttpExports> {
        Ok(match self {
            HttpPre::Old(pre) => HttpExports::Old(pre.instantiate_async(store).await?),
            HttpPre::New(pre) => HttpExports::New(pre.instantiate_async(store).await?),
        })
    }
}

fn exports_new(component: &Component) -> bool {
    let ty = component.component_type();
    ty.exports(component.engine()).any(|(name, _)| name.starts_with("wasi:http/handler@0.3."))
}

impl HttpExports {
    /// Has the component answer a request.
    ///
    /// # Errors
    /// The component trapped, was stopped, or the host failed: the instance is dead.
    pub(crate) async fn call(
        &self,
        store: &mut Store<Guest>,
        request: Request,
        bounds: ReplyBounds,
    ) -> wasmtime::Result<Ended> {
        let scheme = scheme(&request);
        let request = match to_http(request) {
            Ok(request) => request.map(Full::new),
            Err(words) => return Ok(Ended { result: failed(words), usable: true }),
        };
        match self {
            HttpExports::Old(proxy) => call_old(proxy, store, request, scheme, bounds).await,
            HttpExports::New(service) => call_new(service, store, request, bounds).await,
        }
    }
}

async fn call_old(
    proxy: &p2::bindings::Proxy,
    store: &mut Store<Guest>,
    request: http::Request<Full<Bytes>>,
    scheme: Scheme,
    bounds: ReplyBounds,
) -> wasmtime::Result<Ended> {
    let (sender, receiver) = oneshot::channel();
    let mut view = store.data_mut().http();
    let request = view.new_incoming_request(scheme, request)?;
    let outparam = view.new_response_outparam(sender)?;
    let taken = Box::pin(async {
        match receiver.await {
            Ok(Ok(response)) => take(response, bounds).await,
            Ok(Err(code)) => failed(answered_with(&code)),
            Err(_) => failed(NO_RESPONSE.into()),
        }
    });
    let handler = proxy.wasi_http_incoming_handler();
    let called = Box::pin(handler.call_handle(&mut *store, request, outparam));
    let taken = match select(taken, called).await {
        // A response that is too large is not waited for; the component is dropped in the middle.
        Either::Left((result @ Err(CallError::Limit(_)), _)) => return Ok(Ended { result, usable: false }),
        Either::Left((result, called)) => {
            called.await?;
            return Ok(Ended { result, usable: true });
        }
        Either::Right((called, taken)) => {
            called?;
            taken
        }
    };
    // What the component has said is here by now. It has returned: nobody would ever end a body that is still open.
    // It is not to count against the task's share of polls: one that is used up would look like a body that is open.
    Ok(match poll_once(&mut tokio::task::unconstrained(taken)).await {
        Some(result) => Ended { result, usable: true },
        None => Ended { result: failed(format!("{UNFINISHED}: the component left it open")), usable: false },
    })
}

async fn call_new(
    service: &p3::bindings::Service,
    store: &mut Store<Guest>,
    request: http::Request<Full<Bytes>>,
    bounds: ReplyBounds,
) -> wasmtime::Result<Ended> {
    let end = store.run_concurrent(async |accessor| {
        let request = accessor.with(|mut store| {
            let view = store.data_mut().http();
            p3::Request::from_http(view.hooks, request).0
        });
        let response = match service.handle(accessor, request).await? {
            Ok(response) => response,
            Err(code) => {
                let result = failed(answered_with(&code));
                // Tasks of it may go on, and would write into the next call.
                return wasmtime::error::Ok(Ended { result, usable: false });
            }
        };
        let response = accessor.with(|store| response.into_http(store, async { Ok(()) }))?;
        let result = take(response, bounds).await;
        if matches!(result, Err(CallError::Limit(_))) {
            return Ok(Ended { result, usable: false });
        }
        poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
        Ok(Ended { result, usable: true })
    });
    end.await?
}

/// Takes a response whole.
async fn take<B>(response: http::Response<B>, bounds: ReplyBounds) -> Result<Reply, CallError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = response.into_parts();
    let head = head_of(parts)?;
    let bytes_max = usize::try_from(bounds.reply_bytes).unwrap_or(usize::MAX);
    let body = match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => collected.to_bytes().into(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(CallError::Limit(LimitHit::Reply(bounds.reply_bytes)));
        }
        Err(error) => return failed(format!("{UNFINISHED}: {error}")),
    };
    bounds.check(Reply { body, ..head }).map_err(CallError::Limit)
}

/// A response without its body.
fn head_of(parts: http::response::Parts) -> Result<Reply, CallError> {
    if parts.status.is_informational() {
        return failed(format!("the component answered with {}, which is no final status", parts.status));
    }
    let headers = parts.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Ok(Reply { status: parts.status.as_u16(), headers: headers.collect(), body: Vec::new() })
}

/// How the caller has come.
fn scheme(request: &Request) -> Scheme {
    match &request.http {
        Some(target) if target.tls => Scheme::Https,
        _ => Scheme::Http,
    }
}

/// The request as wasmtime takes it.
fn to_http(request: Request) -> Result<http::Request<Bytes>, String> {
    let Request { method, headers, body, http, .. } = request;
    let target = http.ok_or("the call has no HTTP target")?;
    let scheme = if target.tls { "https" } else { "http" };
    let uri = http::Uri::builder()
        .scheme(scheme)
        .authority(target.authority)
        .path_and_query(target.path_and_query)
        .build();
    let mut builder = http::Request::builder()
        .method(method.as_str())
        .uri(uri.map_err(|error| format!("the target of the request: {error}"))?);
    for (name, value) in &headers {
        builder = builder.header(name, value);
    }
    builder.body(Bytes::from(body)).map_err(|error| format!("the request: {error}"))
}

/// What is said of a component that answers with an error in place of a response.
fn answered_with(code: &dyn std::fmt::Debug) -> String {
    format!("the component answered with an error: {code:?}")
}

/// There is no response; words of the component's may be among those that say why.
fn failed(words: String) -> Result<Reply, CallError> {
    Err(CallError::NoResponse(cut(words)))
}

/// Polls a future one single time.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    use std::task::Poll;
    poll_fn(|context| match std::pin::Pin::new(&mut *future).poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
