//! What comes of the build of a guest whose language's tools this machine may lack.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What came of a build.
pub(crate) enum Made {
    /// The component is where it should be.
    Component,
    /// The language's tools are not here; what is missing, and what installs it.
    Missing(String),
}

/// Whether a component is newer than all that it is made of.
pub(crate) fn is_newer(component: &Path, sources: &[PathBuf]) -> bool {
    let newest = sources.iter().filter_map(|source| newest(source)).max();
    let made = fs::metadata(component).and_then(|made| made.modified()).ok();
    made.is_some() && made > newest
}

/// When anything below a path was last changed.
fn newest(path: &Path) -> Option<SystemTime> {
    let Ok(entries) = fs::read_dir(path) else { return fs::metadata(path).ok()?.modified().ok() };
    let entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.iter().filter(|path| !path.ends_with("__pycache__")).filter_map(|path| newest(path)).max()
}
