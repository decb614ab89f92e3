//! The directory of components: their bytes, and the code compiled from them, each by the component's digest.
//!
//! ```text
//! <sha256>.wasm                    the component as it was uploaded
//! <sha256>.<fingerprint>.native    compiled code for an engine of that fingerprint:
//!     magic "SHLMCODE" | version (4 bytes, little endian) | sha256 of all that follows (32 bytes)
//!     | length of the label (4 bytes, little endian) | label (postcard) | code
//! ```
//!
//! Compiled code is run as it is. It is only ever written here, by our own compiler; the directory is closed to everyone
//! else (mode 0700) and a file that somebody else could have written is not loaded. Where a checksum or a version does
//! not fit, the code is compiled again from the component.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::world::World;

const CODE_MAGIC: &[u8; 8] = b"SHLMCODE";
const CODE_VERSION: u32 = 1;
const CODE_HEADER_BYTES: usize = 8 + 4 + 32 + 4;

/// Permission bits that let somebody other than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// What compiled code is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Label {
    pub(crate) digest: Digest,
    pub(crate) world: World,
    pub(crate) imports: Vec<String>,
    pub(crate) component_bytes: u64,
}

/// A directory of components that belongs to this user alone.
#[derive(Debug)]
pub(crate) struct Artifacts {
    directory: PathBuf,
    /// Numbers the temporary files of this process.
    scratch: AtomicU64,
}

impl Artifacts {
    /// Opens the directory, or makes it; leftovers of an earlier crash are removed.
    pub(crate) fn open(directory: &Path) -> io::Result<Artifacts> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let metadata = fs::metadata(directory)?;
        refuse_foreign(&metadata)?;
        if metadata.mode() & 0o077 != 0 {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
        }
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                fs::remove_file(path)?;
            }
        }
        Ok(Artifacts { directory: directory.to_owned(), scratch: AtomicU64::new(0) })
    }

    /// Keeps a component's bytes, durably.
    pub(crate) fn write_component(&self, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        self.write_whole(&self.component_path(digest), &[bytes])?;
        File::open(&self.directory)?.sync_all()
    }

    /// A component's bytes as they are on disk; none where it is not here.
    pub(crate) fn read_component(&self, digest: &Digest) -> io::Result<Option<Vec<u8>>> {
        found(fs::read(self.component_path(digest)))
    }

    /// Keeps compiled code for engines of this fingerprint.
    pub(crate) fn write_code(&self, fingerprint: u64, label: &Label, code: &[u8]) -> io::Result<()> {
        let text = postcard::to_stdvec(label).map_err(io::Error::other)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?.to_le_bytes();
        let sum: [u8; 32] =
            Sha256::new().chain_update(length).chain_update(&text).chain_update(code).finalize().into();
        let path = self.code_path(&label.digest, fingerprint);
        self.write_whole(&path, &[CODE_MAGIC, &CODE_VERSION.to_le_bytes(), &sum, &length, &text, code])
    }

    /// Compiled code and its label; none where there is none that may be run.
    pub(crate) fn read_code(
        &self,
        digest: &Digest,
        fingerprint: u64,
    ) -> io::Result<Option<(Label, Vec<u8>)>> {
        let Some(mut file) = found(File::open(self.code_path(digest, fingerprint)))? else { return Ok(None) };
        if refuse_foreign(&file.metadata()?).is_err() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(decode_code(bytes).filter(|(label, _)| label.digest == *digest))
    }

    /// The digests of all components.
    pub(crate) fn digests(&self) -> io::Result<Vec<Digest>> {
        let mut digests = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let digest = name.to_str().and_then(|name| name.strip_suffix(".wasm")).map(str::parse::<Digest>);
            digests.extend(digest.and_then(Result::ok));
        }
        digests.sort();
        Ok(digests)
    }

    /// Removes a component and its compiled code.
    pub(crate) fn remove(&self, digest: &Digest) -> io::Result<()> {
        let prefix = format!("{digest}.");
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
                found(fs::remove_file(entry.path()))?;
            }
        }
        Ok(())
    }

    fn component_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{digest}.wasm"))
    }

    fn code_path(&self, digest: &Digest, fingerprint: u64) -> PathBuf {
        self.directory.join(format!("{digest}.{fingerprint:016x}.native"))
    }

    /// Writes a file whole or not at all.
    fn write_whole(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let number = self.scratch.fetch_add(1, Ordering::Relaxed);
        let part = self.directory.join(format!("{}-{number}.part", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        let written =
            parts.iter().try_for_each(|bytes| file.write_all(bytes)).and_then(|()| file.sync_data());
        let kept = written.and_then(|()| fs::rename(&part, path));
        if kept.is_err() {
            // The first error counts; what is left of the file goes at the next start.
            let _ = fs::remove_file(&part);
        }
        kept
    }
}

/// Refuses what another user owns or could have written.
fn refuse_foreign(metadata: &fs::Metadata) -> io::Result<()> {
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    if own && metadata.mode() & OTHERS_WRITE == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "other users can write here: it must belong to the user of this process, with mode 0700",
    ))
}

