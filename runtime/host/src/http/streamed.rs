//! Requests and responses whose bodies pass through a component as they come.
//!
//! The head of the response ends the call's transaction: the host takes it as soon as the component waits for anything. From then on
//! the component has no state. It brings its body to an end, at the pace of whoever reads it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use http_body::Body;
use tokio::sync::{mpsc, oneshot};
use tokio::task::unconstrained;
use tokio::time::timeout;
use wasmtime::Store;
use wasmtime_wasi_http::{WasiHttpView, p2, p3};

use super::{HttpExports, NO_RESPONSE, UNFINISHED, answered_with, head_of, scheme, to_http};
use crate::call::{CallEnd, CallError, ReplyBounds};
use crate::guest::Guest;
use crate::run_time::Clock;
use crate::stage::Stage;
use crate::stop::cut;
use crate::streams::{Broken, IncomingBody, Part};
use crate::transaction::Transaction;

/// The way of a response to its caller.
pub(crate) struct Passage {
    pub(crate) stage: Stage,
    pub(crate) clock: Clock,
    pub(crate) bounds: ReplyBounds,
    pub(crate) parts: mpsc::Sender<Part>,
    pub(crate) idle_max: Duration,
    /// Where the head goes; taken when it has gone.
    pub(crate) head: Option<oneshot::Sender<CallEnd>>,
}

impl HttpExports {
    /// Has the component answer a request. The error inside says why the response has broken off.
    ///
    /// # Errors
    /// The component trapped, was stopped, or the host failed.
    pub(crate) async fn stream(
        &self,
        store: &mut Store<Guest>,
        request: crate::call::Request,
        body: IncomingBody,
        passage: &mut Passage,
    ) -> wasmtime::Result<Result<(), Broken>> {
        let scheme = scheme(&request);
        let request = match to_http(request) {
            Ok(request) => request.map(|_| body),
            Err(words) => return Ok(Err(broken(words))),
        };
        match self {
            HttpExports::Old(proxy) => stream_old(proxy, store, request, scheme, passage).await,
            HttpExports::New(service) => stream_new(service, store, request, passage).await,
        }
    }
}

async fn stream_old(
    proxy: &p2::bindings::Proxy,
    store: &mut Store<Guest>,
    request: http::Request<IncomingBody>,
    scheme: p2::bindings::http::types::Scheme,
    passage: &mut Passage,
) -> wasmtime::Result<Result<(), Broken>> {
    let (sender, receiver) = oneshot::channel();
    let mut view = store.data_mut().http();
    let request = view.new_incoming_request(scheme, request)?;
    let outparam = view.new_response_outparam(sender)?;
    let idle_max = passage.idle_max;
    let returned = AtomicBool::new(false);
    let passed = Box::pin(async {
        let response = tokio::select! {
            response = until_over(receiver, &returned) => response,
            () = passage.parts.closed() => return Err(Broken::CallerGone),
        };
        let body = match response {
            Some(Ok(Ok(response))) => passage.begin(response)?,
            Some(Ok(Err(code))) => return Err(broken(answered_with(&code))),
            Some(Err(_)) | None => return Err(broken(NO_RESPONSE.into())),
        };
        passage.pass_on(body, &returned).await
    });
    let handler = proxy.wasi_http_incoming_handler();
    let called = Box::pin(handler.call_handle(&mut *store, request, outparam));
    match select(passed, called).await {
        // The component is dropped in the middle.
        Either::Left((Err(broken), _)) => Ok(Err(broken)),
        Either::Left((Ok(()), called)) => match timeout(idle_max, called).await {
            Ok(called) => called.map(Ok),
            Err(_) => Ok(Err(Broken::GuestIdle(idle_max))),
        },
        Either::Right((called, passed)) => {
            called?;
            // What the component has said is on its way by now, and nobody would ever end a body that is still open.
            returned.store(true, Ordering::Relaxed);
            Ok(passed.await)
        }
    }
}

