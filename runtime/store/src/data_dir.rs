//! The data directory: one process at a time, and small files that are whole or not there.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::exit::{EXIT_DISK_FAILED, EXIT_DISK_FULL};

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process uses it.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A file operation failed.
    #[error("cannot {step} {}", path.display())]
    Io {
        /// What failed, as a verb.
        step: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DataDirError {
    /// The code that the process is to end with.
    pub fn exit_code(&self) -> u8 {
        match self {
            DataDirError::InUse(_) => 1,
            DataDirError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => EXIT_DISK_FULL,
            DataDirError::Io { .. } => EXIT_DISK_FAILED,
        }
    }
}

/// A data directory that this process alone uses, until the value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// The name of the file that is locked; it stays when the process ends, the lock does not.
const LOCK_FILE: &str = "lock";

impl DataDir {
    /// Opens the directory, making it (mode 0700) if need be, and locks it.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] if another process holds the lock.
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        let fail = |step, at: &Path| {
            let path = at.to_path_buf();
            move |source| DataDirError::Io { step, path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail("make", path))?;
        let lock_path = path.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        let lock = options.create(true).write(true).truncate(false).mode(0o600).open(&lock_path);
        let lock = lock.map_err(fail("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse(path.to_path_buf())),
            Err(TryLockError::Error(source)) => return Err(fail("lock", &lock_path)(source)),
        }
        sync_dir(path).map_err(fail("sync", path))?;
        Ok(DataDir { path: path.to_path_buf(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Renames something in the directory to a name that says it is damaged, where it is out of the way and can be looked at; its new path. What
    /// is not there needs no renaming. Blocks on the disk.
    ///
    /// # Errors
    /// It is where it was, or it cannot be told.
    pub fn set_aside(&self, name: &str) -> Result<PathBuf, DataDirError> {
        let mut number = 1;
        let mut aside = self.path.join(format!("{name}.damaged-{number}"));
        while aside.exists() {
            number += 1;
            aside = self.path.join(format!("{name}.damaged-{number}"));
        }
        let from = self.path.join(name);
        let fail = |step, path: &Path| {
            let path = path.to_path_buf();
            move |source| DataDirError::Io { step, path, source }
        };
        if from.exists() {
            fs::rename(&from, &aside).map_err(fail("set aside", &from))?;
            sync_dir(&self.path).map_err(fail("sync", &self.path))?;
        }
        Ok(aside)
    }

    /// Writes a small file that its owner alone may read (mode 0600): after a crash it is the old one or the new one,
    /// and once this returns it is the new one. Blocks on the disk.
    ///
    /// # Errors
    /// The file is the old one, or not there.
    pub fn write_private(&self, name: &str, bytes: &[u8]) -> Result<(), DataDirError> {
        write_durably(&self.path.join(name), bytes, 0o600)
    }
}

/// Writes a small file with the given mode: after a crash it is the old one or the new one, and once this returns it
/// is the new one. Blocks on the disk.
///
/// # Errors
/// The file is the old one, or not there.
pub fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DataDirError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let draft = path.with_file_name(format!(".{name}.tmp"));
    let fail = |step| move |source| DataDirError::Io { step, path: path.to_path_buf(), source };
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail("clear a draft of")(error)),
        _ => {}
    }
    let file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&draft);
    let mut file = file.map_err(fail("draft"))?;
    file.write_all(bytes).map_err(fail("write"))?;
    file.sync_all().map_err(fail("sync"))?;
    fs::rename(&draft, path).map_err(fail("rename"))?;
    if let Some(dir) = path.parent() {
        sync_dir(dir).map_err(fail("sync the directory of"))?;
    }
    Ok(())
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}
