//! A plain HTTP client, as callers have.

use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use shardloom::server::view::View;

use crate::guests::guest;
use crate::world::{ADMIN_TOKEN, World};

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }

    /// Checks that it is an error of this status and code, and returns its body.
    pub(crate) fn problem(&self, status: u16, code: &str, executed: &str) -> Value {
        let json = self.json();
        assert_eq!((self.status, json["code"].as_str()), (status, Some(code)), "{json}");
        assert_eq!(json["executed"], executed, "{json}");
        assert_eq!(json["status"], status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        json
    }
}

/// A client of one node.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    agent: ureq::Agent,
}

impl Client {
    pub(crate) fn new(base: String) -> Client {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Client { base, agent: config.into() }
    }

    /// Sends any request, with these headers.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (agent, request) = (self.agent.clone(), request.body(body.to_vec()).unwrap());
        tokio::task::spawn_blocking(move || {
            let response = agent.configure_request(request).allow_non_standard_methods(true).build();
            let response = agent.run(response).expect("the node answers");
            let (head, mut body) = response.into_parts();
            let body = body.with_config().limit(64 << 20).read_to_vec().expect("the node's whole answer");
            Reply { status: head.status.as_u16(), headers: head.headers, body }
        })
        .await
        .unwrap()
    }

    /// Sends a request as an administrator.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let token = format!("Bearer {ADMIN_TOKEN}");
        self.send(method, path, &[("authorization", &token)], body).await
    }

    pub(crate) async fn call(&self, workload: &str, key: &str, method: &str, body: &[u8]) -> Reply {
        self.call_with(workload, key, method, &[], body).await
    }

    pub(crate) async fn call_with(
        &self,
        workload: &str,
        key: &str,
        method: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        self.send("POST", &format!("/v1/call/{workload}/{key}?method={method}"), headers, body).await
    }

    /// Uploads bytes and returns their digest.
    pub(crate) async fn upload(&self, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        let reply = self.admin("PUT", &format!("/v1/components/{digest}"), bytes).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        digest
    }

    /// Uploads a guest and deploys it under its own name.
    pub(crate) async fn deploy(&self, name: &str) {
        self.deploy_within(name, &serde_json::json!({})).await;
    }

    /// As [`Client::deploy`], with limits of its own.
    pub(crate) async fn deploy_within(&self, name: &str, limits: &serde_json::Value) {
        let digest = self.upload(&guest(name)).await;
        let manifest = serde_json::json!({ "component": digest, "limits": limits }).to_string();
        let reply = self.admin("PUT", &format!("/v1/workloads/{name}"), manifest.as_bytes()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A key whose shard the node with this number owns.
pub(crate) fn key_of(world: &World, node: usize) -> String {
    let view: std::sync::Arc<View> = world.view(node);
    (0..)
        .map(|number| format!("key-{number}"))
        .find(|key| {
            let shard = shardloom_sharding::key::shard_of_str(key, view.shard_count());
            view.map.owner(shard) == Some(view.this_node)
        })
        .unwrap()
}
