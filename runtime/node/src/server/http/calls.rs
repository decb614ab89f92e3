//! `POST /v1/call/{workload}/{key}?method=NAME`: a call of a workload's handler.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use shardloom_protocol::call::{Executed, GuestRequest, HttpTarget};
use tokio::time::{Instant, timeout_at};

use super::headers;
use crate::server::NodeServer;
use crate::server::calls::idempotency;
use crate::server::calls::outcome::{Answer, failure_code, failure_problem};
use crate::server::calls::trip::Taken;
use crate::server::problem::{Code, Problem};
use crate::server::view::View;

/// Where calls go. What follows is taken apart by hand, since a key may hold any character, percent-encoded.
pub const CALL_PREFIX: &str = "/v1/call/";

/// What a body is where the guest does not say.
const DEFAULT_TYPE: &str = "application/octet-stream";

/// Takes a call, has it answered, and says how it went.
pub async fn call(State(server): State<Arc<NodeServer>>, request: Request) -> Response {
    let started = Instant::now();
    match Target::of(&request, &server) {
        Ok(target) => match answer(&server, target, request, started).await {
            Ok(answer) => answered(answer, Some(DEFAULT_TYPE), &server.fabric.view()),
            Err(problem) => refused(problem),
        },
        Err(problem) => problem.into_response(),
    }
}

/// Has a call answered, and notes how long that took.
///
/// # Errors
/// Everything that callers may hear but the guest's own refusals.
pub(super) async fn answer(
    server: &NodeServer,
    target: Target,
    request: Request,
    started: Instant,
) -> Result<Answer, Problem> {
    let workload = target.workload.clone();
    let result = take(server, target, request, started).await;
    note(server, &workload, result.as_ref(), started);
    result
}

/// Notes how a call went.
pub(super) fn note(server: &NodeServer, workload: &str, result: Result<&Answer, &Problem>, started: Instant) {
    let outcome = match result {
        Ok(Answer { said: Ok(_), .. }) => "ok",
        Ok(Answer { said: Err(failure), .. }) => failure_code(failure).name(),
        Err(problem) => problem.code.name(),
    };
    // Names that nobody has deployed get no series of their own: callers must not be able to make any.
    if server.fabric.view().workloads.contains_key(workload) {
        server.metrics.observe_call(workload, outcome, started.elapsed());
    }
}

/// The response to a call that was not answered by a guest.
pub(super) fn refused(problem: Problem) -> Response {
    let epoch = problem.epoch;
    let mut response = problem.into_response();
    if epoch.0 > 0 {
        headers::add_epoch(response.headers_mut(), epoch);
    }
    response
}

/// What the request line asks for.
pub(super) struct Target {
    pub(super) workload: String,
    pub(super) key: String,
    pub(super) method: String,
    /// Where it goes, if it is for a component of wasi:http.
    pub(super) http: Option<HttpTarget>,
}

impl Target {
    fn of(request: &Request, server: &NodeServer) -> Result<Target, Problem> {
        let path = request.uri().path().strip_prefix(CALL_PREFIX).unwrap_or_default();
        let parts = path.split_once('/').filter(|(workload, key)| !workload.is_empty() && !key.contains('/'));
        let Some((workload, key)) = parts else {
            return Err(Problem::new(
                Code::UnknownRoute,
                "a call goes to /v1/call/WORKLOAD/KEY; a slash in the key is written %2F",
            ));
        };
        let key = decoded(key, "the key")?;
        check_key(&key, server)?;
        Ok(Target {
            workload: decoded(workload, "the workload's name")?,
            key,
            method: method(request.uri())?,
            http: None,
        })
    }
}

/// Checks the length of a key.
///
/// # Errors
/// `too-large`.
pub(super) fn check_key(key: &str, server: &NodeServer) -> Result<(), Problem> {
    let max = server.limits.key_bytes_max;
    if key.len() as u64 > max {
        let most = format!("the key has {} bytes; at most {max} are taken", key.len());
        return Err(Problem::new(Code::KeyTooLarge, most));
    }
    Ok(())
}

/// A part of a path or a query, percent-decoded.
///
/// # Errors
/// `bad-request` where it is not UTF-8.
pub(super) fn decoded(part: &str, what: &str) -> Result<String, Problem> {
    let bytes = percent_decode_str(part).decode_utf8();
    bytes
        .map(String::from)
        .map_err(|_| Problem::new(Code::BadRequest, format!("{what} is not UTF-8 after percent-decoding")))
}

fn method(uri: &Uri) -> Result<String, Problem> {
    let mut pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut method = String::new();
    pairs.try_for_each(|pair| match pair.split_once('=') {
        Some(("method", name)) => {
            method = decoded(&name.replace('+', " "), "the method")?;
            Ok(())
        }
        _ => Err(Problem::new(Code::BadRequest, "the query of a call is `method=NAME` or nothing")),
    })?;
    Ok(method)
}

