//! The state of a shard in memory: committed rows, and over them what the call under way has written.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use super::bounds::Bounds;
use crate::host::Row;
use crate::state_error::StateError;

/// Rows of one answer to a scan, whatever limit is named.
const SCAN_ROWS_MAX: usize = 1_000;
/// Bytes of keys and values at which an answer to a scan ends; the row that reaches it is its last.
const SCAN_BYTES_MAX: usize = 1 << 20;
/// A node keeps each key with one byte before it, and counts that byte.
const KEY_OVERHEAD_BYTES: usize = 1;

/// Rows, and the changes of the call under way.
#[derive(Debug, Default)]
pub(super) struct Memory {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What the call did to each key in the end; none removes it.
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bounds: Bounds,
}

impl Memory {
    pub(super) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Puts a row there as an earlier call would have left it.
    pub(super) fn place(&mut self, key: &[u8], value: &[u8]) {
        self.rows.insert(key.to_vec(), value.to_vec());
    }

    /// What is kept, without what a call under way has written.
    pub(super) fn committed(&self) -> btree_map::Iter<'_, Vec<u8>, Vec<u8>> {
        self.rows.iter()
    }

    pub(super) fn commit(&mut self) {
        for (key, value) in std::mem::take(&mut self.changes) {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }

    pub(super) fn roll_back(&mut self) {
        self.changes.clear();
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.changes.get(key) {
            Some(change) => change.clone(),
            None => self.rows.get(key).cloned(),
        }
    }

    /// Takes a write, or a removal, or refuses it and leaves all as it was.
    pub(super) fn change(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError> {
        let bounds = self.bounds;
        let value_bytes = value.map_or(0, <[u8]>::len);
        for (what, bytes, name, max) in [
            ("key", key.len(), "key_bytes", bounds.key_bytes),
            ("value", value_bytes, "value_bytes", bounds.value_bytes),
        ] {
            if bytes > max {
                let words = format!("the {what} has {bytes} bytes; {name} allows {max}");
                return Err(StateError::TooLarge(words));
            }
        }
        let before = self.changes.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        let verdict = self.check();
        if verdict.is_err() {
            match before {
                Some(before) => self.changes.insert(key.to_vec(), before),
                None => self.changes.remove(key),
            };
        }
        verdict
    }

    /// Holds all changes together against the bounds of a call and of the state.
    fn check(&self) -> Result<(), StateError> {
        let Bounds { changes, batch_bytes, state_bytes, .. } = self.bounds;
        if self.changes.len() > changes {
            let words = format!("the call changes more keys than changes allows, {changes}");
            return Err(StateError::TooLarge(words));
        }
        let bytes: usize = self.changes.iter().map(|(key, value)| row_bytes(key, value.as_ref())).sum();
        if bytes > batch_bytes {
            let words =
                format!("the changes of this call have {bytes} bytes; batch_bytes allows {batch_bytes}");
            return Err(StateError::TooLarge(words));
        }
        // A state that is over its quota already, since that was lowered, takes what does not make it larger.
        let held = self.held_bytes();
        if self.bytes_after() > state_bytes.max(held) {
            return Err(StateError::QuotaExceeded);
        }
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.rows.iter().map(|(key, value)| row_bytes(key, Some(value))).sum()
    }

    fn bytes_after(&self) -> usize {
        let mut bytes = self.held_bytes();
        for (key, value) in &self.changes {
            bytes -= self.rows.get(key).map_or(0, |replaced| row_bytes(key, Some(replaced)));
            bytes += value.as_ref().map_or(0, |value| row_bytes(key, Some(value)));
        }
        bytes
    }

    /// Reads one page of rows in order, the call's own writes included.
    pub(super) fn scan(&self, start: &[u8], end: Option<&[u8]>, rows_max: usize) -> Vec<Row> {
        if end.is_some_and(|end| end <= start) {
            return Vec::new();
        }
        let stretch = (Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded));
        let kept = self.rows.range::<[u8], _>(stretch).map(|(key, value)| (key, Some(value)));
        let mut all: BTreeMap<&Vec<u8>, Option<&Vec<u8>>> = kept.collect();
        all.extend(self.changes.range::<[u8], _>(stretch).map(|(key, value)| (key, value.as_ref())));
        let mut bytes = 0;
        let mut page = Vec::new();
        for (key, value) in all.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            if page.len() >= rows_max.min(SCAN_ROWS_MAX) || bytes >= SCAN_BYTES_MAX {
                break;
            }
            bytes += key.len() + value.len() + KEY_OVERHEAD_BYTES;
            page.push((key.clone(), value.clone()));
        }
        page
    }
}

