//! Requests of wasi:http, as tests make them.

use shardloom_host::{CallError, HandlerInstance, HttpTarget, Reply, Request};

use crate::fixture::far;
use crate::state::State;

/// A request for a path and query.
pub(crate) fn web(method: &str, path_and_query: &str, body: &str) -> Request {
    Request {
        key: "k".to_owned(),
        method: method.to_owned(),
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
        http: Some(HttpTarget {
            tls: false,
            authority: "shop.example:7080".to_owned(),
            path_and_query: path_and_query.to_owned(),
        }),
    }
}

/// Sends a request; the reply is status and text.
pub(crate) async fn send(state: &State, instance: &mut HandlerInstance, request: Request) -> (u16, String) {
    let Reply { status, body, .. } = end(state, instance, request).await.unwrap();
    (status, String::from_utf8(body).unwrap())
}

/// Sends a request, whatever comes of it.
pub(crate) async fn end(
    state: &State,
    instance: &mut HandlerInstance,
    request: Request,
) -> Result<Reply, CallError> {
    state.run(instance, request, far()).await
}
