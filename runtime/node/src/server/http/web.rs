//! `ANY /w/{workload}/...`: a request of a component of wasi:http.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use shardloom_protocol::call::HttpTarget;
use tokio::time::Instant;

use super::calls::{Target, answer, answered, check_key, decoded, refused};
use super::connection::Secured;
use super::{web_key, web_stream};
use crate::server::NodeServer;
use crate::server::problem::{Code, Problem};

/// Where such requests go. What follows the workload's name is the component's own.
pub const WEB_PREFIX: &str = "/w/";

/// Takes a request, has it answered, and passes on whatever the component says.
pub async fn serve(State(server): State<Arc<NodeServer>>, request: Request) -> Response {
    let started = Instant::now();
    let target = match target(&server, &request) {
        Ok(target) => target,
        Err(problem) => return problem.into_response(),
    };
    let head = request.method() == Method::HEAD;
    let streams = server.fabric.view().workloads.get(&target.workload).is_some_and(|found| found.streams());
    let answer = if streams {
        web_stream::answer(&server, target, request, started).await
    } else {
        answer(&server, target, request, started).await.map(|answer| (answer, None))
    };
    match answer {
        Ok((mut answer, body)) => {
            let length = answer.said.as_mut().ok().filter(|_| head).and_then(|reply| {
                let length = reply.headers.iter().find(|(name, _)| name == header::CONTENT_LENGTH.as_str());
                length.and_then(|(_, value)| HeaderValue::from_str(value).ok())
            });
            let mut response = answered(answer, None, &server.fabric.view());
            if let Some(body) = body.filter(|_| response.status() != StatusCode::NO_CONTENT) {
                *response.body_mut() = body;
            }
            // What a body would have: the component's word, since there is none to count.
            if let Some(length) = length {
                response.headers_mut().insert(header::CONTENT_LENGTH, length);
            }
            response
        }
        Err(problem) => refused(problem),
    }
}

fn target(server: &NodeServer, request: &Request) -> Result<Target, Problem> {
    let uri = request.uri();
    let behind = uri.path().strip_prefix(WEB_PREFIX).unwrap_or_default();
    let (name, path) = match behind.split_once('/') {
        Some((name, path)) => (name, format!("/{path}")),
        None => (behind, "/".to_owned()),
    };
    let name = decoded(name, "the workload's name")?;
    let view = server.fabric.view();
    let unknown = || Problem::new(Code::UnknownWorkload, format!("there is no workload {name:?}"));
    let workload = view.workloads.get(&name).ok_or_else(unknown)?;
    let key = match &workload.spec.http {
        Some(http) => web_key::find(&http.key_from, &path, uri.query(), request.headers())?,
        // It will be told where calls go.
        None => String::new(),
    };
    check_key(&key, server)?;
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let http = HttpTarget {
        tls: request.extensions().get::<Secured>().is_some(),
        authority: authority(request)?,
        path_and_query,
    };
    Ok(Target { workload: name, key, method: request.method().as_str().to_owned(), http: Some(http) })
}

/// The host that the caller means.
fn authority(request: &Request) -> Result<String, Problem> {
    let bad = |words: &str| Problem::new(Code::BadRequest, words);
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.as_str().to_owned());
    }
    let host = request.headers().get(header::HOST).ok_or_else(|| bad("a host header is needed"))?;
    let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    host.map(|host| host.as_str().to_owned()).ok_or_else(|| bad("the host header names no host"))
}