async fn stream_new(
    service: &p3::bindings::Service,
    store: &mut Store<Guest>,
    request: http::Request<IncomingBody>,
    passage: &mut Passage,
) -> wasmtime::Result<Result<(), Broken>> {
    let end = store.run_concurrent(async |accessor| {
        let request = accessor.with(|mut store| {
            let view = store.data_mut().http();
            p3::Request::from_http(view.hooks, request).0
        });
        let response = tokio::select! {
            response = service.handle(accessor, request) => response?,
            () = passage.parts.closed() => return wasmtime::error::Ok(Err(Broken::CallerGone)),
        };
        let response = match response {
            Ok(response) => response,
            Err(code) => return Ok(Err(broken(answered_with(&code)))),
        };
        let response = accessor.with(|store| response.into_http(store, async { Ok(()) }))?;
        let passed = match passage.begin(response) {
            Ok(body) => passage.pass_on(body, &AtomicBool::new(false)).await,
            Err(broken) => Err(broken),
        };
        if passed.is_err() {
            return Ok(passed);
        }
        let at_rest = poll_fn(|context| accessor.poll_no_interesting_tasks(context));
        let rested = timeout(passage.idle_max, at_rest).await;
        Ok(rested.map_err(|_| Broken::GuestIdle(passage.idle_max)))
    });
    end.await?
}

impl Passage {
    /// Ends the transaction, and sends the head of the response off with what the call has written.
    fn begin<B>(&mut self, response: http::Response<B>) -> Result<B, Broken> {
        let (parts, body) = response.into_parts();
        let reply = self.bounds.check(head_of(parts)?).map_err(CallError::Limit)?;
        let transaction = self.stage.close().filter(|_| reply.keeps_writes());
        self.clock.lift_deadline();
        let writes = transaction.map(Transaction::into_writes).unwrap_or_default();
        let head = self.head.take().ok_or(Broken::CallerGone)?;
        head.send(CallEnd { result: Ok(reply), writes }).map_err(|_| Broken::CallerGone)?;
        Ok(body)
    }

    /// Passes a body on, part by part, until it ends. Once the component has returned, what does not come at once never will.
    async fn pass_on<B>(&self, body: B, returned: &AtomicBool) -> Result<(), Broken>
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let mut body = pin!(body);
        loop {
            let frame = until_over(poll_fn(|context| body.as_mut().poll_frame(context)), returned);
            let frame = tokio::select! {
                frame = timeout(self.idle_max, frame) => frame.map_err(|_| Broken::GuestIdle(self.idle_max))?,
                () = self.parts.closed() => return Err(Broken::CallerGone),
            };
            let part = match frame {
                None => return Err(broken(format!("{UNFINISHED}: the component left it open"))),
                Some(None) => Part::End,
                Some(Some(Err(error))) => return Err(broken(format!("{UNFINISHED}: {error}"))),
                // Trailers stay behind, as those of a response that is taken whole.
                Some(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Part::Data(data),
                    Err(_trailers) => continue,
                },
            };
            let ended = part == Part::End;
            match timeout(self.idle_max, self.parts.send(part)).await {
                Ok(Ok(())) if ended => return Ok(()),
                // A body may be of any size: it is the time for each part of it that is bounded.
                Ok(Ok(())) => self.clock.count_anew(),
                Ok(Err(_)) => return Err(Broken::CallerGone),
                Err(_) => return Err(Broken::CallerIdle(self.idle_max)),
            }
        }
    }
}

/// What comes of a future; nothing, if the component has returned and left it open. It does not count against the task's share of
/// polls: one that is used up would look the same.
async fn until_over<F: Future>(future: F, returned: &AtomicBool) -> Option<F::Output> {
    use std::task::Poll;
    let mut future = pin!(unconstrained(future));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if returned.load(Ordering::Relaxed) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

fn broken(words: String) -> Broken {
    Broken::Call(CallError::NoResponse(cut(words)))
}
