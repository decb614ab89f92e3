//! What a new directory holds: a beginning of one's own, the SDK of its language, and the interfaces.
//!
//! All of it is in the binary, so that the SDK is always that of the cluster's own version, and nothing has to be fetched for it.

use super::super::project::{Language, Project};
use super::embedded::{
    C, C_BEGUN, C_HTTP_BEGUN, Embedded, JAVASCRIPT, JAVASCRIPT_BEGUN, JAVASCRIPT_HTTP_BEGUN, PYTHON,
    PYTHON_BEGUN, PYTHON_HTTP_BEGUN, RUST, RUST_BEGUN, RUST_HTTP_BEGUN, WIT,
};

/// A file of a new directory.
pub(super) struct File {
    /// Its place.
    pub(super) path: String,
    /// What it holds.
    pub(super) text: String,
}

/// Where a project has the SDK, where that is a package of its own.
const SDK: &str = "shardloom-guest";

/// All files of a new project but its manifest.
pub(super) fn files(project: &Project, http: bool) -> Vec<File> {
    let mut files = Files { name: &project.name, files: Vec::new() };
    files.begin(begun(project.language, http));
    match project.language {
        Language::Rust if http => {
            files.below("src", &[("lib.rs", include_str!("../../../../../sdk/templates/rust-http/lib.rs"))]);
            files.below("wit", WIT);
        }
        Language::Rust => {
            files.below("src", &[("lib.rs", include_str!("../../../../../sdk/templates/rust/lib.rs"))]);
            files.below(SDK, RUST);
            files.below(&format!("{SDK}/wit"), WIT);
        }
        Language::Javascript => {
            files.below(SDK, JAVASCRIPT);
            files.below("wit", WIT);
        }
        Language::Python => {
            files.below("", PYTHON);
            files.below("wit", WIT);
        }
        Language::C => {
            files.below("", C);
            files.below("wit", WIT);
        }
    }
    files.put(".gitignore".into(), "*.wasm\n/target\n/node_modules\n/.venv\n__pycache__\n".into());
    files.files
}

/// What is the project's own from its beginning.
fn begun(language: Language, http: bool) -> &'static [Embedded] {
    match (language, http) {
        (Language::Rust, false) => RUST_BEGUN,
        (Language::Rust, true) => RUST_HTTP_BEGUN,
        (Language::Javascript, false) => JAVASCRIPT_BEGUN,
        (Language::Javascript, true) => JAVASCRIPT_HTTP_BEGUN,
        (Language::Python, false) => PYTHON_BEGUN,
        (Language::Python, true) => PYTHON_HTTP_BEGUN,
        (Language::C, false) => C_BEGUN,
        (Language::C, true) => C_HTTP_BEGUN,
    }
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
            (PYTHON, "sdk/python", "shardloom_http"),
        ] {
            let there = below(&format!("{sdk}/{part}"), &["__pycache__"]);
            let there: BTreeSet<String> = there.into_iter().map(|name| format!("{part}/{name}")).collect();
            let handed_on = named(embedded).into_iter().filter(|name| name.starts_with(part)).collect();
            assert_eq!(there, handed_on);
        }
    }
}
