//! Reading the log back: every segment in order, up to the torn tail of the last one.
//!
//! Nothing on the disk is changed until everything has been read and found right.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use shardloom_sharding::ids::DiskId;

use super::entries::{DiskPlace, Place};
use super::error::WalError;
use super::format::{FRAME_ALIGN, FRAME_HEAD, FRAMES_START, FrameHead, FrameKind, mark, u32_at};
use super::index::Index;
use super::record::{Kind, Line};
use super::segment::{self, Segment, segment_path};
use super::slots;

/// The log as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) index: Index,
    pub(crate) segments: BTreeMap<u32, Arc<Segment>>,
    pub(crate) disk: DiskId,
    /// Where the next frame goes, in the last segment.
    pub(crate) end: u64,
    pub(crate) next_sequence: u64,
    pub(crate) torn_bytes: u64,
}

/// The last batch that was read, to be written again before it is trusted.
struct LastBatch {
    offset: u64,
    bytes: Bytes,
}

/// Reads the log in `dir`; nothing, if there is none yet.
pub(crate) fn recover(dir: &Path) -> Result<Option<Found>, WalError> {
    let numbers = segment::list(dir).map_err(WalError::io("list", dir))?;
    let Some(last) = numbers.last().copied() else { return Ok(None) };
    // What lies before a gap was given up, if the floor says so: files may vanish in any order in a crash.
    let run =
        (0..numbers.len()).rev().take_while(|at| numbers[*at] + (numbers.len() - 1 - at) as u32 == last);
    let first = run.last().map_or(last, |at| numbers[at]);
    let mut segments = BTreeMap::new();
    for number in first..=last {
        segments.insert(number, Arc::new(segment::open(dir, number)?));
    }
    let disk = segments[&first].header.disk;
    let mut scan = Scan { index: Index::default(), next_sequence: segments[&first].header.first_sequence };
    let (mut end, mut torn_bytes, mut last_batch) = (FRAMES_START, 0, None);
    for segment in segments.values() {
        if segment.header.disk != disk {
            let what = format!("the segment belongs to disk {}, not to {disk}", segment.header.disk);
            return Err(segment.damaged(24, what));
        }
        if segment.header.first_sequence != scan.next_sequence {
            let what = format!(
                "batch {} was expected to come first, not {}: the end of the segment before is lost",
                scan.next_sequence, segment.header.first_sequence
            );
            return Err(segment.damaged(40, what));
        }
        let bytes = segment.load()?;
        (end, last_batch) = scan.segment(segment, &bytes)?;
        torn_bytes = check_rest(segment, &bytes, end, scan.next_sequence)?;
        if torn_bytes > 0 && segment.header.number != last {
            return Err(segment.damaged(end, format!("batch {} does not check", scan.next_sequence)));
        }
    }
    let floor = slots::floor(&scan.index);
    if let Some(number) = (floor..first).find(|number| !numbers.contains(number)) {
        return Err(missing(dir, number));
    }
    if let Some((log, index)) = scan.index.first_hole() {
        let what = format!("entry {index} of log {log} is in no segment");
        return Err(segments[&first].damaged(FRAMES_START, what));
    }
    settle_tail(&segments[&last], last_batch, end, torn_bytes, scan.next_sequence)?;
    segments.retain(|number, _| *number >= floor);
    drop_below(dir, &numbers, floor)?;
    let Scan { index, next_sequence } = scan;
    Ok(Some(Found { index, segments, disk, end, next_sequence, torn_bytes }))
}

fn missing(dir: &Path, number: u32) -> WalError {
    let what = "the segment file is missing".to_owned();
    WalError::Damaged { file: segment_path(dir, number), offset: 0, what }
}

struct Scan {
    index: Index,
    next_sequence: u64,
}

impl Scan {
    /// Applies all batches of a segment; where they end, and the last of them.
    fn segment(&mut self, segment: &Segment, bytes: &Bytes) -> Result<(u64, Option<LastBatch>), WalError> {
        let (mut offset, mut last) = (FRAMES_START, None);
        while let Some(batch) = Batch::read(segment, bytes, offset, self.next_sequence) {
            for (line, at) in batch.lines(segment)? {
                if !self.index.apply(&line, Place::Disk(at)) {
                    let what = format!("index {} of log {} cannot follow", line.index, line.key);
                    return Err(segment.damaged(u64::from(at.offset), what));
                }
            }
            let next = batch.end();
            last = Some(LastBatch { offset, bytes: bytes.slice(offset as usize..next as usize) });
            offset = next;
            self.next_sequence += 1;
        }
        Ok((offset, last))
    }
}

/// A whole batch in a segment.
pub(crate) struct Batch {
    offset: u64,
    records: u32,
    body: Bytes,
}

