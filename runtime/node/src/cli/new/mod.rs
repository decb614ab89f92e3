//! `shardloom new`: a directory that can be built, tested and deployed as it is.

mod embedded;
mod files;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use shardloom_protocol::key_from::KeyFrom;

use self::files::{File, files};
use super::Global;
use super::project::{DeployOptions, Language, MANIFEST, Project, check_name};

/// Make a directory with a workload that works, to begin with.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom new greeter --lang rust
  shardloom new site --lang js --http")]
pub(super) struct New {
    /// The workload's name; the directory is called so, too.
    name: String,
    /// What it is written in.
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,
    /// A component of wasi:http instead of a shard handler.
    #[arg(long)]
    http: bool,
}

impl New {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        check_name(&self.name)?;
        let directory = PathBuf::from(&self.name);
        if directory.exists() {
            bail!("{} is there already; nothing was written", directory.display());
        }
        let key_from = self.http.then_some(KeyFrom::Path(1));
        let deploy = DeployOptions { key_from, ..DeployOptions::default() };
        let project = Project { name: self.name.clone(), language: self.lang, deploy };
        // Whole or not at all: beside its place first.
        let begun =
            tempfile::Builder::new().prefix(".shardloom-new-").tempdir_in(".").context("this directory")?;
        write(begun.path(), &project, self.http)?;
        fs::set_permissions(begun.path(), fs::Permissions::from_mode(0o755)).context("its permissions")?;
        fs::rename(begun.path(), &directory).with_context(|| directory.display().to_string())?;
        let reply = json!({ "directory": self.name, "language": self.lang, "http": self.http });
        global.output().print(&reply, |_| {
            Ok(format!(
                "{0} is there: a workload in {1}. Next:\n  shardloom build {0}\n  shardloom deploy {0}\n\
                 {0}/README.md says more.\n",
                self.name, self.lang
            ))
        })
    }
}

fn write(directory: &Path, project: &Project, http: bool) -> anyhow::Result<()> {
    for File { path, text } in files(project, http) {
        put(&directory.join(path), &text)?;
    }
    let manifest =
        format!("# What `shardloom build` makes of this directory.\n{}", toml::to_string(project)?);
    put(&directory.join(MANIFEST), &manifest)
}

fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    let within = || path.display().to_string();
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(within)?;
    }
    fs::write(path, text).with_context(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_a_project_whose_files_are_there_once() {
        for language in [Language::Rust, Language::Javascript, Language::Python, Language::C] {
            for http in [false, true] {
                let directory = tempfile::tempdir().unwrap();
                let project = Project { name: "greeter".into(), language, deploy: DeployOptions::default() };
                write(directory.path(), &project, http).unwrap();
                assert_eq!(Project::open(directory.path()).unwrap(), project);
                let mut paths: Vec<String> =
                    files(&project, http).into_iter().map(|file| file.path).collect();
                let count = paths.len();
                paths.sort();
                paths.dedup();
                assert_eq!(paths.len(), count, "{language}");
                let readme = fs::read_to_string(directory.path().join("README.md")).unwrap();
                assert!(readme.contains("greeter") && !readme.contains("{name}"), "{readme}");
            }
        }
    }
}
