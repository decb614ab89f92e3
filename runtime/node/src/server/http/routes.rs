//! The table of routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};

use super::{
    auth, backup, calls, components, logs, nodes, openapi, plans, repair, settings, state, web, weigher,
    workloads,
};
use crate::server::NodeServer;
use crate::server::problem::{Code, Problem};

/// All routes of a node, for one server.
pub fn routes(server: Arc<NodeServer>) -> Router {
    let guarded = Router::new()
        .route("/v1/status", get(state::status))
        .route("/v1/nodes", get(state::nodes))
        .route("/v1/shards", get(state::shards))
        .route("/v1/moves", get(state::moves))
        .route("/v1/endpoints", get(state::endpoints))
        .route("/v1/logs", get(logs::logs))
        .route("/v1/workloads", get(state::workloads))
        .route("/v1/components/{sha256}", put(components::upload).get(components::download))
        .route("/v1/workloads/{name}", put(workloads::deploy).delete(workloads::undeploy))
        .route("/v1/admin/tokens", post(nodes::create_token))
        .route("/v1/admin/step-down", post(nodes::step_down))
        .route("/v1/admin/nodes/{id}/add", post(nodes::add))
        .route("/v1/admin/nodes/{id}/drain", post(nodes::drain))
        .route("/v1/admin/nodes/{id}/remove", post(nodes::remove))
        .route("/v1/admin/weigher", get(weigher::show).post(weigher::set).delete(weigher::unset))
        .route("/v1/admin/weigher/run", post(weigher::run))
        .route("/v1/admin/plan", get(plans::plan))
        .route("/v1/admin/rebalance", post(plans::rebalance))
        .route("/v1/admin/settings", get(settings::show).put(settings::set))
        .route("/v1/admin/backup/shards/{shard}", get(backup::read))
        .route("/v1/admin/restore/shards/{shard}", post(backup::restore))
        .route("/v1/admin/repair/shards", get(repair::show).post(repair::repair))
        .route("/v1/openapi.json", get(openapi::serve))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(method_not_allowed)
        .route_layer(middleware::from_fn_with_state(Arc::clone(&server), auth::admin_only));
    Router::new()
        .route("/v1/call/{*rest}", post(calls::call))
        .route("/w/{*rest}", any(web::serve))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .method_not_allowed_fallback(method_not_allowed)
        .merge(guarded)
        .fallback(unknown_route)
        .with_state(server)
}

async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready is a node that serves: it has a lease, a map, and is not about to end.
async fn readyz(State(server): State<Arc<NodeServer>>) -> Response {
    let view = server.fabric.view();
    let reason = if server.is_ending() {
        "the node is about to end"
    } else if !view.lease_live {
        "the node has no lease"
    } else if view.epoch().0 == 0 {
        "no shard map is committed"
    } else {
        return "ready\n".into_response();
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}

async fn metrics(State(server): State<Arc<NodeServer>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([("content-type", kind)], server.metrics.to_text()).into_response()
}

async fn unknown_route(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(Code::UnknownRoute, format!("there is nothing at {path}"))
}

async fn method_not_allowed(uri: Uri) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("{} has other methods; see the allow header", uri.path()))
}
