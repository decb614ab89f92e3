//! The directory of a backup: what is in it, how it is written, how it is checked.
//!
//! ```text
//! manifest.json              what is here and whose it was; written last, so that a backup without it is none
//! components/SHA256.wasm     each component that a workload consists of
//! shards/00042.state         the state of shard 42, as `shardloom_protocol::shard_file` draws it
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shardloom_protocol::digest::Digest;
use shardloom_protocol::grant::Grant;
use shardloom_protocol::shard_file::{ShardFileDecoder, ShardFileHeader, ShardFilePart, StateRow};
use shardloom_protocol::workload::{HttpSpec, WorkloadLimits};

/// The format that this version writes; it reads no newer one.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const MANIFEST_UNFINISHED: &str = "manifest.json.unfinished";
/// The largest manifest that is read, in bytes: 65,536 shards take about 16 MB.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// Bytes that are read from a file at once.
const READ_BYTES: usize = 64 << 10;

/// What a backup holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// The cluster that it was made of.
    pub(super) cluster: String,
    /// How many shards that has; the cluster that it is restored into must have as many.
    pub(super) shard_count: u32,
    /// When it was begun, in seconds since 1970; for people only.
    pub(super) begun_at_unix_s: u64,
    /// The version that wrote it; for people only.
    pub(super) written_by: String,
    /// What was deployed.
    pub(super) workloads: Vec<WorkloadEntry>,
    /// The weigher, if one was plugged in.
    pub(super) weigher: Option<Digest>,
    /// The components of all of them.
    pub(super) components: Vec<FileEntry>,
    /// One a shard, in order.
    pub(super) shards: Vec<ShardEntry>,
}

/// A workload that was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WorkloadEntry {
    /// Its name.
    pub(super) name: String,
    /// Its version then; a restore counts anew.
    #[serde(default)]
    pub(super) version: u64,
    /// What it consists of.
    #[serde(flatten)]
    pub(super) spec: Spec,
}

/// What a workload consists of, as a deploy takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) component: Digest,
    pub(super) shard_function: Option<Digest>,
    pub(super) config: BTreeMap<String, String>,
    pub(super) limits: WorkloadLimits,
    /// Backups from before this was kept have neither.
    #[serde(default)]
    pub(super) http: Option<HttpSpec>,
    #[serde(default)]
    pub(super) grants: Vec<Grant>,
}

/// A file of the backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FileEntry {
    /// Its path within the directory.
    pub(super) file: String,
    /// Its length.
    pub(super) bytes: u64,
    /// Its digest.
    pub(super) sha256: Digest,
}

/// The file of a shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ShardEntry {
    /// The shard.
    pub(super) shard: u32,
    /// Its file.
    #[serde(flatten)]
    pub(super) file: FileEntry,
    /// How many rows it has.
    pub(super) rows: u64,
    /// The epoch of the last entry of the shard's log that is in it.
    pub(super) stamp: u64,
    /// Where that entry stands.
    pub(super) position: u64,
}

impl Manifest {
    /// A backup of nothing yet.
    pub(super) fn begin(cluster: String, shard_count: u32, begun_at_unix_s: u64) -> Manifest {
        Manifest {
            format: FORMAT,
            cluster,
            shard_count,
            begun_at_unix_s,
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            workloads: Vec::new(),
            weigher: None,
            components: Vec::new(),
            shards: Vec::new(),
        }
    }

    /// All components that its workloads need, each once.
    pub(super) fn needed(&self) -> Vec<Digest> {
        let specs = self.workloads.iter().map(|workload| &workload.spec);
        let mut needed: Vec<Digest> =
            specs.flat_map(|spec| std::iter::once(spec.component).chain(spec.shard_function)).collect();
        needed.extend(self.weigher);
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        let files = self.components.iter().chain(self.shards.iter().map(|shard| &shard.file));
        files.map(|file| file.bytes).sum()
    }
}

/// A backup's directory.
#[derive(Debug)]
pub(super) struct BackupDir(PathBuf);

impl BackupDir {
    /// Makes the directory for a new backup.
    ///
    /// # Errors
    /// There is something in it.
    pub(super) fn create(path: &Path) -> anyhow::Result<BackupDir> {
        let shown = path.display();
        match fs::read_dir(path) {
            Ok(mut entries) => {
                let empty = entries.next().is_none();
                ensure!(empty, "{shown} has something in it: name a new directory for each backup");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| shown.to_string()),
        }
        for part in ["shards", "components"] {
            fs::create_dir_all(path.join(part)).with_context(|| shown.to_string())?;
        }
        Ok(BackupDir(path.to_owned()))
    }

