//! One log in memory: where each of its entries lies, and the newest payloads.

use std::collections::VecDeque;

use bytes::Bytes;

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Not seen yet: while segments are replayed, the entry may come later, carried over from a deleted segment.
    Hole,
    /// On its way to the disk, under this number.
    Queued(u64),
    /// On the disk.
    Disk(DiskPlace),
}

/// A record on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiskPlace {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
}

/// The entries of one log: `base + 1 ..= base + places.len()`.
#[derive(Debug)]
pub(crate) struct Entries {
    base: u64,
    base_place: Place,
    places: VecDeque<Place>,
    /// The payloads of the last entries; every entry that is not on the disk is among them.
    cached: VecDeque<Bytes>,
}

impl Entries {
    pub(crate) fn new(base: u64, base_place: Place) -> Entries {
        Entries { base, base_place, places: VecDeque::new(), cached: VecDeque::new() }
    }

    /// The last index that is given up.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// The last index; the base, if there are no entries.
    pub(crate) fn last(&self) -> u64 {
        self.base + self.places.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The record that tells the base.
    pub(crate) fn base_place(&self) -> Place {
        self.base_place
    }

    pub(crate) fn place_base(&mut self, place: Place) -> Place {
        std::mem::replace(&mut self.base_place, place)
    }

    pub(crate) fn first_hole(&self) -> Option<u64> {
        let at = self.places.iter().position(|place| *place == Place::Hole)?;
        Some(self.base + 1 + at as u64)
    }

    fn slot(&self, index: u64) -> Option<usize> {
        let slot = usize::try_from(index.checked_sub(self.base + 1)?).ok()?;
        (slot < self.places.len()).then_some(slot)
    }

    pub(crate) fn place(&self, index: u64) -> Option<Place> {
        Some(self.places[self.slot(index)?])
    }

    /// Puts an existing entry elsewhere; the place where it was.
    pub(crate) fn replace(&mut self, index: u64, place: Place) -> Option<Place> {
        let slot = self.slot(index)?;
        Some(std::mem::replace(&mut self.places[slot], place))
    }

    /// Adds holes at the end, up to and including `index`.
    pub(crate) fn extend_to(&mut self, index: u64) {
        while self.last() < index {
            self.places.push_back(Place::Hole);
        }
    }

    /// Adds holes at the front, so that `base` is given up and what follows is not.
    pub(crate) fn lower_base(&mut self, base: u64) {
        while self.base > base {
            self.places.push_front(Place::Hole);
            self.base -= 1;
        }
    }

    /// Adds the next entry, and its payload if it is to be cached.
    pub(crate) fn push(&mut self, place: Place, payload: Option<Bytes>) {
        self.places.push_back(place);
        self.cached.extend(payload);
    }

    /// Takes the last entry off; its place, and the payload if that was in memory.
    pub(crate) fn pop_last(&mut self) -> Option<(Place, Option<Bytes>)> {
        let place = self.places.pop_back()?;
        Some((place, self.cached.pop_back()))
    }

    /// Takes the first entry off, and raises the base.
    pub(crate) fn pop_first(&mut self) -> Option<(Place, Option<Bytes>)> {
        let place = self.places.pop_front()?;
        self.base += 1;
        let payload = if self.cached.len() > self.places.len() { self.cached.pop_front() } else { None };
        Some((place, payload))
    }

    /// Moves the base of an empty log.
    pub(crate) fn rebase(&mut self, base: u64) {
        debug_assert!(self.places.is_empty(), "entries would change their indices");
        self.base = base;
    }

    /// The payload of an entry, if it is in memory.
    pub(crate) fn cached(&self, index: u64) -> Option<&Bytes> {
        let slot = self.slot(index)?;
        self.cached.get(slot.checked_sub(self.places.len() - self.cached.len())?)
    }

    /// Drops the oldest payload in memory if its entry is on the disk and not above `index`; its bytes.
    pub(crate) fn evict_upto(&mut self, index: u64) -> Option<usize> {
        let slot = self.places.len() - self.cached.len();
        let oldest = self.base + 1 + slot as u64;
        if oldest > index || !matches!(self.places.get(slot), Some(Place::Disk(_))) {
            return None;
        }
        self.cached.pop_front().map(|payload| payload.len())
    }

    /// Whether the payload of an entry is in memory.
    pub(crate) fn is_cached(&self, index: u64) -> bool {
        self.cached(index).is_some()
    }
}
