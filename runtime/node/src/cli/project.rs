//! A directory with the source of a workload: what `new` makes and `build` builds.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

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
        assert_eq!(project, Project { name: "a-1".into(), language: Language::Python });
        assert_eq!(project.component(Path::new("x")), Path::new("x/a-1.wasm"));
    }
}
