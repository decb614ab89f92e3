//! `/v1/openapi.json`: the API described for programs.

use axum::Json;
use serde_json::{Value, json};

use shardloom_sharding::plan::Reason;

use crate::server::problem::Code;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Everybody.
    Open,
    /// Whoever has the admin token.
    Admin,
}

/// One operation of the API.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The HTTP method, in lower case.
    pub method: &'static str,
    /// The path, parameters in braces.
    pub path: &'static str,
    /// Who may use it.
    pub guard: Guard,
    /// What it does.
    pub summary: &'static str,
}

const fn operation(
    guard: Guard,
    method: &'static str,
    path: &'static str,
    summary: &'static str,
) -> Operation {
    Operation { method, path, guard, summary }
}

/// All operations. A test holds it against the routes.
pub const OPERATIONS: [Operation; 34] = {
    use Guard::{Admin, Open};
    [
        operation(Open, "post", "/v1/call/{workload}/{key}", "Call a workload's handler; body in, body out"),
        operation(
            Open,
            "get",
            "/w/{workload}/{path}",
            "Send a request, by any method, to a component of wasi:http",
        ),
        operation(Open, "get", "/healthz", "Whether the process answers"),
        operation(Open, "get", "/readyz", "Whether the node serves: it has a lease and a committed map"),
        operation(Admin, "get", "/metrics", "Metrics for Prometheus"),
        operation(Admin, "get", "/v1/openapi.json", "This description"),
        operation(Admin, "get", "/v1/status", "The cluster as a whole"),
        operation(Admin, "get", "/v1/nodes", "The nodes"),
        operation(Admin, "get", "/v1/shards", "The shards, with owners and replicas"),
        operation(Admin, "get", "/v1/moves", "The moves of data under way, with progress and time left"),
        operation(Admin, "get", "/v1/endpoints", "The addresses of all nodes"),
        operation(Admin, "get", "/v1/logs", "What guests of this node say, one JSON object a line"),
        operation(Admin, "get", "/v1/workloads", "What is deployed"),
        operation(Admin, "put", "/v1/components/{sha256}", "Upload a component by its digest"),
        operation(Admin, "get", "/v1/components/{sha256}", "Download a component"),
        operation(Admin, "put", "/v1/workloads/{name}", "Deploy a workload on all nodes at once"),
        operation(Admin, "delete", "/v1/workloads/{name}", "Take a workload away, and its state where asked"),
        operation(Admin, "post", "/v1/admin/tokens", "Make a join token"),
        operation(Admin, "post", "/v1/admin/step-down", "Have another node lead"),
        operation(Admin, "post", "/v1/admin/nodes/{id}/add", "Let a pending node in"),
        operation(Admin, "post", "/v1/admin/nodes/{id}/drain", "Move everything off a node"),
        operation(Admin, "post", "/v1/admin/nodes/{id}/remove", "Take a node out of the cluster"),
        operation(Admin, "get", "/v1/admin/weigher", "The weigher, and how it fared"),
        operation(
            Admin,
            "post",
            "/v1/admin/weigher",
            "Set the weigher, and run it: `component` is a digest, or `built_in` is uniform or by-load",
        ),
        operation(Admin, "delete", "/v1/admin/weigher", "Unset the weigher and its weights"),
        operation(
            Admin,
            "post",
            "/v1/admin/weigher/run",
            "Run the weigher now; dry, it writes nothing, and the body may name another",
        ),
        operation(
            Admin,
            "get",
            "/v1/admin/plan",
            "What the leader would move, why, and what it would copy; or if nodes or weights were others",
        ),
        operation(
            Admin,
            "post",
            "/v1/admin/rebalance",
            "Carry out just that `plan`, or level everything now where none is named",
        ),
        operation(Admin, "get", "/v1/admin/settings", "What is set for the whole cluster"),
        operation(Admin, "put", "/v1/admin/settings", "Set some of it: a JSON object of names and values"),
        operation(
            Admin,
            "get",
            "/v1/admin/backup/shards/{shard}",
            "Read the state of a shard as it stands now, while it is served",
        ),
        operation(
            Admin,
            "post",
            "/v1/admin/restore/shards/{shard}",
            "Write rows of a backup into a shard of a cluster without workloads",
        ),
        operation(Admin, "get", "/v1/admin/repair/shards", "The shards that have lost too many replicas"),
        operation(
            Admin,
            "post",
            "/v1/admin/repair/shards",
            "Accept the loss of data, and recover from who is left",
        ),
    ]
};

