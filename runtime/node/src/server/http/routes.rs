//! All routes of a node, each with its guard.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use shardloom_cluster::control::TokenRole;

use super::auth::Guard;
use super::operation::Verb;
use super::table::Table;
use super::{
    access, audit, backup, calls, certificates, components, events, logs, nodes, plans, repair, settings,
    state, web, weigher, why, workloads,
};
use crate::server::NodeServer;
use crate::server::problem::{Code, Problem};

const OPEN: Guard = Guard::Open;
/// Sees, and changes nothing.
const READER: Guard = Guard::Role(TokenRole::Reader);
/// Changes what runs.
const DEPLOYER: Guard = Guard::Role(TokenRole::Deployer);
/// Changes the cluster, or sees what workloads keep.
const ADMIN: Guard = Guard::Role(TokenRole::Admin);

/// All routes of a node, for one server.
pub fn routes(server: Arc<NodeServer>) -> Router {
    let (router, server) = table(server).into_router();
    router.method_not_allowed_fallback(method_not_allowed).fallback(unknown_route).with_state(server)
}

/// The table of them.
pub fn table(server: Arc<NodeServer>) -> Table {
    use Verb::{Any, Delete, Get, Post};
    let table = Table::new(server)
        .add_under(
            "/v1/call/{*rest}",
            OPEN,
            Post,
            "/v1/call/{workload}/{key}",
            "Call a workload's handler; body in, body out",
            calls::call,
        )
        .add_under(
            "/w/{*rest}",
            OPEN,
            Any,
            "/w/{workload}/{path}",
            "Send a request, by any method, to a component of wasi:http",
            web::serve,
        )
        .add(OPEN, Get, "/healthz", "Whether the process answers", healthz)
        .add(OPEN, Get, "/readyz", "Whether the node serves: it has a lease and a committed map", readyz)
        .add(READER, Get, "/metrics", "Metrics for Prometheus", metrics);
    let table = watching(table);
    let table = deploying(table);
    let table = administration(table);
    let table = table
        .add(READER, Get, "/v1/admin/weigher", "The weigher, and how it fared", weigher::show)
        .add(
            DEPLOYER,
            Post,
            "/v1/admin/weigher",
            "Set the weigher, and run it: `component` is a digest, or `built_in` is uniform or by-load",
            weigher::set,
        )
        .add(DEPLOYER, Delete, "/v1/admin/weigher", "Unset the weigher and its weights", weigher::unset)
        .add(
            DEPLOYER,
            Post,
            "/v1/admin/weigher/run",
            "Run the weigher now; dry, it writes nothing, and the body may name another",
            weigher::run,
        );
    let table = placement(table);
    table.describe(OPEN, "/v1/openapi.json", "This description")
}

/// Where shards are.
fn placement(table: Table) -> Table {
    use Verb::{Get, Post};
    table
        .add(
            READER,
            Get,
            "/v1/admin/plan",
            "What the leader would move, why, and what it would copy; or if nodes or weights were others",
            plans::plan,
        )
        .add(
            ADMIN,
            Post,
            "/v1/admin/rebalance",
            "Carry out just that `plan`, or level everything now where none is named",
            plans::rebalance,
        )
}

/// How the cluster fares.
fn watching(table: Table) -> Table {
    use Verb::Get;
    table
        .add(READER, Get, "/v1/status", "The cluster as a whole", state::status)
        .add(READER, Get, "/v1/nodes", "The nodes", state::nodes)
        .add(READER, Get, "/v1/shards", "The shards, with owners and replicas", state::shards)
        .add(READER, Get, "/v1/shards/{shard}/why", "Why a shard is where it is", why::why)
        .add(
            READER,
            Get,
            "/v1/moves",
            "The moves of data under way, with progress and time left",
            state::moves,
        )
        .add(READER, Get, "/v1/endpoints", "The addresses of all nodes", state::endpoints)
        .add(READER, Get, "/v1/logs", "What guests of this node say, one JSON object a line", logs::logs)
        .add(
            READER,
            Get,
            "/v1/events",
            "What happens in the cluster, as server-sent events; their ids are indices of the control log",
            events::events,
        )
        .add(
            READER,
            Get,
            "/v1/certificates",
            "The authorities and certificates of the nodes, and whom a rotation waits for",
            certificates::show,
        )
        .add(READER, Get, "/v1/audit", "Who changed what, when, and what came of it", audit::audit)
        .add(READER, Get, "/v1/workloads", "What is deployed", state::workloads)
}

