//! What the log holds, in memory: every log, every register, and how much of each segment is still needed.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;

use super::entries::{DiskPlace, Entries, Place};
use super::error::WalError;
use super::record::{Kind, Line, LogId, RECORD_HEAD, Record};

/// A small durable value.
#[derive(Debug)]
struct Register {
    value: Bytes,
    place: Place,
}

/// How much of a segment is still needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// Where a reader finds an entry.
#[derive(Debug)]
pub(crate) enum Found {
    Memory(Bytes),
    Disk(DiskPlace),
}

/// All logs and registers, as of the last submission.
#[derive(Debug, Default)]
pub(crate) struct Index {
    logs: BTreeMap<u64, Entries>,
    registers: BTreeMap<u64, Register>,
    usage: BTreeMap<u32, Usage>,
    cached_bytes: usize,
    cached_payloads: usize,
    /// Log and index of what was cached, oldest first; some of it may be gone.
    cached_order: VecDeque<(u64, u64)>,
}

/// Stale notes about cached entries are swept out when there are this many more of them than entries.
const STALE_NOTES_MAX: usize = 4096;

impl Index {
    /// Whether the records may be applied, one after another.
    pub(crate) fn check(&self, records: &[Record]) -> Result<(), WalError> {
        // First given-up index and last index of the logs that these records change.
        let mut changed: BTreeMap<LogId, Option<(u64, u64)>> = BTreeMap::new();
        for record in records {
            let bounds = |log: &LogId| self.logs.get(&log.0).map(|entries| (entries.base(), entries.last()));
            match record {
                Record::Append { log, index, .. } => {
                    let now = changed.entry(*log).or_insert_with(|| bounds(log));
                    let (base, last) = now.unwrap_or((index.saturating_sub(1), index.saturating_sub(1)));
                    if *index != last + 1 {
                        return Err(WalError::OutOfOrder { log: *log, index: *index, expected: last + 1 });
                    }
                    *now = Some((base, *index));
                }
                Record::Truncate { log, from } => {
                    let now = changed.entry(*log).or_insert_with(|| bounds(log));
                    let Some((base, last)) = now else { continue };
                    if *from <= *base {
                        return Err(WalError::CutBelowHead { log: *log, from: *from, first: *base + 1 });
                    }
                    *last = (*last).min(from - 1);
                }
                Record::Purge { log, upto } => {
                    let now = changed.entry(*log).or_insert_with(|| bounds(log));
                    let (base, last) = now.unwrap_or((*upto, *upto));
                    *now = Some((base.max(*upto), last.max(*upto)));
                }
                Record::Drop { log } => {
                    changed.insert(*log, None);
                }
                Record::Set { slot, .. } | Record::Clear { slot } => {
                    if *slot >= super::SLOT_RESERVED {
                        return Err(WalError::ReservedSlot { slot: *slot });
                    }
                }
            }
        }
        Ok(())
    }

    /// Applies a record that lies at `place`; false if it cannot follow what was applied before.
    pub(crate) fn apply(&mut self, line: &Line, place: Place) -> bool {
        match line.kind {
            Kind::Append => return self.append(line, place),
            Kind::Carry => self.carry(line, place),
            Kind::Base => return self.base(line, place),
            Kind::Truncate => self.truncate(line.key, line.index),
            Kind::Purge => self.purge(line.key, line.index, place),
            Kind::Drop => self.drop_log(line.key),
            Kind::Set => {
                let register = Register { value: line.payload.clone(), place };
                let old = self.registers.insert(line.key, register);
                self.hold(place, line.disk_bytes());
                self.release_register(old);
            }
            Kind::Clear => {
                let old = self.registers.remove(&line.key);
                self.release_register(old);
            }
        }
        true
    }

    fn append(&mut self, line: &Line, place: Place) -> bool {
        let Some(base) = line.index.checked_sub(1) else { return false };
        let new = !self.logs.contains_key(&line.key);
        let entries = self.logs.entry(line.key).or_insert_with(|| Entries::new(base, place));
        if line.index <= entries.last() {
            return false;
        }
        entries.extend_to(base);
        let cache = matches!(place, Place::Queued(_));
        entries.push(place, cache.then(|| line.payload.clone()));
        if cache {
            self.cached_bytes += line.payload.len();
            self.cached_payloads += 1;
            self.cached_order.push_back((line.key, line.index));
        }
        self.hold(place, line.disk_bytes());
        if new {
            self.hold(place, RECORD_HEAD);
        }
        true
    }

