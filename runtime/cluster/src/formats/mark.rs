//! The highest level of formats that a data directory has seen, in a small file of its own: a build that is too old finds it before anything else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use shardloom_store::DataDirError;
use shardloom_store::data_dir::write_durably;

use super::{LEVEL, LEVEL_MIN, Level, NewerBuild};

/// The file, with the level as a number in it. Level 1 has none.
const FILE: &str = "formats";

/// Why a data directory's level cannot be read or raised.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The data is of a newer build.
    #[error(transparent)]
    Newer(#[from] NewerBuild),
    /// The disk fails.
    #[error(transparent)]
    Disk(#[from] DataDirError),
    /// The file does not hold a level.
    #[error("{} does not hold a level of formats but {text:?}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it holds.
        text: String,
    },
}

/// The highest level that a data directory has seen.
#[derive(Debug)]
pub struct FormatMark {
    path: PathBuf,
    level: Mutex<Level>,
}

impl FormatMark {
    /// Reads the level of a data directory. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// This build is too old for it, or the file cannot be read.
    pub fn open(data: &Path) -> Result<FormatMark, MarkError> {
        let path = data.join(FILE);
        let level = match fs::read_to_string(&path) {
            Ok(text) => {
                let number = text.trim().parse().ok();
                number.map(Level).ok_or_else(|| MarkError::Damaged { path: path.clone(), text })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => LEVEL_MIN,
            Err(source) => return Err(DataDirError::Io { step: "read", path, source }.into()),
        };
        if level > LEVEL {
            return Err(NewerBuild { what: "this data", level: Some(level) }.into());
        }
        Ok(FormatMark { path, level: Mutex::new(level) })
    }

    /// Remembers that this level has been seen; durable when it returns. Blocks on the disk, at the first time for each level.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub fn saw(&self, level: Level) -> Result<(), MarkError> {
        let mut seen = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        if level > *seen {
            write_durably(&self.path, format!("{}\n", level.0).as_bytes(), 0o600)?;
            *seen = level;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_level_is_remembered_and_a_higher_one_than_this_build_reads_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mark = FormatMark::open(dir.path()).unwrap();
        mark.saw(Level(1)).unwrap();
        assert!(!dir.path().join(FILE).exists(), "level 1 leaves no trace");
        mark.saw(LEVEL).unwrap();
        mark.saw(Level(1)).unwrap();
        assert_eq!(*FormatMark::open(dir.path()).unwrap().level.lock().unwrap(), LEVEL);
        mark.saw(Level(LEVEL.0 + 1)).unwrap();
        let refused = FormatMark::open(dir.path()).unwrap_err();
        assert!(matches!(refused, MarkError::Newer(NewerBuild { level: Some(Level(3)), .. })), "{refused}");
        fs::write(dir.path().join(FILE), "two").unwrap();
        assert!(matches!(FormatMark::open(dir.path()), Err(MarkError::Damaged { .. })));
    }
}
