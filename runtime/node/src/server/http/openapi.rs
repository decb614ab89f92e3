//! `/v1/openapi.json`: the API described for programs.

use serde_json::{Value, json};
use shardloom_cluster::control::{Event, TokenRole};

use super::auth::Guard;
use super::operation::{Operation, Verb};
use super::why::REASONS;
use crate::server::problem::Code;

/// The description of these operations.
pub fn description(operations: &[Operation]) -> Value {
    let mut paths = serde_json::Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.verb.name()] = described(operation);
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
                "NodeState": { "type": "string", "enum": ["live", "silent", "draining", "pending"] },
                "EventType": { "type": "string", "enum": Event::NAMES.iter().chain(&["gap"]).collect::<Vec<_>>() },
                "ShardReason": { "type": "string", "enum": REASONS },
                "AuditOutcome": { "type": "string", "enum": ["done", "refused"] },
                "TokenRole": { "type": "string", "enum": TokenRole::ALL.map(TokenRole::name) },
                "NodeRole": { "type": "string", "enum": ["leader", "voter", "learner"] },
                "MoveState": { "type": "string", "enum": ["learning", "holding", "handing-over"] },
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
    if let Guard::Role(role) = operation.guard {
        described["security"] = json!([{ "token": [role.name()] }]);
    }
    described
}

fn parameter(place: &str, name: &str, kind: &str) -> Value {
    json!({ "in": place, "name": name, "required": place == "path", "schema": { "type": kind } })
}
