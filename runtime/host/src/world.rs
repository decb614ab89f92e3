//! The kinds of components that a host runs, and what each may import.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a component is, by what it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// `shard-handler`: a workload.
    ShardHandler,
    /// A component of wasi:http, 0.2 or 0.3: a workload too.
    HttpHandler,
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

/// Imports that every workload is granted besides: compilers for many languages import WASI whatever the program does. Behind
/// files, sockets and the environment there is nothing.
const WASI_GRANTS: [&str; 11] = [
    "wasi:cli/*@0.2.",
    "wasi:clocks/*@0.2.",
    "wasi:filesystem/*@0.2.",
    "wasi:io/*@0.2.",
    "wasi:random/*@0.2.",
    "wasi:sockets/*@0.2.",
    "wasi:cli/*@0.3.",
    "wasi:clocks/*@0.3.",
    "wasi:filesystem/*@0.3.",
    "wasi:random/*@0.3.",
    "wasi:sockets/*@0.3.",
];

/// What makes a component one of wasi:http.
const HTTP_GRANTS: [&str; 4] = [
    "wasi:http/types@0.2.",
    "wasi:http/outgoing-handler@0.2.",
    "wasi:http/types@0.3.",
    "wasi:http/client@0.3.",
];

/// Imports that a component can send requests by: it needs a grant for that when it is deployed.
const OUTGOING_HTTP: [&str; 2] = ["wasi:http/outgoing-handler@0.2.", "wasi:http/client@0.3."];

/// Types only: nothing in it can be called.
const WEIGHER_GRANTS: [&str; 1] = ["shardloom:shard/loads@0.1."];

impl World {
    /// The world that an export speaks for.
    pub(crate) fn of_export(name: &str) -> Option<World> {
        match name {
            "shard-of" => Some(World::ShardFunction),
            "weigh" => Some(World::ShardWeigher),
            _ if name.starts_with("wasi:http/incoming-handler@0.2.")
                || name.starts_with("wasi:http/handler@0.3.") =>
            {
                Some(World::HttpHandler)
            }
            _ if name.starts_with("shardloom:shard/handler@0.1.") => Some(World::ShardHandler),
            _ => None,
        }
    }

    /// What it may import: a version that ends in a dot stands for all that begin with it, and `*` for each interface.
    pub(crate) fn grants(self) -> impl Iterator<Item = &'static str> {
        let sets: &[&[&str]] = match self {
            World::ShardHandler => &[&HANDLER_GRANTS, &WASI_GRANTS],
            World::HttpHandler => &[&HANDLER_GRANTS, &WASI_GRANTS, &HTTP_GRANTS],
            World::ShardFunction => &[],
            World::ShardWeigher => &[&WEIGHER_GRANTS],
        };
        sets.iter().copied().flatten().copied()
    }

    pub(crate) fn is_granted(self, import: &str) -> bool {
        self.grants().any(|grant| stands_for(grant, import))
    }
}

/// The import by which a component can send HTTP requests, if it has one.
pub fn outgoing_http(imports: &[String]) -> Option<&String> {
    imports.iter().find(|import| OUTGOING_HTTP.iter().any(|name| stands_for(name, import)))
}

fn stands_for(grant: &str, import: &str) -> bool {
    let (Some((name, version)), Some((imported, of))) = (grant.split_once('@'), import.split_once('@'))
    else {
        return false;
    };
    let named = match name.strip_suffix('*') {
        Some(package) => imported.starts_with(package),
        None => imported == name,
    };
    let versioned = if version.ends_with('.') { of.starts_with(version) } else { of == version };
    named && versioned
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            World::ShardHandler => "shard-handler",
            World::HttpHandler => "http-handler",
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

    #[test]
    fn every_workload_may_import_wasi_and_one_of_wasi_http_sends_requests_by_two_names() {
        for import in ["wasi:cli/environment@0.2.3", "wasi:io/poll@0.2.0", "wasi:clocks/types@0.3.0"] {
            assert!(World::HttpHandler.is_granted(import), "{import}");
            assert!(World::ShardHandler.is_granted(import), "{import}");
            assert!(!World::ShardFunction.is_granted(import), "{import}");
            assert!(!World::ShardWeigher.is_granted(import), "{import}");
        }
        for import in ["wasi:http/types@0.2.3", "wasi:http/client@0.3.0"] {
            assert!(World::HttpHandler.is_granted(import), "{import}");
            assert!(!World::ShardHandler.is_granted(import), "{import}");
        }
        for import in ["wasi:nn/graph@0.2.0", "wasi:http/handler@0.3.0", "wasi:cli/run@0.4.0", "env"] {
            assert!(!World::HttpHandler.is_granted(import), "{import}");
        }
        let imports = ["wasi:http/types@0.2.3".to_owned(), "wasi:http/outgoing-handler@0.2.3".to_owned()];
        assert_eq!(outgoing_http(&imports), Some(&imports[1]));
        assert_eq!(outgoing_http(&imports[..1]), None);
    }
}