    /// Opens a backup, and reads what is to be in it; names the backup by the digest of that.
    ///
    /// # Errors
    /// It is no whole backup, or of a newer format.
    pub(super) fn open(path: &Path) -> anyhow::Result<(BackupDir, Manifest, Digest)> {
        let manifest = path.join(MANIFEST);
        let mut bytes = Vec::new();
        match File::open(&manifest) {
            Ok(file) => file.take(MANIFEST_BYTES_MAX).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_dir() => bail!(
                "{} has no {MANIFEST}: it is no backup, or one that was interrupted; make another",
                path.display()
            ),
            Err(error) => return Err(error).with_context(|| manifest.display().to_string()),
        };
        let unread = || format!("{} cannot be read", manifest.display());
        let format = serde_json::from_slice::<Format>(&bytes).with_context(unread)?.format;
        ensure!(
            format <= FORMAT,
            "the backup is of format {format}, this version reads up to {FORMAT}: use a newer one"
        );
        let known: Manifest = serde_json::from_slice(&bytes).with_context(unread)?;
        let in_order = known.shards.iter().map(|entry| entry.shard).eq(0..known.shard_count);
        ensure!(in_order, "{} does not name every shard once, in order", manifest.display());
        let all_there =
            known.needed().iter().all(|one| known.components.iter().any(|file| file.sha256 == *one));
        ensure!(all_there, "{} lacks a component that a workload needs", manifest.display());
        Ok((BackupDir(path.to_owned()), known, Digest(Sha256::digest(&bytes).into())))
    }

    /// The file of a shard, within the directory.
    pub(super) fn shard_file(shard: u32) -> String {
        format!("shards/{shard:05}.state")
    }

    /// The file of a component, within the directory.
    pub(super) fn component_file(component: &Digest) -> String {
        format!("components/{component}.wasm")
    }

    /// Opens a file of the backup.
    ///
    /// # Errors
    /// It lies elsewhere, or cannot be opened.
    pub(super) fn read(&self, file: &str) -> anyhow::Result<File> {
        let plain = Path::new(file).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        ensure!(plain, "{file:?} is no file of a backup");
        File::open(self.0.join(file)).with_context(|| file.to_owned())
    }

    /// Writes a file as `fill` says, durably. One that is there from a try before is replaced.
    ///
    /// # Errors
    /// As `fill`, or the disk fails.
    pub(super) fn write<T>(
        &self,
        file: String,
        fill: impl FnOnce(&mut Summed<File>) -> anyhow::Result<T>,
    ) -> anyhow::Result<(FileEntry, T)> {
        let mut summed = Summed::new(File::create(self.0.join(&file)).with_context(|| file.clone())?);
        let filled = fill(&mut summed)?;
        summed.inner.sync_all().with_context(|| file.clone())?;
        let (bytes, sha256) = summed.sum();
        Ok((FileEntry { file, bytes, sha256 }, filled))
    }

    /// Writes the manifest: from then on it is a backup.
    ///
    /// # Errors
    /// The disk fails.
    pub(super) fn finish(&self, manifest: &Manifest) -> anyhow::Result<()> {
        for part in ["shards", "components"] {
            File::open(self.0.join(part))?.sync_all()?;
        }
        let unfinished = self.0.join(MANIFEST_UNFINISHED);
        let mut file = File::create(&unfinished)?;
        serde_json::to_writer_pretty(&mut file, manifest)?;
        file.sync_all()?;
        fs::rename(unfinished, self.0.join(MANIFEST))?;
        File::open(&self.0)?.sync_all()?;
        Ok(())
    }

