//! What a new directory holds: a beginning of one's own, the SDK of its language, and the interfaces.
//!
//! All of it is in the binary, so that the SDK is always that of the cluster's own version, and nothing has to be fetched for it.

use super::super::project::{Language, Project};

/// A file of a new directory.
pub(super) struct File {
    /// Its place.
    pub(super) path: String,
    /// What it holds.
    pub(super) text: String,
}

/// A file that is in the binary: its place in the new directory, and what it holds.
type Embedded = (&'static str, &'static str);

const WIT: &[Embedded] = &[
    ("handler.wit", include_str!("../../../../../wit/handler.wit")),
    ("loads.wit", include_str!("../../../../../wit/loads.wit")),
    ("shard-info.wit", include_str!("../../../../../wit/shard-info.wit")),
    ("store.wit", include_str!("../../../../../wit/store.wit")),
    ("world.wit", include_str!("../../../../../wit/world.wit")),
    ("deps/wasi-config/store.wit", include_str!("../../../../../wit/deps/wasi-config/store.wit")),
    (
        "deps/wasi-keyvalue-draft/atomics.wit",
        include_str!("../../../../../wit/deps/wasi-keyvalue-draft/atomics.wit"),
    ),
    (
        "deps/wasi-keyvalue-draft/batch.wit",
        include_str!("../../../../../wit/deps/wasi-keyvalue-draft/batch.wit"),
    ),
    (
        "deps/wasi-keyvalue-draft/store.wit",
        include_str!("../../../../../wit/deps/wasi-keyvalue-draft/store.wit"),
    ),
    (
        "deps/wasi-keyvalue-draft2/atomics.wit",
        include_str!("../../../../../wit/deps/wasi-keyvalue-draft2/atomics.wit"),
    ),
    (
        "deps/wasi-keyvalue-draft2/batch.wit",
        include_str!("../../../../../wit/deps/wasi-keyvalue-draft2/batch.wit"),
    ),
    (
        "deps/wasi-keyvalue-draft2/store.wit",
        include_str!("../../../../../wit/deps/wasi-keyvalue-draft2/store.wit"),
    ),
    ("deps/wasi-logging/logging.wit", include_str!("../../../../../wit/deps/wasi-logging/logging.wit")),
];

const RUST: &[Embedded] = &[
    ("Cargo.toml", include_str!("../../../../../sdk/rust/Cargo.toml")),
    ("README.md", include_str!("../../../../../sdk/rust/README.md")),
    ("src/call.rs", include_str!("../../../../../sdk/rust/src/call.rs")),
    ("src/failure.rs", include_str!("../../../../../sdk/rust/src/failure.rs")),
    ("src/host.rs", include_str!("../../../../../sdk/rust/src/host.rs")),
    ("src/imports.rs", include_str!("../../../../../sdk/rust/src/imports.rs")),
    ("src/lib.rs", include_str!("../../../../../sdk/rust/src/lib.rs")),
    ("src/map.rs", include_str!("../../../../../sdk/rust/src/map.rs")),
    ("src/reply.rs", include_str!("../../../../../sdk/rust/src/reply.rs")),
    ("src/state.rs", include_str!("../../../../../sdk/rust/src/state.rs")),
    ("src/state_error.rs", include_str!("../../../../../sdk/rust/src/state_error.rs")),
    ("src/testing.rs", include_str!("../../../../../sdk/rust/src/testing.rs")),
    ("src/testing/bounds.rs", include_str!("../../../../../sdk/rust/src/testing/bounds.rs")),
    ("src/testing/memory.rs", include_str!("../../../../../sdk/rust/src/testing/memory.rs")),
];

const JAVASCRIPT: &[Embedded] = &[
    ("README.md", include_str!("../../../../../sdk/javascript/README.md")),
    ("bin/componentize.js", include_str!("../../../../../sdk/javascript/bin/componentize.js")),
    ("package.json", include_str!("../../../../../sdk/javascript/package.json")),
    ("src/failure.js", include_str!("../../../../../sdk/javascript/src/failure.js")),
    ("src/index.d.ts", include_str!("../../../../../sdk/javascript/src/index.d.ts")),
    ("src/index.js", include_str!("../../../../../sdk/javascript/src/index.js")),
    ("src/state.js", include_str!("../../../../../sdk/javascript/src/state.js")),
    ("src/utf8.js", include_str!("../../../../../sdk/javascript/src/utf8.js")),
    ("src/world.d.ts", include_str!("../../../../../sdk/javascript/src/world.d.ts")),
    ("testing/hooks.js", include_str!("../../../../../sdk/javascript/testing/hooks.js")),
    ("testing/register.js", include_str!("../../../../../sdk/javascript/testing/register.js")),
    ("testing/world.d.ts", include_str!("../../../../../sdk/javascript/testing/world.d.ts")),
    ("testing/world.js", include_str!("../../../../../sdk/javascript/testing/world.js")),
];

const PYTHON: &[Embedded] = &[
    ("shardloom_componentize.py", include_str!("../../../../../sdk/python/shardloom_componentize.py")),
    ("shardloom_guest/__init__.py", include_str!("../../../../../sdk/python/shardloom_guest/__init__.py")),
    ("shardloom_guest/failure.py", include_str!("../../../../../sdk/python/shardloom_guest/failure.py")),
    ("shardloom_guest/log.py", include_str!("../../../../../sdk/python/shardloom_guest/log.py")),
    ("shardloom_guest/request.py", include_str!("../../../../../sdk/python/shardloom_guest/request.py")),
    ("shardloom_guest/serve.py", include_str!("../../../../../sdk/python/shardloom_guest/serve.py")),
    ("shardloom_guest/state.py", include_str!("../../../../../sdk/python/shardloom_guest/state.py")),
    ("shardloom_guest/where.py", include_str!("../../../../../sdk/python/shardloom_guest/where.py")),
    ("shardloom_testing.py", include_str!("../../../../../sdk/python/shardloom_testing.py")),
];

