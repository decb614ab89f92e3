//! `shardloom dev --watch`: builds and deploys a directory, and does so again whenever its source changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::build::build;
use super::client::Client;
use super::deploy::{deploy, told};
use super::project::Project;

/// Directories that hold what tools make, and files that building changes.
const LEFT_OUT: [&str; 6] =
    ["target", "node_modules", "venv", "__pycache__", "Cargo.lock", "package-lock.json"];

/// A directory that is watched.
pub(super) struct Watch {
    directory: PathBuf,
    /// The source as it was last built.
    built: Option<Source>,
}

/// What tells one state of the source from another.
#[derive(Debug, Default, PartialEq, Eq)]
struct Source {
    files: u64,
    bytes: u64,
    newest: Option<SystemTime>,
}

impl Watch {
    /// Watches a directory that `shardloom new` made, or one like it.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn new(directory: PathBuf) -> anyhow::Result<Watch> {
        Project::open(&directory)?;
        Ok(Watch { directory, built: None })
    }

    /// Builds and deploys the source if it is another than last time, and prints how that went. What does not build or is not taken
    /// leaves the version before in its place.
    pub(super) fn look(&mut self, client: &Client) {
        let now = source(&self.directory);
        if self.built.as_ref() == Some(&now) {
            return;
        }
        self.built = Some(now);
        match self.bring(client) {
            Ok(words) => println!("{words}"),
            Err(error) => eprintln!("{}: {error:#}", self.directory.display()),
        }
    }

    fn bring(&self, client: &Client) -> anyhow::Result<String> {
        let project = Project::open(&self.directory)?;
        let component = build(&self.directory, &project)?;
        told(&deploy(client, &project.name, &component, project.deploy.manifest()?)?)
    }
}

/// The source as it is now. Files that come and go meanwhile are seen the next time.
fn source(directory: &Path) -> Source {
    let mut found = Source::default();
    let mut open = vec![directory.to_owned()];
    while let Some(at) = open.pop() {
        let Ok(entries) = fs::read_dir(at) else { continue };
        for entry in entries.flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            if name.starts_with('.') || name.ends_with(".wasm") || LEFT_OUT.contains(&&*name) {
                continue;
            }
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                open.push(path);
                continue;
            }
            found.files += 1;
            found.bytes += about.len();
            found.newest = found.newest.max(about.modified().ok());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_source_is_seen_and_one_of_what_is_built_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("src/lib.rs", "one");
        let before = source(directory.path());
        write("target/release/out", "built");
        write("greeter.wasm", "built");
        write(".git/index", "other");
        assert_eq!(source(directory.path()), before);
        write("src/lib.rs", "other");
        let changed = source(directory.path());
        assert_ne!(changed, before);
        write("src/more.rs", "");
        assert_ne!(source(directory.path()), changed);
    }
}
