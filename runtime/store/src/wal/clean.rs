//! Giving old segments back: what is still needed of the oldest one is written again, then it is deleted.
//!
//! Segments go strictly in order, oldest first. So a cut, a purge or a register that was forgotten needs no trace once
//! its segment is the oldest: what it undid can only be there or in segments that are gone. A segment in which nothing is
//! needed goes at once; others are emptied when the log takes more than [`GARBAGE_FACTOR`] times what is needed and
//! [`SEGMENTS_MIN`] segments. That bounds the space, and what is written again, to about as much as was written. On a full
//! disk there is no patience with garbage, but what is written again must fit the segment that is open.

use std::collections::VecDeque;

use bytes::Bytes;

use super::core::{Moving, State};
use super::entries::{DiskPlace, Place};
use super::error::WalError;
use super::format::FRAMES_START;
use super::record::{Line, RECORD_COST_BYTES};
use super::recover::Batch;
use super::segment::Segment;
use super::slots;

/// How many segments may be there, whatever is in them.
const SEGMENTS_MIN: u64 = 3;
/// How many times the needed bytes the segments may take.
const GARBAGE_FACTOR: u64 = 2;
/// On a full disk, this part of the room that is left may go into writing again.
const RESERVE_FRACTION: u64 = 4;

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// Nothing in the oldest segment is needed.
    Retire,
    /// What is needed of the oldest segment is to be written again.
    Carry,
}

/// Reads the oldest segment once more, batch by batch.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    segment: u32,
    bytes: Bytes,
    offset: u64,
    sequence: u64,
    lines: VecDeque<(Line, DiskPlace)>,
}

impl Cleaner {
    /// What to do next; `room` is how much still fits the open segment.
    pub(crate) fn due(state: &State, segment_bytes: u64, room: u64) -> Due {
        let Some((oldest, _)) = state.segments.first_key_value().filter(|_| state.segments.len() > 1) else {
            return Due::Nothing;
        };
        let usage = state.index.usage(*oldest);
        if usage.records == 0 {
            return Due::Retire;
        }
        let needed = state.index.live_bytes().div_ceil(segment_bytes - FRAMES_START);
        let (segments_max, fits) = match state.disk_full {
            false => (SEGMENTS_MIN + GARBAGE_FACTOR * needed, true),
            true => (1 + needed, usage.bytes < room / RESERVE_FRACTION),
        };
        if state.segments.len() as u64 > segments_max && fits { Due::Carry } else { Due::Nothing }
    }

    /// Whether records have been read that nobody has looked at.
    pub(crate) fn is_loaded(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Reads the next batch of the oldest segment.
    pub(crate) fn load(&mut self, oldest: &Segment) -> Result<(), WalError> {
        if self.segment != oldest.header.number {
            let (segment, sequence) = (oldest.header.number, oldest.header.first_sequence);
            *self = Cleaner {
                segment,
                sequence,
                bytes: oldest.load()?,
                offset: FRAMES_START,
                lines: VecDeque::new(),
            };
        }
        let batch = Batch::read(oldest, &self.bytes, self.offset, self.sequence);
        let batch = batch.ok_or_else(|| {
            oldest.damaged(self.offset, format!("batch {} was here, and does not check now", self.sequence))
        })?;
        self.lines = VecDeque::from(batch.lines(oldest)?);
        self.offset = batch.end();
        self.sequence += 1;
        Ok(())
    }

    /// Takes what is still needed of the records read, up to `cost_max` (but at least one record).
    pub(crate) fn carry(&mut self, state: &State, cost_max: usize) -> Vec<Moving> {
        let (mut carried, mut cost) = (Vec::new(), 0);
        let mut needed = Vec::new();
        while let Some((line, at)) = self.lines.pop_front() {
            state.index.still_needed(&line, at, &mut needed);
            let more: usize = needed.iter().map(|line| RECORD_COST_BYTES + line.payload.len()).sum();
            if cost + more > cost_max && !carried.is_empty() {
                self.lines.push_front((line, at));
                break;
            }
            cost += more;
            carried.extend(needed.drain(..).map(|line| (line, Place::Disk(at))));
        }
        carried
    }

    /// Notes in the log that the segments up to the first that is needed are given up; the number of that one.
    pub(crate) fn retire(&mut self, state: &mut State) -> Option<u32> {
        let newest = *state.segments.last_key_value()?.0;
        let oldest = *state.segments.first_key_value()?.0;
        let floor = (oldest..newest).find(|number| state.index.usage(*number).records > 0).unwrap_or(newest);
        if floor == oldest {
            return None;
        }
        *self = Cleaner::default();
        state.queue(slots::set_floor(floor));
        Some(floor)
    }
}
