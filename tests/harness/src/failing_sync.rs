//! A node whose fdatasync fails when it is told to: a small library, compiled here and preloaded into the node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::tool::run;

/// The library's source.
const SOURCE: &str = include_str!("failing_sync.c");

/// The library, and the file that makes it fail.
#[derive(Debug)]
pub struct FailingSync {
    library: PathBuf,
    trigger: PathBuf,
}

impl FailingSync {
    /// Compiles the library into a directory.
    ///
    /// # Errors
    /// If the machine has no C compiler.
    pub fn compile(directory: &Path) -> Result<Self> {
        let made =
            Self { library: directory.join("failing-sync.so"), trigger: directory.join("fsync-fails") };
        let source = directory.join("failing-sync.c");
        fs::write(&source, SOURCE).context("the source of the library")?;
        let (source, library) = (source.to_string_lossy(), made.library.to_string_lossy());
        run("cc", &["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", &library, &source])?;
        Ok(made)
    }

    /// The library that was compiled into a directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self { library: directory.join("failing-sync.so"), trigger: directory.join("fsync-fails") }
    }

    /// The variables of a process that it is preloaded into.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        vec![
            ("LD_PRELOAD".to_owned(), text(&self.library)),
            ("FSYNC_FAILS_IF".to_owned(), text(&self.trigger)),
        ]
    }

    /// From now on, every fdatasync of the process fails.
    ///
    /// # Errors
    /// If the file that says so cannot be made.
    pub fn fail(&self) -> Result<()> {
        fs::write(&self.trigger, "").context("the trigger")
    }

    /// From now on, none fails.
    ///
    /// # Errors
    /// If the file that says otherwise cannot be removed.
    pub fn mend(&self) -> Result<()> {
        fs::remove_file(&self.trigger).context("the trigger")
    }
}