fn decode_code(mut bytes: Vec<u8>) -> Option<(Label, Vec<u8>)> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (sum, summed) = rest.split_first_chunk::<32>()?;
    if magic != CODE_MAGIC
        || u32::from_le_bytes(*version) != CODE_VERSION
        || Sha256::digest(summed)[..] != sum[..]
    {
        return None;
    }
    let (length, rest) = summed.split_first_chunk::<4>()?;
    let label_bytes = u32::from_le_bytes(*length) as usize;
    let label = postcard::from_bytes(rest.get(..label_bytes)?).ok()?;
    let code = bytes.split_off(CODE_HEADER_BYTES + label_bytes);
    Some((label, code))
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(digest: Digest) -> Label {
        Label { digest, world: World::ShardHandler, imports: vec!["a".to_owned()], component_bytes: 3 }
    }

    #[test]
    fn code_comes_back_with_its_label_and_only_for_its_engine() {
        let directory = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(directory.path()).unwrap();
        let digest = Digest::of(b"abc");
        artifacts.write_code(7, &label(digest), b"code").unwrap();
        assert_eq!(artifacts.read_code(&digest, 7).unwrap(), Some((label(digest), b"code".to_vec())));
        assert_eq!(artifacts.read_code(&digest, 8).unwrap(), None);
    }

    #[test]
    fn code_with_any_bit_flipped_is_not_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(directory.path()).unwrap();
        let digest = Digest::of(b"abc");
        artifacts.write_code(7, &label(digest), b"code").unwrap();
        let path = artifacts.code_path(&digest, 7);
        let good = fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_code(bad), None, "bit {bit}");
        }
        for length in 0..good.len() {
            assert_eq!(decode_code(good[..length].to_vec()), None, "cut to {length}");
        }
    }

    #[test]
    fn code_that_others_could_have_written_is_not_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(directory.path()).unwrap();
        let digest = Digest::of(b"abc");
        artifacts.write_code(7, &label(digest), b"code").unwrap();
        fs::set_permissions(artifacts.code_path(&digest, 7), fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(artifacts.read_code(&digest, 7).unwrap(), None);
    }

    #[test]
    fn directory_that_others_can_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(Artifacts::open(directory.path()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn components_are_listed_removed_and_leftovers_swept() {
        let directory = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(directory.path()).unwrap();
        let digest = Digest::of(b"abc");
        artifacts.write_component(&digest, b"abc").unwrap();
        artifacts.write_code(7, &label(digest), b"code").unwrap();
        fs::write(directory.path().join("1-1.part"), b"").unwrap();
        let artifacts = Artifacts::open(directory.path()).unwrap();
        assert_eq!(artifacts.digests().unwrap(), vec![digest]);
        artifacts.remove(&digest).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
