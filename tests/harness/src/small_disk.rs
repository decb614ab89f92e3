//! A small file system in memory for a data directory, to be filled and emptied.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::fullness;
use crate::means::Means;
use crate::mount::Mount;

/// A file system of its own at a directory, for as long as the value lives.
pub struct SmallDisk {
    at: PathBuf,
    _mount: Mount,
}

impl SmallDisk {
    /// Makes the directory and mounts a file system of so many MiB on it; none where this machine does not allow it, which is said.
    ///
    /// # Errors
    /// It cannot be mounted although the machine allows it.
    pub fn mount(at: &Path, mib: u32) -> Result<Option<SmallDisk>> {
        if !Means::offered(&[Means::Tmpfs]) {
            return Ok(None);
        }
        let mount = Mount::tmpfs(at, u64::from(mib) << 20)?;
        Ok(Some(SmallDisk { at: at.to_owned(), _mount: mount }))
    }

    /// Takes all room that is left.
    ///
    /// # Errors
    /// Writing fails for another reason than that the disk is full.
    pub fn fill(&self) -> Result<()> {
        fullness::fill(&self.at)
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// It was not taken.
    pub fn empty(&self) -> Result<()> {
        fullness::empty(&self.at)
    }
}