    /// Checks that a file is the one that was written.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn check(&self, entry: &FileEntry) -> anyhow::Result<()> {
        let mut summed = Summed::new(io::sink());
        io::copy(&mut self.read(&entry.file)?, &mut summed).with_context(|| entry.file.clone())?;
        let same = summed.sum() == (entry.bytes, entry.sha256);
        ensure!(same, "{} is not the file that was written: it is damaged or cut", entry.file);
        Ok(())
    }

    /// Reads the rows of a shard, in order.
    ///
    /// # Errors
    /// As `take`, or the file is not whole: what was taken then does not count.
    pub(super) fn rows(
        &self,
        entry: &ShardEntry,
        mut take: impl FnMut(StateRow) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut file = BufReader::new(self.read(&entry.file.file)?);
        let (mut reader, mut piece) = (ShardReader::default(), vec![0; READ_BYTES]);
        loop {
            let count = file.read(&mut piece).with_context(|| entry.file.file.clone())?;
            if count == 0 {
                break;
            }
            reader.feed(&piece[..count], &mut take).with_context(|| entry.file.file.clone())?;
        }
        let (header, rows) = reader.finish().with_context(|| entry.file.file.clone())?;
        let found = (header.shard.0, header.tail.stamp.0, header.tail.position.0, rows);
        let same = found == (entry.shard, entry.stamp, entry.position, entry.rows);
        ensure!(same, "{} is not what the manifest says", entry.file.file);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Reads a shard's state as its bytes come.
#[derive(Default)]
pub(super) struct ShardReader {
    decoder: ShardFileDecoder,
    header: Option<ShardFileHeader>,
    rows: u64,
}

impl ShardReader {
    /// Takes the next bytes, and hands on the rows in them.
    ///
    /// # Errors
    /// As `take`, or they are no shard's state.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(StateRow) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.decoder.feed(bytes);
        while let Some(part) = self.decoder.next_part()? {
            match part {
                ShardFilePart::Header(header) => self.header = Some(header),
                ShardFilePart::Row(row) => take(row)?,
                ShardFilePart::End(rows) => self.rows = rows,
            }
        }
        Ok(())
    }

    /// Whose state it was, and how many rows.
    ///
    /// # Errors
    /// It is not whole.
    pub(super) fn finish(self) -> anyhow::Result<(ShardFileHeader, u64)> {
        match self.header {
            Some(header) if self.decoder.is_whole() => Ok((header, self.rows)),
            _ => bail!("the state of a shard broke off"),
        }
    }
}

/// Sums up what is written through it.
pub(super) struct Summed<W> {
    inner: W,
    bytes: u64,
    hash: Sha256,
}

impl<W: Write> Summed<W> {
    fn new(inner: W) -> Summed<W> {
        Summed { inner, bytes: 0, hash: Sha256::new() }
    }

    fn sum(self) -> (u64, Digest) {
        (self.bytes, Digest(self.hash.finalize().into()))
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_a_backup_once_its_manifest_is_there_and_takes_no_second_one() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("backup");
        let directory = BackupDir::create(&path).unwrap();
        let refused = BackupDir::open(&path).unwrap_err().to_string();
        assert!(refused.contains("interrupted"), "{refused}");
        directory.finish(&Manifest::begin("c".into(), 0, 1)).unwrap();
        let (_, manifest, name) = BackupDir::open(&path).unwrap();
        assert_eq!((manifest.cluster.as_str(), manifest.shard_count), ("c", 0));
        assert_eq!(BackupDir::open(&path).unwrap().2, name);
        let refused = BackupDir::create(&path).unwrap_err().to_string();
        assert!(refused.contains("something in it"), "{refused}");
    }

    #[test]
    fn a_file_that_is_not_as_it_was_written_is_found_out() {
        let place = tempfile::tempdir().unwrap();
        let directory = BackupDir::create(place.path()).unwrap();
        let fill = |file: &mut Summed<File>| Ok(file.write_all(b"state")?);
        let (entry, ()) = directory.write(BackupDir::shard_file(7), fill).unwrap();
        assert_eq!((entry.file.as_str(), entry.bytes), ("shards/00007.state", 5));
        directory.check(&entry).unwrap();
        fs::write(place.path().join(&entry.file), b"stale").unwrap();
        assert!(directory.check(&entry).is_err());
        assert!(directory.read("../secret").is_err());
    }

    #[test]
    fn a_newer_format_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let directory = BackupDir::create(place.path()).unwrap();
        let manifest = Manifest { format: FORMAT + 1, ..Manifest::begin("c".into(), 0, 1) };
        directory.finish(&manifest).unwrap();
        let refused = BackupDir::open(place.path()).unwrap_err().to_string();
        assert!(refused.contains("newer"), "{refused}");
    }
}
