//! A directory with the source of a workload: what `new` makes and `build` builds.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shardloom_protocol::grant::Grant;
use shardloom_protocol::key_from::KeyFrom;
use shardloom_protocol::workload::{Bodies, HttpSpec, Reuse};

/// The file that says what a directory is.
pub(super) const MANIFEST: &str = "shardloom.toml";

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Project {
    /// The workload's name, and its component's.
    pub(super) name: String,
    /// What it is written in.
    pub(super) language: Language,
    /// What a deploy of it says.
    #[serde(default, skip_serializing_if = "DeployOptions::is_empty")]
    pub(super) deploy: DeployOptions,
}

/// What is said at a deploy beside the component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeployOptions {
    /// Where a request's key is, for a component of wasi:http.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_from: Option<KeyFrom>,
    /// Whether its instances live for more than one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reuse: Option<bool>,
    /// Whether its bodies are passed on as they come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<bool>,
    /// What it may reach.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) grants: Vec<Grant>,
    /// What the guest reads through `wasi:config`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) config: BTreeMap<String, String>,
    /// Where its bounds differ from the defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) limits: BTreeMap<String, u64>,
}

impl DeployOptions {
    fn is_empty(&self) -> bool {
        *self == DeployOptions::default()
    }

    /// These, and over them what is said now.
    pub(super) fn with(mut self, now: DeployOptions) -> DeployOptions {
        self.key_from = now.key_from.or(self.key_from);
        self.reuse = now.reuse.or(self.reuse);
        self.stream = now.stream.or(self.stream);
        self.grants.extend(now.grants);
        self.config.extend(now.config);
        self.limits.extend(now.limits);
        self
    }

    /// The manifest of a deploy, but for its components.
    ///
    /// # Errors
    /// If what is said is for components of wasi:http alone, and this is none.
    pub(super) fn manifest(self) -> anyhow::Result<Map<String, Value>> {
        let mut manifest = Map::new();
        manifest.insert("config".into(), serde_json::to_value(self.config)?);
        manifest.insert("limits".into(), serde_json::to_value(self.limits)?);
        manifest.insert("grants".into(), serde_json::to_value(self.grants)?);
        let reuse = if self.reuse.unwrap_or_default() { Reuse::Always } else { Reuse::Never };
        let bodies = if self.stream.unwrap_or_default() { Bodies::Streamed } else { Bodies::Whole };
        match self.key_from {
            Some(key_from) => {
                manifest.insert("http".into(), serde_json::to_value(HttpSpec { key_from, reuse, bodies })?);
            }
            None if reuse == Reuse::Always => {
                bail!("to reuse instances is for components of wasi:http, with a key_from")
            }
            None if bodies == Bodies::Streamed => {
                bail!("to stream bodies is for components of wasi:http, with a key_from")
            }
            None => {}
        }
        Ok(manifest)
    }
}

/// A language that components are built of here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    /// Rust, by cargo.
    Rust,
    /// JavaScript or TypeScript, by npm.
    #[value(alias = "js", alias = "typescript", alias = "ts")]
    Javascript,
    /// Python, by componentize-py.
    #[value(alias = "py")]
    Python,
    /// C, by zig.
    C,
}

impl Project {
    /// Reads what a directory is.
    ///
    /// # Errors
    /// If it is none of ours, or its file makes no sense.
    pub(super) fn open(directory: &Path) -> anyhow::Result<Project> {
        let path = directory.join(MANIFEST);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "{} is not there: `shardloom new` makes a directory that can be built; in one of your own, put into it\n\
                 name = \"NAME\"\nlanguage = \"rust\"",
                path.display()
            ),
            Err(error) => return Err(error).context(path.display().to_string()),
        };
        let project: Project = toml::from_str(&text).with_context(|| path.display().to_string())?;
        check_name(&project.name).with_context(|| path.display().to_string())?;
        Ok(project)
    }

    /// Where its component goes.
    pub(super) fn component(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.wasm", self.name))
    }
}

/// Checks a name that is to be a workload's, a package's and a file's.
///
/// # Errors
/// If one of them would not take it.
pub(super) fn check_name(name: &str) -> anyhow::Result<()> {
    const NAME_BYTES_MAX: usize = 64;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.len() > NAME_BYTES_MAX
        || !name.starts_with(|c: char| c.is_ascii_lowercase())
        || !name.chars().all(plain)
    {
        bail!(
            "{name:?} is no name for a project: a lower-case letter, then lower-case letters, digits and -, at most {NAME_BYTES_MAX}"
        );
    }
    Ok(())
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Language::Rust => "Rust",
            Language::Javascript => "JavaScript",
            Language::Python => "Python",
            Language::C => "C",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_says_what_it_is_or_is_refused_with_words() {
        let directory = tempfile::tempdir().unwrap();
        let refusal = || format!("{:#}", Project::open(directory.path()).unwrap_err());
        assert!(refusal().contains("shardloom new"));
        let write = |text: &str| std::fs::write(directory.path().join(MANIFEST), text).unwrap();
        write("name = \"a b\"\nlanguage = \"rust\"");
        assert!(refusal().contains("is no name"));
        write("name = \"a\"\nlanguage = \"cobol\"");
        assert!(refusal().contains("cobol"));
        write("name = \"a-1\"\nlanguage = \"python\"");
        let project = Project::open(directory.path()).unwrap();
        let deploy = DeployOptions::default();
        assert_eq!(project, Project { name: "a-1".into(), language: Language::Python, deploy });
        assert_eq!(project.component(Path::new("x")), Path::new("x/a-1.wasm"));
        write("name = \"a\"\nlanguage = \"c\"\n[deploy]\nkey_from = \"body\"");
        assert!(refusal().contains("names no part of a request"));
    }

    #[test]
    fn what_is_said_now_goes_over_what_the_directory_says() {
        let text = "name = \"a\"\nlanguage = \"rust\"\n[deploy]\nkey_from = \"path:1\"\ngrants = [\"http:a\"]\n\
                    [deploy.config]\ncolour = \"blue\"\nsize = \"1\"";
        let project: Project = toml::from_str(text).unwrap();
        let now = DeployOptions {
            reuse: Some(true),
            grants: vec!["http:b".parse().unwrap()],
            config: [("colour".to_owned(), "red".to_owned())].into(),
            ..DeployOptions::default()
        };
        let manifest = Value::from(project.deploy.with(now).manifest().unwrap());
        let expected = serde_json::json!({
            "config": { "colour": "red", "size": "1" },
            "limits": {},
            "grants": ["http:a", "http:b"],
            "http": { "key_from": "path:1", "reuse": "always", "bodies": "whole" },
        });
        assert_eq!(manifest, expected);
        let reused = DeployOptions { reuse: Some(true), ..DeployOptions::default() };
        assert!(reused.manifest().is_err());
        let streamed = DeployOptions { stream: Some(true), ..DeployOptions::default() };
        assert!(streamed.clone().manifest().is_err());
        let keyed = DeployOptions { key_from: Some("path:1".parse().unwrap()), ..streamed };
        assert_eq!(keyed.manifest().unwrap()["http"]["bodies"], "streamed");
    }
}
