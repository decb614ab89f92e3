//! Damage to the files of a node that does not run: what a bad disk, a torn write, or somebody with `rm` leaves behind.
//!
//! It knows the names under a data directory, which are fixed, and that a segment of the write-ahead log is filled from its beginning.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::random::Random;

/// What of the end of a log a tear takes at most.
const TEAR_BYTES_MAX: usize = 256;
/// How much of other bytes lies behind the end of a log at most.
const GARBAGE_BYTES_MAX: usize = 4096;
/// The file that says who a node is.
const IDENTITY: &str = "gossip.db";

/// A kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wound {
    /// The last bytes of the write-ahead log are zero.
    TornTail,
    /// The newest file of the write-ahead log ends too soon.
    CutShort,
    /// Behind the end of the write-ahead log lies something that nobody wrote.
    Garbage,
    /// One bit of the write-ahead log has turned over.
    BitInLog,
    /// One bit of the shards' state has turned over.
    BitInState,
    /// The shards' state is gone.
    NoState,
    /// Everything is gone but the node's identity.
    OnlyIdentity,
}

impl Wound {
    /// All of them.
    pub const ALL: [Wound; 7] = [
        Wound::TornTail,
        Wound::CutShort,
        Wound::Garbage,
        Wound::BitInLog,
        Wound::BitInState,
        Wound::NoState,
        Wound::OnlyIdentity,
    ];

    /// Does the damage, the same for the same seed and bytes, and says what it was.
    ///
    /// # Errors
    /// If the files are not there.
    pub fn inflict(self, data: &Path, seed: u64) -> Result<String> {
        let mut random = Random::new(seed, 0);
        match self {
            Wound::TornTail => {
                let (path, mut bytes) = newest_segment(data)?;
                let (end, tear) = (used(&bytes), 1 + random.below(TEAR_BYTES_MAX));
                let begin = end.saturating_sub(tear);
                bytes[begin..end].fill(0);
                fs::write(&path, bytes)?;
                Ok(format!("bytes {begin} to {end} of {} are zero", path.display()))
            }
            Wound::CutShort => {
                let (path, bytes) = newest_segment(data)?;
                let keep = used(&bytes).saturating_sub(1 + random.below(TEAR_BYTES_MAX));
                fs::write(&path, &bytes[..keep])?;
                Ok(format!("{} ends after {keep} bytes", path.display()))
            }
            Wound::Garbage => {
                let (path, mut bytes) = newest_segment(data)?;
                let begin = used(&bytes);
                let end = bytes.len().min(begin + 1 + random.below(GARBAGE_BYTES_MAX));
                bytes[begin..end].iter_mut().for_each(|byte| *byte = random.below(256) as u8);
                fs::write(&path, bytes)?;
                Ok(format!("bytes {begin} to {end} of {} are garbage", path.display()))
            }
            Wound::BitInLog => turn_over(&data.join("wal"), &mut random),
            Wound::BitInState => turn_over(&data.join("state.db"), &mut random),
            Wound::NoState => {
                fs::remove_dir_all(data.join("state.db"))?;
                Ok("state.db is gone".to_owned())
            }
            Wound::OnlyIdentity => only_identity(data),
        }
    }
}

/// Turns one bit over, in any file below a directory, at a place that holds something, and says where.
///
/// # Errors
/// If no file holds anything.
pub fn turn_over(directory: &Path, random: &mut Random) -> Result<String> {
    let mut files = files_of(directory)?;
    files.sort();
    ensure!(!files.is_empty(), "no file in {} holds anything", directory.display());
    let file = random.pick(&files);
    let mut bytes = fs::read(file)?;
    let used = used(&bytes);
    let (at, bit) = (random.below(used), random.below(8));
    bytes[at] ^= 1 << bit;
    fs::write(file, bytes)?;
    Ok(format!("bit {bit} of byte {at} of {used} in {} is turned over", file.display()))
}

/// The files below a directory that hold something.
fn files_of(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("{}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_of(&path)?);
        } else if used(&fs::read(&path)?) > 0 {
            files.push(path);
        }
    }
    Ok(files)
}

/// How many bytes come before the zeros at the end.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// The newest file of the write-ahead log, and what is in it.
fn newest_segment(data: &Path) -> Result<(PathBuf, Vec<u8>)> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(data.join("wal"))? {
        paths.extend(Some(entry?.path()).filter(|path| path.extension().is_some_and(|end| end == "wal")));
    }
    let path = paths.into_iter().max().context("the write-ahead log has no file")?;
    let bytes = fs::read(&path)?;
    Ok((path, bytes))
}

fn only_identity(data: &Path) -> Result<String> {
    ensure!(data.join(IDENTITY).exists(), "{} holds no {IDENTITY}", data.display());
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with(IDENTITY) {
            fs::remove_dir_all(path)?;
        } else if path.is_file() {
            fs::remove_file(path)?;
        }
    }
    Ok(format!("nothing but {IDENTITY} is left"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data directory with a log of one segment: 100 bytes, then zeros.
    fn data() -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir_all(data.path().join("wal")).unwrap();
        let mut segment = vec![7; 100];
        segment.resize(10_000, 0);
        fs::write(data.path().join("wal/00000001.wal"), segment).unwrap();
        fs::create_dir_all(data.path().join(IDENTITY)).unwrap();
        fs::write(data.path().join(IDENTITY).join("db"), "who").unwrap();
        fs::write(data.path().join("lock"), "").unwrap();
        data
    }

    fn segment(data: &Path) -> Vec<u8> {
        fs::read(data.join("wal/00000001.wal")).unwrap()
    }

    #[test]
    fn a_torn_tail_ends_sooner_and_garbage_later() {
        let data = data();
        Wound::TornTail.inflict(data.path(), 3).unwrap();
        assert!(used(&segment(data.path())) < 100 && segment(data.path()).len() == 10_000);
        Wound::Garbage.inflict(data.path(), 3).unwrap();
        assert!(segment(data.path()).len() == 10_000);
        Wound::CutShort.inflict(data.path(), 3).unwrap();
        assert!(segment(data.path()).len() < 10_000);
    }

    #[test]
    fn one_bit_differs_and_the_same_seed_turns_over_the_same() {
        let (one, other) = (data(), data());
        let whole = segment(one.path());
        Wound::BitInLog.inflict(one.path(), 42).unwrap();
        Wound::BitInLog.inflict(other.path(), 42).unwrap();
        let bits: u32 = segment(one.path()).iter().zip(&whole).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!((bits, segment(one.path())), (1, segment(other.path())));
    }

    #[test]
    fn only_the_identity_is_left() {
        let data = data();
        Wound::OnlyIdentity.inflict(data.path(), 0).unwrap();
        let left: Vec<_> =
            fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [IDENTITY]);
    }
}