async fn take(
    server: &NodeServer,
    target: Target,
    request: Request,
    started: Instant,
) -> Result<Answer, Problem> {
    let view = server.fabric.view();
    let Some(workload) = view.workloads.get(&target.workload) else {
        let unknown = format!("there is no workload {:?}", target.workload);
        return Err(Problem::new(Code::UnknownWorkload, unknown));
    };
    match (workload.spec.http.is_some(), target.http.is_some()) {
        (true, false) => {
            let words = format!("{0} takes HTTP requests: send them to /w/{0}/", target.workload);
            return Err(Problem::new(Code::BadRequest, words));
        }
        (false, true) => {
            let words = format!("{0} takes calls: send them to /v1/call/{0}/KEY", target.workload);
            return Err(Problem::new(Code::BadRequest, words));
        }
        _ => {}
    }
    let deadline = started + timeout(server, request.headers())?;
    let body_max = server.limits.body_bytes_max;
    let announced = announced_bytes(request.headers())?.unwrap_or(body_max);
    if announced > body_max {
        return Err(body_too_large(body_max));
    }
    let room = server.router.in_flight.enter(announced)?;
    let mut passed = headers::for_guest(request.headers(), &view.access)?;
    idempotency::check(&passed)?;
    let body = read(request.into_body(), body_max, deadline).await?;
    let Target { key, method, http, .. } = target;
    if http.is_some() {
        // The body is whole, however it came.
        passed.push((header::CONTENT_LENGTH.as_str().to_owned(), body.len().to_string()));
    }
    let request = GuestRequest { key, method, headers: passed, body, http };
    let id = server.router.new_id();
    let taken = Taken { id, workload: target.workload, request: Arc::new(request), exchange: None, deadline };
    let result = server.router.call(taken).await;
    drop(room);
    result
}

/// How long the caller waits.
///
/// # Errors
/// `bad-request` where the header that says so makes no sense.
pub(super) fn timeout(server: &NodeServer, headers: &HeaderMap) -> Result<Duration, Problem> {
    let Some(value) = headers.get(headers::TIMEOUT_MS) else {
        return Ok(Duration::from_millis(server.timings.call_default_ms));
    };
    let wanted = value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).filter(|ms| *ms > 0);
    let wanted = wanted.ok_or_else(|| {
        Problem::new(Code::BadRequest, format!("{} must be a whole number above 0", headers::TIMEOUT_MS))
    })?;
    Ok(Duration::from_millis(wanted.min(server.timings.call_max_ms)))
}

/// How long the body is; nothing where the caller does not say.
///
/// # Errors
/// `bad-request` where that is no number.
pub(super) fn announced_bytes(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else {
        let chunked = headers.contains_key(header::TRANSFER_ENCODING);
        return Ok(if chunked { None } else { Some(0) });
    };
    let bytes = value.to_str().ok().and_then(|text| text.parse().ok());
    bytes.map(Some).ok_or_else(|| Problem::new(Code::BadRequest, "content-length is not a number"))
}

fn body_too_large(body_max: u64) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body may have at most {body_max} bytes"))
}

/// Reads a whole body, up to its bound and the deadline.
async fn read(body: Body, body_max: u64, deadline: Instant) -> Result<Bytes, Problem> {
    let limited = Limited::new(body, usize::try_from(body_max).unwrap_or(usize::MAX));
    match timeout_at(deadline, limited.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(body_too_large(body_max)),
        Ok(Err(error)) => Err(Problem::new(Code::BadRequest, format!("the body did not arrive: {error}"))),
        Err(_) => Err(Problem::new(Code::DeadlineExceeded, "the body did not arrive before the deadline")
            .executed(Executed::No)),
    }
}

/// The response with a guest's answer; `default_type` is for a body that it names no type for.
pub(super) fn answered(answer: Answer, default_type: Option<&'static str>, view: &View) -> Response {
    let place = answer.place;
    let mut response = match answer.said {
        Ok(reply) => {
            let mut response = Response::new(Body::from(reply.body));
            *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
            *response.headers_mut() = headers::from_guest(reply.headers, default_type);
            response
        }
        Err(failure) => failure_problem(failure).at(place.epoch).into_response(),
    };
    headers::add_place(response.headers_mut(), &place, view);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_percent_decoded_and_may_be_left_out() {
        let of = |uri: &'static str| method(&Uri::from_static(uri));
        assert_eq!(of("/x").unwrap(), "");
        assert_eq!(of("/x?method=get%20it").unwrap(), "get it");
        assert_eq!(of("/x?method=").unwrap(), "");
        assert_eq!(of("/x?other=1").unwrap_err().code, Code::BadRequest);
        assert_eq!(of("/x?method=%ff").unwrap_err().code, Code::BadRequest);
    }
}
