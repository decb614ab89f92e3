//! Which crate may name which: each heavy library in one place, and dependencies that point one way.

use toml::Table;

use crate::Tree;

/// Each heavy library, and the one crate that may name it.
const HOMES: [(&str, &str); 10] = [
    ("quinn", "runtime/transport"),
    ("quinn-proto", "runtime/transport"),
    ("rustls", "runtime/transport"),
    ("tokio-rustls", "runtime/transport"),
    ("rcgen", "runtime/transport"),
    ("wasmtime", "runtime/host"),
    ("openraft", "runtime/cluster"),
    ("chitchat", "runtime/cluster"),
    ("sled", "runtime/store"),
    ("axum", "runtime/node"),
];

/// The crates of the runtime, and for each the others that it may name.
const MAY_NAME: [(&str, &[&str]); 7] = [
    ("runtime/sharding", &[]),
    ("runtime/protocol", &["sharding"]),
    ("runtime/store", &["sharding", "protocol"]),
    ("runtime/transport", &["sharding", "protocol"]),
    ("runtime/host", &["sharding", "protocol"]),
    ("runtime/cluster", &["sharding", "protocol", "store", "transport", "host"]),
    ("runtime/node", &["sharding", "protocol", "store", "transport", "host", "cluster"]),
];

/// Heavy libraries named outside their home.
pub fn strays(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for (folder, text) in tree.manifests() {
        for name in dependencies(text) {
            let home = HOMES.iter().find(|(library, _)| is_of(&name, library));
            if let Some((library, home)) = home.filter(|(_, home)| *home != folder) {
                wrong.push(format!("{folder}/Cargo.toml names {name}: {library} belongs to {home} alone"));
            }
        }
    }
    wrong
}

/// Dependencies within the runtime that point the wrong way.
pub fn reversals(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for (folder, text) in tree.manifests() {
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == folder) else {
            if folder.starts_with("runtime/") && folder.matches('/').count() == 1 {
                wrong.push(format!("{folder} is not in the table of layers: give it a place"));
            }
            continue;
        };
        for name in dependencies(text) {
            if let Some(part) = name.strip_prefix("shardloom-").filter(|part| !allowed.contains(part)) {
                wrong.push(format!("{folder} must not depend on {part}: dependencies point one way"));
            }
        }
    }
    wrong
}

/// A library or one of its companions: `wasmtime` and `wasmtime-wasi`.
fn is_of(name: &str, library: &str) -> bool {
    name == library || (library == "wasmtime" && name.starts_with("wasmtime-"))
}

/// Every name in every dependency section of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let Ok(manifest) = manifest.parse::<Table>() else { return Vec::new() };
    let mut found = Vec::new();
    let mut collect = |table: &Table| {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            if let Some(section) = table.get(section).and_then(|section| section.as_table()) {
                let name = |(key, value): (&String, &toml::Value)| {
                    value.get("package").and_then(|name| name.as_str()).unwrap_or(key).to_owned()
                };
                found.extend(section.iter().map(name));
            }
        }
    };
    collect(&manifest);
    let targets = manifest.get("target").and_then(|targets| targets.as_table());
    for target in targets.into_iter().flat_map(|targets| targets.values()).filter_map(|one| one.as_table()) {
        collect(target);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(check: fn(&Tree) -> Vec<String>, folder: &str, text: &str) -> usize {
        check(&Tree::of(&[(&format!("{folder}/Cargo.toml"), text)])).len()
    }

    #[test]
    fn a_heavy_library_elsewhere_is_found() {
        assert_eq!(wrong(strays, "runtime/transport", "[dependencies]\nquinn = '1'"), 0);
        assert_eq!(wrong(strays, "runtime/node", "[dependencies]\nquinn = '1'"), 1);
        assert_eq!(wrong(strays, "tests/x", "[dev-dependencies]\nwasmtime-wasi = '1'"), 1);
        assert_eq!(wrong(strays, "tests/x", "[dependencies]\ndb = { package = 'sled' }"), 1);
        assert_eq!(
            wrong(strays, "tests/x", "[target.'cfg(unix)'.dependencies]\nopenraft.workspace = true"),
            1
        );
    }

    #[test]
    fn a_dependency_that_points_back_is_found() {
        assert_eq!(wrong(reversals, "runtime/cluster", "[dependencies]\nshardloom-store = '1'"), 0);
        assert_eq!(wrong(reversals, "runtime/store", "[dependencies]\nshardloom-cluster = '1'"), 1);
        assert_eq!(wrong(reversals, "runtime/sharding", "[dependencies]\nshardloom-protocol = '1'"), 1);
        assert_eq!(wrong(reversals, "runtime/extra", ""), 1);
    }
}
