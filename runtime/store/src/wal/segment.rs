//! Segment files: made zero-filled ahead of use, activated under a number, read at random.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::entries::DiskPlace;
use super::error::WalError;
use super::format::{FramePlace, HEADER_BYTES, Header};
use super::record::{Line, LogId};
use crate::data_dir::sync_dir;

/// The next segment, zero-filled, not yet part of the log.
const SPARE: &str = "spare";
/// Zeros are written in pieces of this many bytes.
const ZEROS_BYTES: usize = 256 << 10;
/// Of the names of segment files.
const SUFFIX: &str = ".wal";

/// One segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: Header,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
}

pub(crate) fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08x}{SUFFIX}"))
}

/// The numbers of the segment files in a directory, in order. Other files are none of ours.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let digits =
            name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|digits| digits.len() == 8);
        numbers.extend(digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes the file of a later segment; blocks for as long as the disk takes to write it.
pub(crate) fn prepare(dir: &Path, bytes: u64) -> io::Result<File> {
    let path = dir.join(SPARE);
    remove_if_there(&path)?;
    let file = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&path)?;
    let filled = fill(&file, bytes);
    if filled.is_err() {
        // What a full disk left of it is of no use.
        remove_if_there(&path)?;
    }
    filled.map(|()| file)
}

fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    // Tells a full disk at once, while there is room for more in the segment before.
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    let zeros = vec![0; ZEROS_BYTES];
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(ZEROS_BYTES as u64);
        file.write_all(&zeros[..piece as usize])?;
        left -= piece;
    }
    file.sync_all()
}

/// Removes a prepared file that no segment came of.
pub(crate) fn discard_prepared(dir: &Path) -> io::Result<()> {
    remove_if_there(&dir.join(SPARE))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Segment {
    /// Makes a prepared file the next segment, durably.
    pub(crate) fn activate(dir: &Path, prepared: File, header: Header) -> Result<Segment, WalError> {
        let path = segment_path(dir, header.number);
        let fail = |step| WalError::failed(step, &path);
        prepared.write_all_at(&header.encode(), 0).map_err(fail("writing the header of"))?;
        prepared.sync_data().map_err(fail("fdatasync of"))?;
        fs::rename(dir.join(SPARE), &path).map_err(fail("naming"))?;
        sync_dir(dir).map_err(fail("fsync of the directory of"))?;
        Ok(Segment { header, path, file: prepared })
    }

    /// Reads a whole segment file.
    pub(crate) fn load(&self) -> Result<Bytes, WalError> {
        let mut bytes = vec![0; self.header.file_bytes as usize];
        self.file.read_exact_at(&mut bytes, 0).map_err(WalError::failed("reading", &self.path))?;
        Ok(Bytes::from(bytes))
    }

    /// The place of a frame in this segment.
    pub(crate) fn place(&self, offset: u64) -> FramePlace {
        FramePlace { disk: self.header.disk, segment: self.header.number, offset }
    }

    /// Reads the payload of one entry, and checks that it is that entry.
    pub(crate) fn read(&self, at: DiskPlace, log: LogId, index: u64) -> Result<Bytes, WalError> {
        let mut bytes = vec![0; at.bytes as usize];
        self.file
            .read_exact_at(&mut bytes, u64::from(at.offset))
            .map_err(WalError::failed("reading", &self.path))?;
        match Line::decode(&mut Bytes::from(bytes)) {
            Some(line) if line.key == log.0 && line.index == index => Ok(line.payload),
            _ => Err(self.damaged(u64::from(at.offset), format!("entry {index} of log {log} was expected"))),
        }
    }

    pub(crate) fn damaged(&self, offset: u64, what: impl Into<String>) -> WalError {
        WalError::Damaged { file: self.path.clone(), offset, what: what.into() }
    }
}

/// Opens a segment file and checks its header.
pub(crate) fn open(dir: &Path, number: u32) -> Result<Segment, WalError> {
    let path = segment_path(dir, number);
    let opened = OpenOptions::new().read(true).write(true).open(&path);
    let file = opened.map_err(WalError::io("open", &path))?;
    let file_bytes = file.metadata().map_err(WalError::io("measure", &path))?.len();
    let damaged =
        |offset, what: &str| WalError::Damaged { file: path.clone(), offset, what: what.to_owned() };
    if file_bytes < HEADER_BYTES as u64 {
        return Err(damaged(file_bytes, "the file ends within the header"));
    }
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact_at(&mut bytes, 0).map_err(WalError::io("read", &path))?;
    let header = Header::decode(&bytes).map_err(|error| WalError::header(&path, error))?;
    if header.number != number {
        return Err(damaged(16, &format!("the file holds segment {:08x}", header.number)));
    }
    if header.file_bytes != file_bytes {
        let what = format!("the file was made with {} bytes and has {file_bytes}", header.file_bytes);
        return Err(damaged(file_bytes.min(header.file_bytes), &what));
    }
    Ok(Segment { header, path, file })
}

/// The next segment in the making, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Preparation {
    thread: std::thread::JoinHandle<io::Result<File>>,
}

impl Preparation {
    pub(crate) fn start(dir: Arc<Path>, bytes: u64) -> io::Result<Preparation> {
        let builder = std::thread::Builder::new().name("wal-prepare".to_owned());
        Ok(Preparation { thread: builder.spawn(move || prepare(&dir, bytes))? })
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    pub(crate) fn finish(self) -> io::Result<File> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that prepares segments panicked")))
    }
}
