//! What a handler gets from the host that runs it, whichever that is: a node of a cluster, or a test.

use serde::{Deserialize, Serialize};

use crate::state_error::StateError;

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Where and as what a handler runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Place {
    /// The shard whose requests come here, `0..shard_count`.
    pub shard: u32,
    /// How many shards the cluster has; fixed when it was created.
    pub shard_count: u32,
    /// The epoch under which the node owns the shard; it may rise between two calls.
    pub epoch: u64,
    /// The node: 16 hexadecimal digits.
    pub node: String,
    /// The name under which the component is deployed.
    pub workload: String,
    /// The version of that workload, counted up by each deploy.
    pub version: u64,
}

impl Default for Place {
    /// The place of a test: the only shard of the only node, owned since epoch 1.
    fn default() -> Place {
        Place {
            shard: 0,
            shard_count: 1,
            epoch: 1,
            node: "0000000000000001".to_owned(),
            workload: "test".to_owned(),
            version: 1,
        }
    }
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Values and the flow of control.
    Trace,
    /// For whoever debugs the handler.
    Debug,
    /// For whoever watches it.
    Info,
    /// A hazard.
    Warn,
    /// A serious error.
    Error,
    /// A fatal error.
    Critical,
}

/// The host's side of a call: a cluster's node through the component's imports, or a test's memory.
pub(crate) trait Host {
    /// Reads a value.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Writes a value, or refuses to and leaves all as it was.
    fn set(&self, key: &[u8], value: &[u8]) -> Result<(), StateError>;

    /// Removes a key and its value, or refuses to and leaves all as it was.
    fn delete(&self, key: &[u8]) -> Result<(), StateError>;

    /// Reads one page of rows, in order.
    fn scan(&self, start: &[u8], end: Option<&[u8]>, rows_max: u32) -> Vec<Row>;

    /// Tells where the handler runs.
    fn place(&self) -> Place;

    /// Reads a setting.
    fn config(&self, key: &str) -> Option<String>;

    /// Writes a line to the log.
    fn log(&self, level: Level, context: &str, message: &str);
}
