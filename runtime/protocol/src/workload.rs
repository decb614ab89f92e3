//! What a deployed workload is, as the control log keeps it and as nodes tell each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::grant::Grant;
use crate::key_from::KeyFrom;

/// What one version of a workload consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadSpec {
    /// The component that handles the calls.
    pub component: Digest,
    /// The component that picks the shard of a key; the built-in function does where there is none.
    pub shard_function: Option<Digest>,
    /// What the guest reads through `wasi:config`.
    pub config: BTreeMap<String, String>,
    /// Where this workload's bounds differ from the defaults.
    pub limits: WorkloadLimits,
    /// How HTTP requests reach it; none for a handler of calls.
    pub http: Option<HttpSpec>,
    /// What it may reach beyond its own state.
    pub grants: Vec<Grant>,
}

/// How HTTP requests reach a component of wasi:http.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSpec {
    /// Where a request's key is.
    pub key_from: KeyFrom,
    /// How long an instance lives.
    #[serde(default)]
    pub reuse: Reuse,
    /// Whether bodies are held whole.
    #[serde(default)]
    pub bodies: Bodies,
}

/// How the bodies of requests and responses pass through a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bodies {
    /// Each is held until it is whole, within bounds: a response leaves when everything is done.
    #[default]
    Whole,
    /// As they come. The head of a response ends the transaction.
    Streamed,
}

/// How long an instance of a component of wasi:http lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reuse {
    /// One request: nothing that one caller leaves is there for the next.
    #[default]
    Never,
    /// As long as it fares well, as a handler of calls.
    Always,
}

/// Bounds that a manifest may set for one workload; what is left out has the host's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkloadLimits {
    /// How long one call may compute, in milliseconds of the guest's own running time.
    pub deadline_ms: Option<u32>,
    /// Linear memory of one instance, in bytes.
    pub memory_bytes: Option<u64>,
    /// Elements of all tables of one instance.
    pub table_elements: Option<u32>,
    /// The body of one reply, in bytes.
    pub reply_bytes: Option<u64>,
    /// What one instance may log, in bytes per second.
    pub log_bytes_per_s: Option<u32>,
    /// A key of the workload's state, in bytes.
    pub key_bytes: Option<u32>,
    /// A value of the workload's state, in bytes.
    pub value_bytes: Option<u32>,
    /// Keys that one call may change.
    pub changes: Option<u32>,
    /// What one call may change altogether, keys and values, in bytes.
    pub batch_bytes: Option<u64>,
    /// What the workload may keep on one shard, keys and values, in bytes.
    pub state_bytes: Option<u64>,
}
