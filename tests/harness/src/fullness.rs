//! A disk that is filled to the last byte by something else than the node, and emptied again.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// How much is written at once; once that does not fit, byte by byte is tried.
const PIECE_BYTES: usize = 1 << 20;

/// A file that takes all the room of a file system; dropped, it is removed.
#[derive(Debug)]
pub struct Filler {
    path: PathBuf,
}

impl Filler {
    /// Fills the file system that a directory is on. It must be one of its own: [`crate::mount::Disks`].
    ///
    /// # Errors
    /// If it cannot be filled.
    pub fn fill(directory: &Path) -> Result<Self> {
        let filler = Self { path: directory.join("filler") };
        filler.top_up()?;
        Ok(filler)
    }

    /// Takes the room that has become free since.
    ///
    /// # Errors
    /// If the file cannot grow for another reason than a full disk.
    pub fn top_up(&self) -> Result<()> {
        let mut file = File::options().create(true).append(true).open(&self.path).context("the filler")?;
        let mut piece = vec![1; PIECE_BYTES];
        while !piece.is_empty() {
            match file.write(&piece) {
                Ok(written) if written > 0 => {}
                Ok(_) => piece.truncate(piece.len() / 2),
                Err(error) if error.kind() == ErrorKind::StorageFull => piece.truncate(piece.len() / 2),
                Err(error) => return Err(error).context("the filler"),
            }
        }
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn empty(self) -> Result<()> {
        fs::remove_file(&self.path).context("the filler")
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // It is gone already where it was emptied.
        let _ = fs::remove_file(&self.path);
    }
}
