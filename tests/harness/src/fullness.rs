//! A disk that is filled to the last byte by something else than the node, and emptied again.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// The file that takes the room.
const FILLER: &str = "filler";
/// How much is written at once; once that does not fit, the half of it is tried, and so on.
const PIECE_BYTES: usize = 1 << 20;

/// Takes all room that is left on the file system of a directory. It must be one of its own: [`crate::mount::Disks`].
///
/// # Errors
/// Writing fails for another reason than that the disk is full.
pub fn fill(directory: &Path) -> Result<()> {
    let mut file = File::create(directory.join(FILLER)).context("the filler")?;
    let mut piece = vec![7; PIECE_BYTES];
    while !piece.is_empty() {
        match file.write(&piece) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => piece.truncate(piece.len() / 2),
            Err(error) => return Err(error).context("the filler"),
        }
    }
    Ok(())
}

/// Gives the room back.
///
/// # Errors
/// It was not taken.
pub fn empty(directory: &Path) -> Result<()> {
    fs::remove_file(directory.join(FILLER)).context("the filler")
}
