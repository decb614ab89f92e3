//! What the tests say about logs and directories.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use shardloom_store::{LogId, Record, Recovery, Wal, WalError, WalOptions};

/// The smallest limits that the log allows.
pub(crate) fn small() -> WalOptions {
    WalOptions { segment_bytes: 64 << 10, queue_bytes_max: 16 << 10, cache_bytes_max: 2 << 10 }
}

pub(crate) fn open(dir: &Path) -> (Wal, Recovery) {
    Wal::open(dir, small()).unwrap()
}

pub(crate) fn append(log: u64, index: u64, payload: impl Into<Bytes>) -> Record {
    Record::Append { log: LogId(log), index, payload: payload.into() }
}

pub(crate) fn set(slot: u64, value: impl Into<Bytes>) -> Record {
    Record::Set { slot, value: value.into() }
}

/// Everything that a reader can see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// By log: the last index given up, and the entries.
    pub(crate) logs: BTreeMap<u64, (u64, Vec<Bytes>)>,
    pub(crate) registers: BTreeMap<u64, Bytes>,
}

pub(crate) fn content(wal: &Wal) -> Result<Content, WalError> {
    let mut content = Content::default();
    for log in wal.logs() {
        let entries = wal.read(log, 0..u64::MAX, usize::MAX)?;
        let base = wal.purged_index(log).unwrap_or(0);
        let indices: Vec<_> = entries.iter().map(|(index, _)| *index).collect();
        let expected: Vec<_> = (base + 1..=wal.last_index(log).unwrap_or(0)).collect();
        assert_eq!(indices, expected, "log {log}");
        assert_eq!(wal.first_index(log), expected.first().copied());
        content.logs.insert(log.0, (base, entries.into_iter().map(|(_, payload)| payload).collect()));
    }
    content.registers = wal.registers(0..u64::MAX).into_iter().collect();
    Ok(content)
}

/// The files of a directory and their bytes: as good as a copy of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) BTreeMap<String, Vec<u8>>);

impl Image {
    pub(crate) fn take(dir: &Path) -> Image {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            match fs::read(entry.path()) {
                Ok(bytes) => drop(files.insert(entry.file_name().into_string().unwrap(), bytes)),
                // A log that is open deletes old segments when it likes.
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
            }
        }
        Image(files)
    }

    pub(crate) fn put(&self, dir: &Path) {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir).unwrap();
        for (name, bytes) in &self.0 {
            fs::write(dir.join(name), bytes).unwrap();
        }
    }

    /// The newest segment.
    pub(crate) fn last_segment(&mut self) -> &mut Vec<u8> {
        self.0.iter_mut().rfind(|(name, _)| name.ends_with(".wal")).unwrap().1
    }
}

/// Where the batches of a segment start and end, as drawn in the format.
pub(crate) fn batches(segment: &[u8]) -> Vec<(usize, usize)> {
    let (mut at, mut found) = (4096, Vec::new());
    while segment.len() >= at + 32 && &segment[at..at + 3] == b"SLb" {
        let body = u32::from_le_bytes(segment[at + 16..at + 20].try_into().unwrap()) as usize;
        found.push((at, at + 32 + body));
        at += 32 + body;
    }
    found
}

pub(crate) fn segment_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "wal")).collect();
    files.sort();
    files
}
