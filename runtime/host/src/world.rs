//! The kinds of components that a host runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a component is, by what it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// `shard-handler`: a workload.
    ShardHandler,
    /// `shard-function`: key to shard.
    ShardFunction,
    /// `shard-weigher`: loads to weights.
    ShardWeigher,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            World::ShardHandler => "shard-handler",
            World::ShardFunction => "shard-function",
            World::ShardWeigher => "shard-weigher",
        })
    }
}
