//! The kinds of components that a host runs, and what each may import.

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

/// Imports that a handler is always granted. Own interfaces match within 0.1.x, which only ever adds.
const HANDLER_GRANTS: [&str; 10] = [
    "shardloom:shard/store@0.1.",
    "shardloom:shard/shard-info@0.1.",
    "wasi:logging/logging@0.1.0-draft",
    "wasi:config/store@0.2.0-rc.1",
    "wasi:keyvalue/store@0.2.0-draft",
    "wasi:keyvalue/atomics@0.2.0-draft",
    "wasi:keyvalue/batch@0.2.0-draft",
    "wasi:keyvalue/store@0.2.0-draft2",
    "wasi:keyvalue/atomics@0.2.0-draft2",
    "wasi:keyvalue/batch@0.2.0-draft2",
];

/// Types only: nothing in it can be called.
const WEIGHER_GRANTS: [&str; 1] = ["shardloom:shard/loads@0.1."];

impl World {
    /// The world that an export speaks for.
    pub(crate) fn of_export(name: &str) -> Option<World> {
        match name {
            "shard-of" => Some(World::ShardFunction),
            "weigh" => Some(World::ShardWeigher),
            _ if name.starts_with("shardloom:shard/handler@0.1.") => Some(World::ShardHandler),
            _ => None,
        }
    }

    /// What it may import; a name that ends in a dot stands for all that begin with it.
    pub(crate) fn grants(self) -> &'static [&'static str] {
        match self {
            World::ShardHandler => &HANDLER_GRANTS,
            World::ShardFunction => &[],
            World::ShardWeigher => &WEIGHER_GRANTS,
        }
    }

    pub(crate) fn is_granted(self, import: &str) -> bool {
        self.grants().iter().any(|grant| match grant.strip_suffix('.') {
            Some(_) => import.starts_with(grant),
            None => import == *grant,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_interfaces_match_within_the_minor_version_and_drafts_exactly() {
        assert!(World::ShardHandler.is_granted("shardloom:shard/shard-info@0.1.0"));
        assert!(World::ShardHandler.is_granted("shardloom:shard/shard-info@0.1.7"));
        assert!(!World::ShardHandler.is_granted("shardloom:shard/shard-info@0.2.0"));
        assert!(World::ShardHandler.is_granted("wasi:config/store@0.2.0-rc.1"));
        assert!(!World::ShardHandler.is_granted("wasi:config/store@0.2.0-rc.10"));
        assert!(World::ShardHandler.is_granted("wasi:keyvalue/store@0.2.0-draft2"));
        assert!(!World::ShardHandler.is_granted("wasi:keyvalue/store@0.2.0-draft3"));
        assert!(!World::ShardFunction.is_granted("wasi:logging/logging@0.1.0-draft"));
    }
}
