//! Requests of components of wasi:http whose bodies are not held whole: neither here, nor on the way to the guest and back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use shardloom_host::{BodyError, IncomingBody, Part, Streams};
use shardloom_protocol::call::GuestRequest;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::calls::{self, Target, announced_bytes};
use super::headers;
use crate::server::NodeServer;
use crate::server::calls::exchange::Exchange;
use crate::server::calls::idempotency;
use crate::server::calls::in_flight::Room;
use crate::server::calls::outcome::Answer;
use crate::server::calls::trip::Taken;
use crate::server::problem::{Code, Problem};

/// Bytes that such a call counts as: what a connection and a guest hold of both bodies at once.
const HELD_BYTES: u64 = 512 << 10;

/// Parts of a response's body, of some 64 KiB, that wait for its caller. A guest that is further ahead waits.
const PARTS_MAX: usize = 2;

/// Has a request answered: the answer, and the response's body where a guest streams it.
///
/// # Errors
/// Everything that callers may hear before the head of a response.
pub(super) async fn answer(
    server: &NodeServer,
    target: Target,
    request: Request,
    started: Instant,
) -> Result<(Answer, Option<Body>), Problem> {
    let workload = target.workload.clone();
    let result = take(server, target, request, started).await;
    calls::note(server, &workload, result.as_ref().map(|(answer, _)| answer), started);
    result
}

async fn take(
    server: &NodeServer,
    target: Target,
    request: Request,
    started: Instant,
) -> Result<(Answer, Option<Body>), Problem> {
    let deadline = started + calls::timeout(server, request.headers())?;
    if request.headers().contains_key(idempotency::HEADER) {
        let words = format!(
            "{} streams its responses, and none is kept for a retry: leave out {}",
            target.workload,
            idempotency::HEADER
        );
        return Err(Problem::new(Code::BadRequest, words));
    }
    let room = server.router.in_flight.enter(HELD_BYTES)?;
    let mut passed = headers::for_guest(request.headers(), &server.fabric.view().access)?;
    if let Some(bytes) = announced_bytes(request.headers())? {
        passed.push((header::CONTENT_LENGTH.as_str().to_owned(), bytes.to_string()));
    }
    let idle_max = Duration::from_millis(server.timings.body_idle_ms);
    let (parts, received) = mpsc::channel(PARTS_MAX);
    let asked = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let body = incoming(request.into_body(), idle_max);
    let exchange = Arc::new(Exchange::new(Streams { body, parts, idle_max }, asked));
    let Target { workload, key, method, http } = target;
    let request = GuestRequest { key, method, headers: passed, body: Bytes::new(), http };
    let taken = Taken {
        id: server.router.new_id(),
        workload,
        request: Arc::new(request),
        exchange: Some(Arc::clone(&exchange)),
        deadline,
    };
    let answer = server.router.call(taken).await?;
    let body = exchange.is_taken().then(|| outgoing(received, room));
    Ok((answer, body))
}

/// The caller's body as it comes. One that stands still while the guest waits for it ends in an error.
fn incoming(body: Body, idle_max: Duration) -> IncomingBody {
    let frames = stream::try_unfold(body, move |mut body| async move {
        match timeout(idle_max, body.frame()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(frame))) => Ok(Some((frame, body))),
            Ok(Some(Err(error))) => Err(BodyError::Broken(error.to_string())),
            Err(_) => Err(BodyError::Idle(idle_max)),
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// The response's body as the guest sends it. Dropping it ends the guest.
fn outgoing(received: mpsc::Receiver<Part>, room: Room) -> Body {
    let parts = stream::try_unfold((received, room), |(mut received, room)| async move {
        match received.recv().await {
            Some(Part::Data(bytes)) => Ok(Some((bytes, (received, room)))),
            Some(Part::End) => Ok(None),
            None => Err(io::Error::other("the component did not bring its response to an end")),
        }
    });
    Body::from_stream(parts)
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;
    use crate::server::calls::in_flight::InFlight;

    #[tokio::test]
    async fn a_response_that_was_not_ended_is_broken_off_and_gives_its_room_back() {
        let in_flight = InFlight::new(1, HELD_BYTES, Gauge::default());
        for (last, whole) in [(Some(Part::End), true), (None, false)] {
            let (parts, received) = mpsc::channel(PARTS_MAX);
            let body = outgoing(received, in_flight.enter(HELD_BYTES).unwrap());
            parts.send(Part::Data(Bytes::from_static(b"some"))).await.unwrap();
            if let Some(last) = last {
                parts.send(last).await.unwrap();
            }
            drop(parts);
            assert_eq!(in_flight.calls(), 1);
            assert_eq!(body.collect().await.is_ok(), whole);
            assert_eq!(in_flight.calls(), 0);
        }
    }

    #[tokio::test]
    async fn a_request_that_stands_still_ends_in_an_error() {
        let still = Body::from_stream(stream::pending::<Result<Bytes, io::Error>>());
        let idle_max = Duration::from_millis(20);
        let error = incoming(still, idle_max).collect().await.unwrap_err();
        assert_eq!(error, BodyError::Idle(idle_max));
    }
}