    /// An entry again, from a segment that may be deleted: seen only while segments are replayed.
    fn carry(&mut self, line: &Line, place: Place) {
        let base = line.index.saturating_sub(1);
        let new = !self.logs.contains_key(&line.key);
        let entries = self.logs.entry(line.key).or_insert_with(|| Entries::new(base, place));
        entries.lower_base(entries.base().min(base));
        entries.extend_to(line.index);
        let old = entries.replace(line.index, place);
        self.hold(place, line.disk_bytes());
        self.release(old.unwrap_or(Place::Hole));
        if new {
            self.hold(place, RECORD_HEAD);
        }
    }

    /// The base of a log again: seen only while segments are replayed.
    fn base(&mut self, line: &Line, place: Place) -> bool {
        let entries = self.logs.entry(line.key).or_insert_with(|| Entries::new(line.index, Place::Hole));
        if entries.base() < line.index {
            return false;
        }
        entries.lower_base(line.index);
        let old = entries.place_base(place);
        self.hold(place, RECORD_HEAD);
        self.release_base(old);
        true
    }

    fn truncate(&mut self, key: u64, from: u64) {
        let Some(entries) = self.logs.get_mut(&key) else { return };
        let mut gone = Vec::new();
        while entries.last() >= from {
            match entries.pop_last() {
                Some(entry) => gone.push(entry),
                // Replayed without the deleted segments that held the entries between.
                None => entries.rebase(from.saturating_sub(1)),
            }
        }
        self.forget(gone);
    }

    fn purge(&mut self, key: u64, upto: u64, place: Place) {
        let new = !self.logs.contains_key(&key);
        let entries = self.logs.entry(key).or_insert_with(|| Entries::new(upto, Place::Hole));
        if upto <= entries.base() && !new {
            return;
        }
        let mut gone = Vec::new();
        while entries.base() < upto {
            match entries.pop_first() {
                Some(entry) => gone.push(entry),
                None => entries.rebase(upto),
            }
        }
        let old = entries.place_base(place);
        self.hold(place, RECORD_HEAD);
        self.release_base(old);
        self.forget(gone);
    }

    fn drop_log(&mut self, key: u64) {
        let Some(mut entries) = self.logs.remove(&key) else { return };
        self.release_base(entries.base_place());
        let mut gone = Vec::new();
        while let Some(entry) = entries.pop_last() {
            gone.push(entry);
        }
        self.forget(gone);
    }

    /// Gives entries up that are no longer in their log.
    fn forget(&mut self, gone: Vec<(Place, Option<Bytes>)>) {
        for (place, payload) in gone {
            self.release(place);
            if let Some(payload) = payload {
                self.cached_bytes -= payload.len();
                self.cached_payloads -= 1;
            }
        }
    }

    /// A record is on the disk now: what still refers to it at `was` refers to it at `now`.
    pub(crate) fn settle(&mut self, line: &Line, was: Place, now: DiskPlace) {
        let place = Place::Disk(now);
        if matches!(line.kind, Kind::Set) {
            if let Some(register) = self.registers.get_mut(&line.key).filter(|register| register.place == was)
            {
                register.place = place;
                self.hold(place, line.disk_bytes());
                self.release(was);
            }
            return;
        }
        let Some(entries) = self.logs.get_mut(&line.key) else { return };
        let is_entry =
            matches!(line.kind, Kind::Append | Kind::Carry) && entries.place(line.index) == Some(was);
        let is_base = !matches!(line.kind, Kind::Carry) && entries.base_place() == was;
        if is_entry {
            entries.replace(line.index, place);
        }
        if is_base {
            entries.place_base(place);
        }
        if is_entry {
            self.hold(place, line.disk_bytes());
            self.release(was);
        }
        if is_base {
            self.hold(place, RECORD_HEAD);
            self.release_base(was);
        }
    }

    /// What must be written again of a record of an old segment before that can be deleted.
    pub(crate) fn still_needed(&self, line: &Line, at: DiskPlace, carry: &mut Vec<Line>) {
        let at = Place::Disk(at);
        match line.kind {
            Kind::Set => {
                if self.registers.get(&line.key).is_some_and(|register| register.place == at) {
                    carry.push(line.clone());
                }
            }
            Kind::Append | Kind::Carry | Kind::Purge | Kind::Base => {
                let Some(entries) = self.logs.get(&line.key) else { return };
                if entries.base_place() == at {
                    let (key, index) = (line.key, entries.base());
                    carry.push(Line { kind: Kind::Base, key, index, payload: Bytes::new() });
                }
                let is_entry = matches!(line.kind, Kind::Append | Kind::Carry);
                if is_entry && entries.place(line.index) == Some(at) {
                    carry.push(Line { kind: Kind::Carry, ..line.clone() });
                }
            }
            Kind::Truncate | Kind::Drop | Kind::Clear => {}
        }
    }

