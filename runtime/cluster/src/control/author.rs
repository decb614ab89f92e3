//! Who has a command written.

use std::fmt;

use serde::{Deserialize, Serialize};
use shardloom_sharding::ids::NodeId;

/// Whose doing an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Author {
    /// The holder of the token of this name.
    Token(String),
    /// A node, unasked.
    Node(NodeId),
}

impl fmt::Display for Author {
    /// The name of a token has no space in it, so it is never taken for a node.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Author::Token(name) => f.write_str(name),
            Author::Node(node) => write!(f, "node {node}"),
        }
    }
}