const C: &[Embedded] = &[("shardloom.h", include_str!("../../../../../sdk/c/shardloom.h"))];

/// Where a project has the SDK, where that is a package of its own.
const SDK: &str = "shardloom-guest";

/// All files of a new project but its manifest.
pub(super) fn files(project: &Project, http: bool) -> Vec<File> {
    let mut files = Files { name: &project.name, files: Vec::new() };
    match project.language {
        Language::Rust if http => {
            files.begin(&[
                ("Cargo.toml.in", include_str!("../../../../../sdk/templates/rust-http/Cargo.toml.in")),
                ("README.md", include_str!("../../../../../sdk/templates/rust-http/README.md")),
            ]);
            files.below("src", &[("lib.rs", include_str!("../../../../../sdk/templates/rust-http/lib.rs"))]);
            files.below("wit", WIT);
        }
        Language::Rust => {
            files.begin(&[
                ("Cargo.toml.in", include_str!("../../../../../sdk/templates/rust/Cargo.toml.in")),
                ("README.md", include_str!("../../../../../sdk/templates/rust/README.md")),
            ]);
            files.below("src", &[("lib.rs", include_str!("../../../../../sdk/templates/rust/lib.rs"))]);
            files.below(SDK, RUST);
            files.below(&format!("{SDK}/wit"), WIT);
        }
        Language::Javascript => {
            let own = &[
                ("README.md", include_str!("../../../../../sdk/templates/javascript/README.md")),
                ("handler.js", include_str!("../../../../../sdk/templates/javascript/handler.js")),
                ("handler.test.js", include_str!("../../../../../sdk/templates/javascript/handler.test.js")),
                ("package.json.in", include_str!("../../../../../sdk/templates/javascript/package.json.in")),
            ];
            files.begin(own);
            files.below(SDK, JAVASCRIPT);
            files.below("wit", WIT);
        }
        Language::Python => {
            files.begin(&[
                ("README.md", include_str!("../../../../../sdk/templates/python/README.md")),
                ("handler.py", include_str!("../../../../../sdk/templates/python/handler.py")),
                ("test_handler.py", include_str!("../../../../../sdk/templates/python/test_handler.py")),
            ]);
            files.below("", PYTHON);
            files.below("wit", WIT);
        }
        Language::C => {
            files.begin(&[
                ("README.md", include_str!("../../../../../sdk/templates/c/README.md")),
                ("handler.c", include_str!("../../../../../sdk/templates/c/handler.c")),
            ]);
            files.below("", C);
            files.below("wit", WIT);
        }
    }
    files.put(".gitignore".into(), "*.wasm\n/target\n/node_modules\n/.venv\n__pycache__\n".into());
    files.files
}

struct Files<'a> {
    name: &'a str,
    files: Vec<File>,
}

impl Files<'_> {
    /// Files at the top. Those that speak of the project have its name put in: READMEs, and what ends in `.in`.
    fn begin(&mut self, embedded: &[Embedded]) {
        for (path, text) in embedded {
            let (path, speaks) = match path.strip_suffix(".in") {
                Some(path) => (path, true),
                None => (*path, *path == "README.md"),
            };
            let text = if speaks { text.replace("{name}", self.name) } else { (*text).to_owned() };
            self.put(path.to_owned(), text);
        }
    }

    /// Files as they are.
    fn below(&mut self, place: &str, embedded: &[Embedded]) {
        for (path, text) in embedded {
            self.put(joined(place, path), (*text).to_owned());
        }
    }

    fn put(&mut self, path: String, text: String) {
        self.files.push(File { path, text });
    }
}

fn joined(place: &str, path: &str) -> String {
    if place.is_empty() { path.to_owned() } else { format!("{place}/{path}") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The files below a directory of the repository, but for what is not handed on.
    fn below(directory: &str, left_out: &[&str]) -> BTreeSet<String> {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(directory);
        let (mut found, mut open) = (BTreeSet::new(), vec![root.clone()]);
        while let Some(at) = open.pop() {
            for entry in std::fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                if left_out.iter().any(|out| name.starts_with(out)) {
                    continue;
                }
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.insert(name);
                }
            }
        }
        found
    }

    fn named(embedded: &[Embedded]) -> BTreeSet<String> {
        embedded.iter().map(|(path, _)| (*path).to_owned()).collect()
    }

    #[test]
    fn what_is_handed_on_is_all_that_there_is() {
        assert_eq!(named(WIT), below("wit", &["README.md"]));
        let own = ["conformance", "target", "Cargo.lock", "wit"];
        assert_eq!(named(RUST), below("sdk/rust", &own));
        for (embedded, sdk, part) in [
            (JAVASCRIPT, "sdk/javascript", "src"),
            (JAVASCRIPT, "sdk/javascript", "testing"),
            (PYTHON, "sdk/python", "shardloom_guest"),
        ] {
            let there = below(&format!("{sdk}/{part}"), &["__pycache__"]);
            let there: BTreeSet<String> = there.into_iter().map(|name| format!("{part}/{name}")).collect();
            let handed_on = named(embedded).into_iter().filter(|name| name.starts_with(part)).collect();
            assert_eq!(there, handed_on);
        }
    }
}