fn row_bytes(key: &[u8], value: Option<&Vec<u8>>) -> usize {
    key.len() + KEY_OVERHEAD_BYTES + value.map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bounds: Bounds) -> Memory {
        let mut memory = Memory::default();
        memory.set_bounds(bounds);
        memory
    }

    #[test]
    fn a_scan_is_in_order_and_sees_the_writes_of_its_call() {
        let mut memory = memory(Bounds::default());
        for key in [&b"b"[..], b"d", b"a", b"\xff"] {
            memory.place(key, b"old");
        }
        memory.change(b"c", Some(b"new")).unwrap();
        memory.change(b"d", None).unwrap();
        let row = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
        assert_eq!(memory.scan(b"b", Some(b"z"), 10), [row(b"b", b"old"), row(b"c", b"new")]);
        assert_eq!(memory.scan(b"", None, 1), [row(b"a", b"old")]);
        assert_eq!(memory.scan(b"d", None, 10), [row(b"\xff", b"old")]);
        assert!(memory.scan(b"z", Some(b"b"), 10).is_empty());
    }

    #[test]
    fn a_page_ends_at_a_thousand_rows_and_at_a_mebibyte() {
        let mut memory = memory(Bounds::default());
        for number in 0_u32..1_100 {
            memory.place(&number.to_be_bytes(), b"");
        }
        assert_eq!(memory.scan(b"", None, u32::MAX as usize).len(), SCAN_ROWS_MAX);
        for number in 0_u32..40 {
            memory.place(&number.to_be_bytes(), &[0; 48 << 10]);
        }
        assert_eq!(memory.scan(b"", None, u32::MAX as usize).len(), 22);
    }

    #[test]
    fn a_write_over_a_bound_leaves_all_as_it_was() {
        let mut memory = memory(Bounds { key_bytes: 2, value_bytes: 4, changes: 2, ..Bounds::default() });
        let words = |result: Result<(), StateError>| match result.unwrap_err() {
            StateError::TooLarge(words) => words,
            other => panic!("{other:?}"),
        };
        assert_eq!(words(memory.change(b"abc", None)), "the key has 3 bytes; key_bytes allows 2");
        assert_eq!(words(memory.change(b"a", Some(b"12345"))), "the value has 5 bytes; value_bytes allows 4");
        memory.change(b"a", Some(b"1")).unwrap();
        memory.change(b"b", Some(b"1")).unwrap();
        memory.change(b"a", Some(b"2")).unwrap();
        assert_eq!(words(memory.change(b"c", None)), "the call changes more keys than changes allows, 2");
        assert_eq!(memory.get(b"c"), None);
        assert_eq!(memory.get(b"a").as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn what_is_written_twice_counts_once_in_a_batch() {
        let mut memory = memory(Bounds { batch_bytes: 10, ..Bounds::default() });
        memory.change(b"a", Some(b"12345678")).unwrap();
        memory.change(b"a", Some(b"1234567")).unwrap();
        let refused = memory.change(b"b", None).unwrap_err();
        let words = "the changes of this call have 11 bytes; batch_bytes allows 10";
        assert_eq!(refused, StateError::TooLarge(words.to_owned()));
        assert_eq!(memory.get(b"a").as_deref(), Some(&b"1234567"[..]));
    }

    #[test]
    fn a_full_state_takes_what_does_not_make_it_larger() {
        let mut memory = memory(Bounds { state_bytes: 5, ..Bounds::default() });
        memory.place(b"a", b"1234567");
        assert_eq!(memory.change(b"b", Some(b"")), Err(StateError::QuotaExceeded));
        memory.change(b"a", Some(b"7654321")).unwrap();
        memory.change(b"a", None).unwrap();
        memory.change(b"b", Some(b"1")).unwrap();
        memory.commit();
        assert_eq!(memory.change(b"c", Some(b"12")), Err(StateError::QuotaExceeded));
    }
}