/// `GET /v1/openapi.json`
pub async fn serve() -> Json<Value> {
    Json(description())
}

/// The description.
pub fn description() -> Value {
    let mut paths = serde_json::Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described(&operation);
    }
    let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    codes.dedup();
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Shardloom", "version": env!("CARGO_PKG_VERSION"), "license": { "name": "Apache-2.0" } },
        "paths": paths,
        "components": {
            "securitySchemes": { "admin": { "type": "http", "scheme": "bearer" } },
            "schemas": {
                "Problem": problem_schema(&codes),
                "NodeState": { "type": "string", "enum": ["live", "silent", "draining", "pending"] },
                "NodeRole": { "type": "string", "enum": ["leader", "voter", "learner"] },
                "MoveState": { "type": "string", "enum": ["learning", "holding", "handing-over"] },
                "MoveReason": { "type": "string", "enum": Reason::NAMES },
                "ShardState": { "type": "string", "enum": ["served", "resharding", "unavailable"] },
            },
        },
    })
}

fn problem_schema(codes: &[&str]) -> Value {
    json!({
        "type": "object",
        "required": ["status", "code", "title", "detail", "executed", "retryable", "epoch"],
        "properties": {
            "status": { "type": "integer" },
            "code": { "type": "string", "enum": codes },
            "title": { "type": "string" },
            "detail": { "type": "string" },
            "executed": { "type": "string", "enum": ["no", "rolled-back", "unknown"] },
            "retryable": { "type": "boolean" },
            "epoch": { "type": "integer" },
        },
    })
}

fn described(operation: &Operation) -> Value {
    let in_path = operation.path.split(['{', '}']).skip(1).step_by(2);
    let mut parameters: Vec<Value> = in_path.map(|name| parameter("path", name, "string")).collect();
    match operation.path {
        "/v1/call/{workload}/{key}" => {
            parameters.push(parameter("query", "method", "string"));
            parameters.push(parameter("header", "shardloom-timeout-ms", "integer"));
        }
        "/v1/admin/restore/shards/{shard}" => {
            parameters.push(parameter("query", "backup", "string"));
            parameters.push(parameter("query", "step", "string"));
        }
        "/v1/logs" => {
            parameters.push(parameter("query", "workload", "string"));
            parameters.push(parameter("query", "tail", "integer"));
            parameters.push(parameter("query", "follow", "boolean"));
        }
        "/v1/admin/plan" => {
            parameters.push(parameter("query", "without", "string"));
            parameters.push(parameter("query", "with_nodes", "integer"));
            parameters.push(parameter("query", "component", "string"));
            parameters.push(parameter("query", "built_in", "string"));
        }
        "/v1/admin/weigher/run" => parameters.push(parameter("query", "dry", "boolean")),
        "/v1/workloads/{name}" if operation.method == "delete" => {
            parameters.push(parameter("query", "delete_state", "boolean"));
        }
        "/v1/admin/nodes/{id}/remove" => parameters.push(parameter("query", "force", "boolean")),
        _ => {}
    }
    let mut described = json!({
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            "2XX": { "description": "Done" },
            "default": {
                "description": "An error",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            },
        },
    });
    if operation.guard == Guard::Admin {
        described["security"] = json!([{ "admin": [] }]);
    }
    described
}

fn parameter(place: &str, name: &str, kind: &str) -> Value {
    json!({ "in": place, "name": name, "required": place == "path", "schema": { "type": kind } })
}