/// What runs.
fn deploying(table: Table) -> Table {
    use Verb::{Delete, Get, Post, Put};
    table
        .add(DEPLOYER, Put, "/v1/components/{sha256}", "Upload a component by its digest", components::upload)
        .add(READER, Get, "/v1/components/{sha256}", "Download a component", components::download)
        .add(
            DEPLOYER,
            Put,
            "/v1/workloads/{name}",
            "Deploy a workload on all nodes at once",
            workloads::deploy,
        )
        .add(
            DEPLOYER,
            Delete,
            "/v1/workloads/{name}",
            "Take a workload away, and its state where asked",
            workloads::undeploy,
        )
        .add(
            READER,
            Get,
            "/v1/workloads/{name}",
            "The versions of a workload, and how they fare",
            workloads::show,
        )
        .add(
            DEPLOYER,
            Post,
            "/v1/workloads/{name}/promote",
            "Put the canary on all shards",
            workloads::promote,
        )
        .add(
            DEPLOYER,
            Post,
            "/v1/workloads/{name}/rollback",
            "End the canary, or make an earlier version current again",
            workloads::roll_back,
        )
}

/// The cluster itself, and what workloads keep.
fn administration(table: Table) -> Table {
    use Verb::{Delete, Get, Post, Put};
    table
        .add(ADMIN, Post, "/v1/admin/tokens", "Make a join token", nodes::create_token)
        .add(ADMIN, Get, "/v1/admin/access", "The tokens of the API, without their secrets", access::list)
        .add(
            ADMIN,
            Post,
            "/v1/admin/access",
            "Make a token of the API: `name`, and `role` reader, deployer or admin",
            access::create,
        )
        .add(ADMIN, Delete, "/v1/admin/access/{name}", "Revoke a token of the API", access::revoke)
        .add(
            ADMIN,
            Post,
            "/v1/admin/certificates/rotate",
            "Begin to give every node a new key and a certificate by a new authority",
            certificates::rotate,
        )
        .add(ADMIN, Post, "/v1/admin/step-down", "Have another node lead", nodes::step_down)
        .add(ADMIN, Post, "/v1/admin/nodes/{id}/add", "Let a pending node in", nodes::add)
        .add(ADMIN, Post, "/v1/admin/nodes/{id}/drain", "Move everything off a node", nodes::drain)
        .add(ADMIN, Post, "/v1/admin/nodes/{id}/remove", "Take a node out of the cluster", nodes::remove)
        .add(
            ADMIN,
            Post,
            "/v1/admin/nodes/{id}/quarantine",
            "Keep a node from owning shards; it keeps its copies and its vote",
            nodes::quarantine,
        )
        .add(ADMIN, Post, "/v1/admin/nodes/{id}/release", "Let a node own shards again", nodes::release)
        .add(READER, Get, "/v1/admin/settings", "What is set for the whole cluster", settings::show)
        .add(
            ADMIN,
            Put,
            "/v1/admin/settings",
            "Set some of it: a JSON object of names and values",
            settings::set,
        )
        .add(
            ADMIN,
            Get,
            "/v1/admin/backup/shards/{shard}",
            "Read the state of a shard as it stands now, while it is served",
            backup::read,
        )
        .add(
            ADMIN,
            Post,
            "/v1/admin/restore/shards/{shard}",
            "Write rows of a backup into a shard of a cluster without workloads",
            backup::restore,
        )
        .add(
            READER,
            Get,
            "/v1/admin/repair/shards",
            "The shards that have lost too many replicas",
            repair::show,
        )
        .add(
            ADMIN,
            Post,
            "/v1/admin/repair/shards",
            "Accept the loss of data, and recover from who is left",
            repair::repair,
        )
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