    /// The first entry that no segment holds, in any log: only after damage.
    pub(crate) fn first_hole(&self) -> Option<(LogId, u64)> {
        self.logs.iter().find_map(|(log, entries)| Some((LogId(*log), entries.first_hole()?)))
    }

    /// Drops payloads from memory until at most `bytes_max` are left, the oldest first, but none that is not on the disk.
    pub(crate) fn evict(&mut self, bytes_max: usize) {
        while self.cached_bytes > bytes_max {
            let Some((key, index)) = self.cached_order.pop_front() else { return };
            let Some(entries) = self.logs.get_mut(&key) else { continue };
            while let Some(bytes) = entries.evict_upto(index) {
                self.cached_bytes -= bytes;
                self.cached_payloads -= 1;
            }
            if entries.is_cached(index) {
                self.cached_order.push_front((key, index));
                return;
            }
        }
        if self.cached_order.len() > self.cached_payloads * 2 + STALE_NOTES_MAX {
            let logs = &self.logs;
            self.cached_order
                .retain(|(key, index)| logs.get(key).is_some_and(|entries| entries.is_cached(*index)));
        }
    }

    /// Entries in `range` from the first that exists, until `bytes_max` is reached.
    pub(crate) fn find(&self, log: LogId, range: Range<u64>, bytes_max: usize) -> Vec<(u64, Found)> {
        let Some(entries) = self.logs.get(&log.0) else { return Vec::new() };
        let range = range.start.max(entries.base() + 1)..range.end.min(entries.last() + 1);
        let (mut found, mut bytes) = (Vec::new(), 0);
        for index in range {
            let (entry, more) = match (entries.cached(index), entries.place(index)) {
                (Some(payload), _) => (Found::Memory(payload.clone()), payload.len()),
                (None, Some(Place::Disk(place))) => (Found::Disk(place), place.bytes as usize - RECORD_HEAD),
                _ => break,
            };
            bytes += more;
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push((index, entry));
        }
        found
    }

    pub(crate) fn first(&self, log: LogId) -> Option<u64> {
        self.logs.get(&log.0).filter(|entries| !entries.is_empty()).map(|entries| entries.base() + 1)
    }

    pub(crate) fn last(&self, log: LogId) -> Option<u64> {
        self.logs.get(&log.0).map(Entries::last).filter(|last| *last > 0)
    }

    pub(crate) fn purged(&self, log: LogId) -> Option<u64> {
        self.logs.get(&log.0).map(Entries::base).filter(|base| *base > 0)
    }

    pub(crate) fn logs(&self) -> Vec<LogId> {
        self.logs.keys().map(|log| LogId(*log)).collect()
    }

    pub(crate) fn register(&self, slot: u64) -> Option<Bytes> {
        self.registers.get(&slot).map(|register| register.value.clone())
    }

    pub(crate) fn registers(&self, slots: Range<u64>) -> Vec<(u64, Bytes)> {
        if slots.is_empty() {
            return Vec::new();
        }
        self.registers.range(slots).map(|(slot, register)| (*slot, register.value.clone())).collect()
    }

    /// How much of a segment is still needed.
    pub(crate) fn usage(&self, segment: u32) -> Usage {
        self.usage.get(&segment).copied().unwrap_or_default()
    }

    /// How much of all segments is still needed, in bytes.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.usage.values().map(|usage| usage.bytes).sum()
    }

    fn hold(&mut self, place: Place, bytes: usize) {
        if let Place::Disk(at) = place {
            let usage = self.usage.entry(at.segment).or_default();
            usage.records += 1;
            usage.bytes += bytes as u64;
        }
    }

    fn release(&mut self, place: Place) {
        if let Place::Disk(at) = place {
            self.release_bytes(at, u64::from(at.bytes));
        }
    }

    fn release_base(&mut self, place: Place) {
        if let Place::Disk(at) = place {
            self.release_bytes(at, RECORD_HEAD as u64);
        }
    }

    fn release_bytes(&mut self, at: DiskPlace, bytes: u64) {
        let usage = self.usage.entry(at.segment).or_default();
        usage.records -= 1;
        usage.bytes -= bytes;
        if usage.records == 0 {
            self.usage.remove(&at.segment);
        }
    }

    fn release_register(&mut self, register: Option<Register>) {
        if let Some(register) = register {
            self.release(register.place);
        }
    }
}
