//! What the API's description says of request bodies.

use serde_json::{Value, json};

use super::operation::{Operation, Verb};

/// The request body of an operation, as OpenAPI describes it; none where there is none.
pub(super) fn of(operation: &Operation) -> Option<Value> {
    let text = || json!({ "type": "string" });
    let digest = || json!({ "type": "string", "description": "The sha256 of a component that was uploaded" });
    match (operation.verb, operation.path) {
        (Verb::Post, "/v1/call/{workload}/{key}") => Some(bytes("application/octet-stream", false)),
        (Verb::Put, "/v1/components/{sha256}") => Some(bytes("application/wasm", true)),
        (Verb::Put, "/v1/workloads/{name}") => Some(object(
            &json!({
                "component": digest(),
                "shard_function": digest(),
                "config": { "type": "object", "additionalProperties": text() },
                "limits": { "type": "object", "additionalProperties": { "type": "integer" } },
                "http": {
                    "type": "object",
                    "description": "For a component of wasi:http",
                    "required": ["key_from"],
                    "properties": { "key_from": text(), "reuse": text(), "bodies": text() },
                },
                "canary": { "type": "string", "description": "On which share of the shards alone, such as 5%" },
                "grants": { "type": "array", "items": text() },
                "require_labels": {
                    "type": "object",
                    "description": "Nodes without these labels own no shards",
                    "additionalProperties": text(),
                },
            }),
            &["component"],
        )),
        (Verb::Post, "/v1/admin/weigher" | "/v1/admin/weigher/run") => {
            Some(object(&json!({ "component": digest(), "built_in": text() }), &[]))
        }
        (Verb::Post, "/v1/admin/tokens") => {
            Some(object(&json!({ "expires_in_s": { "type": "integer" } }), &[]))
        }
        (Verb::Post, "/v1/admin/access") => {
            let role = json!({ "$ref": "#/components/schemas/TokenRole" });
            Some(object(&json!({ "name": text(), "role": role }), &["name", "role"]))
        }
        (Verb::Post, "/v1/admin/nodes/{id}/quarantine") => Some(object(&json!({ "reason": text() }), &[])),
        (Verb::Post, "/v1/admin/rebalance") => Some(object(&json!({ "plan": text() }), &[])),
        (Verb::Put, "/v1/admin/settings") => Some(json!({
            "required": true,
            "content": { "application/json": { "schema": { "type": "object", "additionalProperties": {} } } },
        })),
        _ => None,
    }
}

fn bytes(kind: &str, required: bool) -> Value {
    json!({ "required": required, "content": { kind: { "schema": { "type": "string", "format": "binary" } } } })
}

/// A JSON object; it may be left out where nothing in it is required.
fn object(properties: &Value, required: &[&str]) -> Value {
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    json!({ "required": !required.is_empty(), "content": { "application/json": { "schema": schema } } })
}
