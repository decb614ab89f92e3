//! A small file system in memory for a data directory, to be filled and emptied.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// The file that takes the room.
const FILLER: &str = "filler";
/// Bytes in one write of it.
const CHUNK_BYTES: usize = 1 << 20;

/// A file system of its own at a directory, for as long as the value lives.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Makes the directory and mounts a file system of so many MiB on it; none where this machine does not allow it, which is said.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn mount(at: &Path, mib: u32) -> Result<Option<SmallDisk>> {
        fs::create_dir_all(at)?;
        let size = format!("size={mib}m,mode=0700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        if !mount.is_ok_and(|mount| mount.status.success()) {
            eprintln!("skipped: a tmpfs cannot be mounted here");
            return Ok(None);
        }
        Ok(Some(SmallDisk(at.to_owned())))
    }

    /// Takes all room that is left.
    ///
    /// # Errors
    /// Writing fails for another reason than that the disk is full.
    pub fn fill(&self) -> Result<()> {
        let mut filler = File::create(self.0.join(FILLER))?;
        let chunk = vec![7; CHUNK_BYTES];
        let mut bytes = CHUNK_BYTES;
        while bytes > 0 {
            match filler.write(&chunk[..bytes]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => bytes /= 2,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// It was not taken.
    pub fn empty(&self) -> Result<()> {
        fs::remove_file(self.0.join(FILLER))?;
        ensure!(!self.0.join(FILLER).exists(), "the filler is still there");
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A process may still have files open on it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
