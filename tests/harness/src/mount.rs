//! File systems of a node's own, made and removed by the harness: in memory, or in the file of an image.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::orphans;
use crate::tool::run;
use crate::wait::until;

/// Seconds between commits of a file system's journal: longer than any test, so that only an fsync brings data to the image.
const COMMIT_S: u32 = 3600;
/// How long a file system may be in use after its node has ended.
const UNMOUNT_MAX: Duration = Duration::from_secs(10);

/// What a node keeps its data on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disks {
    /// A directory of the file system that is there.
    #[default]
    Directory,
    /// A file system of its own in memory.
    Tmpfs {
        /// Its size.
        bytes: u64,
    },
    /// An ext4 file system of its own in a file beside the data directory.
    Images {
        /// Its size.
        bytes: u64,
    },
}

impl Disks {
    /// Makes what a new node keeps its data on.
    ///
    /// # Errors
    /// If the machine does not offer it.
    pub fn make(self, data: &Path) -> Result<Option<Mount>> {
        if self != Disks::Directory {
            orphans::sweep_mounts();
        }
        match self {
            Disks::Directory => Ok(None),
            Disks::Tmpfs { bytes } => Mount::tmpfs(data, bytes).map(Some),
            Disks::Images { bytes } => Mount::new_image(&image_of(data), data, bytes).map(Some),
        }
    }
}

/// The file that holds the file system of a data directory.
pub fn image_of(data: &Path) -> PathBuf {
    data.with_extension("image")
}

/// A mounted file system; dropped, it is unmounted.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Mounts a file system in memory.
    ///
    /// # Errors
    /// If the machine does not let us.
    pub fn tmpfs(at: &Path, bytes: u64) -> Result<Self> {
        Self::with(at, &["-t", "tmpfs", "-o", &format!("size={bytes},mode=0700"), "shardloom"])
    }

    /// Makes an image and mounts it.
    ///
    /// # Errors
    /// If the machine does not let us.
    pub fn new_image(image: &Path, at: &Path, bytes: u64) -> Result<Self> {
        let file = File::create_new(image).with_context(|| format!("{}", image.display()))?;
        file.set_len(bytes)?;
        drop(file);
        // All tables are written now: the kernel would write them later, in the background, while the image is copied.
        let options = "lazy_itable_init=0,lazy_journal_init=0";
        run("mkfs.ext4", &["-q", "-m", "0", "-E", options, &image.to_string_lossy()])?;
        Self::image(image, at)
    }

    /// Mounts an image that was made before.
    ///
    /// # Errors
    /// If the machine does not let us.
    pub fn image(image: &Path, at: &Path) -> Result<Self> {
        let options = format!("loop,commit={COMMIT_S}");
        let mount = Self::with(at, &["-t", "ext4", "-o", &options, &image.to_string_lossy()])?;
        // Each root of an ext4 file system has this directory, and a data directory has not.
        let _ = fs::remove_dir(at.join("lost+found"));
        Ok(mount)
    }

    fn with(at: &Path, words: &[&str]) -> Result<Self> {
        fs::create_dir_all(at)?;
        let place = at.to_string_lossy();
        run("mount", &[words, &[place.as_ref()]].concat())?;
        Ok(Self { at: at.to_owned() })
    }

    /// Unmounts it, and waits until that is done.
    ///
    /// # Errors
    /// If it stays in use.
    pub fn unmount(self) -> Result<()> {
        let at = self.at.clone();
        // The drop that follows finds nothing mounted, which it does not mind.
        until("the file system to be unmounted", UNMOUNT_MAX, || {
            run("umount", &[&at.to_string_lossy()]).map(drop)
        })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, so that it goes as soon as the last file is closed; there is nobody to tell if it does not.
        let _ = run("umount", &["-l", &self.at.to_string_lossy()]);
    }
}