impl Batch {
    /// The batch `sequence` at `offset`, if it is there and whole.
    pub(crate) fn read(segment: &Segment, bytes: &Bytes, offset: u64, sequence: u64) -> Option<Batch> {
        let place = segment.place(offset);
        let frame = bytes.get(offset as usize..)?;
        let head = FrameHead::decode(place, frame)?;
        if head.kind != FrameKind::Batch || head.sequence != sequence {
            return None;
        }
        let body = head.body(place, &frame[FRAME_HEAD..])?;
        Some(Batch { offset, records: head.records, body: bytes.slice_ref(body) })
    }

    /// Where the next frame starts.
    pub(crate) fn end(&self) -> u64 {
        self.offset + (FRAME_HEAD + self.body.len()) as u64
    }

    /// The records, and where they lie.
    pub(crate) fn lines(&self, segment: &Segment) -> Result<Vec<(Line, DiskPlace)>, WalError> {
        let (mut rest, mut lines) = (self.body.clone(), Vec::with_capacity(self.records as usize));
        for _ in 0..self.records {
            let offset = self.end() - rest.len() as u64;
            let line = Line::decode(&mut rest);
            let mut line = line.ok_or_else(|| segment.damaged(offset, "a record does not check"))?;
            let bytes = u32::try_from(line.disk_bytes()).expect("a record is smaller than its segment");
            let offset = u32::try_from(offset).expect("a segment is smaller than 4 GiB");
            if line.kind == Kind::Set {
                // A register outlives the segment's bytes in memory.
                line.payload = Bytes::copy_from_slice(&line.payload);
            }
            lines.push((line, DiskPlace { segment: segment.header.number, offset, bytes }));
        }
        Ok(lines)
    }
}

/// Looks at what lies behind the last whole batch: the bytes of a tear, 0 if there is none. Damage, if anything proves
/// that the batch which should be there was durable once: a later frame, or its mark.
fn check_rest(segment: &Segment, bytes: &Bytes, end: u64, next_sequence: u64) -> Result<u64, WalError> {
    let mut at = end as usize;
    while at + FRAME_HEAD <= bytes.len() {
        if let Some(head) = FrameHead::decode(segment.place(at as u64), &bytes[at..]).filter(|head| {
            let here = at as u64 == end && head.kind == FrameKind::Batch && head.sequence == next_sequence;
            head.sequence >= next_sequence && !here
        }) {
            let what = format!(
                "batch {next_sequence} does not check, and what lies at byte {at} (sequence {}) shows that it was whole",
                head.sequence
            );
            return Err(segment.damaged(end, what));
        }
        at += FRAME_ALIGN;
    }
    let place = segment.place(end);
    let rest = &bytes[end as usize..];
    let marked = next_sequence.checked_sub(1).filter(|_| rest.len() >= FRAME_HEAD);
    let clean = match marked.map(|sequence| mark(place, sequence)) {
        Some(mark) if rest.starts_with(&mark) => FRAME_HEAD,
        _ => 0,
    };
    let torn = rest[clean..].iter().rposition(|byte| *byte != 0);
    Ok(torn.map_or(0, |last| (clean + last + 1) as u64))
}

/// Makes what was read durable, and the rest of the segment zero.
///
/// The last batch is written again: after an fdatasync that failed, the kernel may hold pages as clean that are not on
/// the disk, so that reading them back and syncing once more proves nothing.
fn settle_tail(
    segment: &Segment,
    last_batch: Option<LastBatch>,
    end: u64,
    torn_bytes: u64,
    next_sequence: u64,
) -> Result<(), WalError> {
    let write = WalError::failed("writing", &segment.path);
    if let Some(batch) = last_batch {
        debug_assert_ne!(u32_at(&batch.bytes, 0), 0, "a batch starts with its magic number");
        segment.file.write_all_at(&batch.bytes, batch.offset).map_err(&write)?;
    }
    let torn = usize::try_from(torn_bytes).expect("a tear is smaller than its segment");
    segment.file.write_all_at(&vec![0; torn], end).map_err(&write)?;
    segment.file.sync_data().map_err(WalError::failed("fdatasync of", &segment.path))?;
    if end + FRAME_HEAD as u64 <= segment.header.file_bytes && next_sequence > 1 {
        let bytes = mark(segment.place(end), next_sequence - 1);
        segment.file.write_all_at(&bytes, end).map_err(&write)?;
    }
    Ok(())
}

/// Deletes the segments that were given up just before a crash, and a prepared one.
fn drop_below(dir: &Path, numbers: &[u32], floor: u32) -> Result<(), WalError> {
    segment::discard_prepared(dir).map_err(WalError::io("clear", dir))?;
    for number in numbers.iter().filter(|number| **number < floor) {
        let path = segment_path(dir, *number);
        std::fs::remove_file(&path).map_err(WalError::io("delete", &path))?;
    }
    Ok(())
}
