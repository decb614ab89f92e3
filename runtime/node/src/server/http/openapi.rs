//! `/v1/openapi.json`: the API described for programs.

use serde_json::{Value, json};
use shardloom_cluster::control::{Event, TokenRole};
use shardloom_sharding::plan::Reason;

use super::auth::Guard;
use super::operation::{Operation, Verb};
use super::why::REASONS;
use super::{headers, request_bodies};
use crate::server::problem::Code;

/// The description of these operations.
pub fn description(operations: &[Operation]) -> Value {
    let mut paths = serde_json::Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        for method in operation.verb.methods() {
            path[*method] = described(operation);
        }
    }
    let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    codes.dedup();
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Shardloom", "version": env!("CARGO_PKG_VERSION"), "license": { "name": "Apache-2.0" } },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": {
                "Problem": problem_schema(&codes),
                "NodeState": { "type": "string", "enum": ["live", "silent", "draining", "quarantined", "pending"] },
                "EventType": { "type": "string", "enum": Event::NAMES.iter().chain(&["gap"]).collect::<Vec<_>>() },
                "ShardReason": { "type": "string", "enum": REASONS },
                "AuditOutcome": { "type": "string", "enum": ["done", "refused"] },
                "TokenRole": { "type": "string", "enum": TokenRole::ALL.map(TokenRole::name) },
                "NodeRole": { "type": "string", "enum": ["leader", "voter", "learner"] },
                "MoveState": { "type": "string", "enum": ["learning", "holding", "handing-over"] },
                "MoveReason": { "type": "string", "enum": Reason::NAMES },
                "VersionState": { "type": "string", "enum": ["current", "canary", "kept"] },
                "ShardState": { "type": "string", "enum": ["served", "resharding", "unavailable"] },
                "Canary": canary_schema(),
                "Status": {
                    "type": "object",
                    "required": ["canaries"],
                    "properties": { "canaries": { "type": "array", "items": { "$ref": "#/components/schemas/Canary" } } },
                },
            },
        },
    })
}

/// A version that runs on some shards only, as the status lists it.
fn canary_schema() -> Value {
    json!({
        "type": "object",
        "required": ["workload", "version", "share", "shards", "since"],
        "properties": {
            "workload": { "type": "string" },
            "version": { "type": "integer" },
            "share": { "type": "string", "description": "The share of the shards that was asked for, such as 5%" },
            "shards": { "type": "integer", "description": "How many shards that is" },
            "since": { "type": "integer", "description": "The index of the control log's entry" },
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
            parameters.push(parameter("header", "idempotency-key", "string"));
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
        "/v1/events" => {
            parameters.push(parameter("query", "since", "integer"));
            parameters.push(parameter("query", "follow", "boolean"));
            parameters.push(parameter("header", "last-event-id", "integer"));
        }
        "/v1/shards" => parameters.push(parameter("query", "busiest", "integer")),
        "/v1/audit" => {
            parameters.push(parameter("query", "since", "integer"));
            parameters.push(parameter("query", "tail", "integer"));
        }
        "/v1/admin/weigher/run" => parameters.push(parameter("query", "dry", "boolean")),
        "/v1/workloads/{name}" if operation.verb == Verb::Delete => {
            parameters.push(parameter("query", "delete_state", "boolean"));
        }
        "/v1/workloads/{name}/rollback" => parameters.push(parameter("query", "to", "integer")),
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
    if let Some(body) = request_bodies::of(operation) {
        described["requestBody"] = body;
    }
    if operation.path == "/v1/call/{workload}/{key}" {
        let text = json!({ "schema": { "type": "string" } });
        let names = headers::OF_REPLIES.map(|name| (name.to_owned(), text.clone()));
        described["responses"]["2XX"]["headers"] = Value::Object(names.into_iter().collect());
    }
    if operation.path == "/v1/status" {
        let schema = json!({ "$ref": "#/components/schemas/Status" });
        described["responses"]["2XX"]["content"] = json!({ "application/json": { "schema": schema } });
    }
    if operation.verb == Verb::Any {
        let elsewhere =
            "The workload streams bodies: send the same to the owner of the key's shard, at `location`";
        described["responses"]["307"] = json!({ "description": elsewhere });
    }
    if let Guard::Role(role) = operation.guard {
        described["security"] = json!([{ "token": [role.name()] }]);
    }
    described
}

fn parameter(place: &str, name: &str, kind: &str) -> Value {
    json!({ "in": place, "name": name, "required": place == "path", "schema": { "type": kind } })
}
