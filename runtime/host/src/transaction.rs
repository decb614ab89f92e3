//! One call's view of the state: what was there as it began, and over it what the call has written so far.
//!
//! Nothing of it outlives the call but the changes of one that answered. Memory is bounded by the bounds of a call's changes;
//! what a guest writes twice counts once.

#[cfg(test)]
mod model;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::key_layout::Space;
use crate::limits::Limits;
use crate::scan::{Filling, Page};
use crate::state::{StateError, StateView, Write};

/// What a call has done so far.
pub(crate) struct Transaction {
    view: Arc<dyn StateView>,
    bounds: WriteBounds,
    changes: BTreeMap<Bytes, Change>,
    /// Bytes of keys and values of all changes.
    batch_bytes: u64,
    /// The part of it that is in writes, not in removals.
    set_bytes: u64,
    /// Writes and removals so far, those of one key among them.
    writes: u64,
}

/// What the call did to a key in the end.
#[derive(Debug)]
struct Change {
    /// None removes the key.
    value: Option<Bytes>,
    /// Which write of the call it was; the first is 1.
    stamp: u64,
    /// Bytes of the row that it replaces; read only where the quota is near.
    replaced_bytes: Option<u64>,
}

/// What a workload may write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteBounds {
    key_bytes: u32,
    value_bytes: u32,
    changes: u32,
    batch_bytes: u64,
    state_bytes: u64,
}

/// Why a change was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Over a bound, which the words name.
    TooLarge(String),
    /// Over the bytes of state that a workload may keep on a shard.
    Quota(u64),
}

impl WriteBounds {
    pub(crate) fn new(limits: &Limits) -> WriteBounds {
        WriteBounds {
            key_bytes: limits.key_bytes,
            value_bytes: limits.value_bytes,
            changes: limits.changes,
            batch_bytes: limits.batch_bytes,
            state_bytes: limits.state_bytes,
        }
    }

    fn check_sizes(&self, key: &[u8], value: &[u8]) -> Result<(), Refused> {
        for (what, bytes, name, max) in [
            ("key", key.len(), "key_bytes", self.key_bytes),
            ("value", value.len(), "value_bytes", self.value_bytes),
        ] {
            if bytes as u64 > u64::from(max) {
                return Err(Refused::TooLarge(format!("the {what} has {bytes} bytes; {name} allows {max}")));
            }
        }
        Ok(())
    }
}

impl Transaction {
    pub(crate) fn new(view: Arc<dyn StateView>, bounds: WriteBounds) -> Transaction {
        Transaction { view, bounds, changes: BTreeMap::new(), batch_bytes: 0, set_bytes: 0, writes: 0 }
    }

    /// The value of a key now, the call's own writes included.
    pub(crate) fn get(&self, space: &Space, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        // A key that nobody could have written is not looked for.
        if key.len() as u64 > u64::from(Limits::KEY_BYTES_MAX) {
            return Ok(None);
        }
        let key = space.key(key);
        match self.changes.get(&key) {
            Some(change) => Ok(change.value.clone()),
            None => self.view.get(&key),
        }
    }

    /// Which write of this call a key's value is of; 0 where the call has not touched it.
    pub(crate) fn stamp(&self, space: &Space, key: &[u8]) -> u64 {
        self.changes.get(&space.key(key)).map_or(0, |change| change.stamp)
    }

    /// Takes a write, or refuses it and leaves all as it was.
    pub(crate) fn set(
        &mut self,
        space: &Space,
        key: &[u8],
        value: Vec<u8>,
    ) -> Result<Result<(), Refused>, StateError> {
        self.change(space, key, Some(Bytes::from(value)))
    }

    /// Takes a removal, or refuses it and leaves all as it was.
    pub(crate) fn delete(&mut self, space: &Space, key: &[u8]) -> Result<Result<(), Refused>, StateError> {
        self.change(space, key, None)
    }

    fn change(
        &mut self,
        space: &Space,
        key: &[u8],
        value: Option<Bytes>,
    ) -> Result<Result<(), Refused>, StateError> {
        if let Err(refused) = self.bounds.check_sizes(key, value.as_deref().unwrap_or_default()) {
            return Ok(Err(refused));
        }
        let key = space.key(key);
        let before = self.changes.get(&key);
        let replaced_bytes = before.and_then(|change| change.replaced_bytes);
        if before.is_none() && self.changes.len() as u64 >= u64::from(self.bounds.changes) {
            let words = format!("the call changes more keys than changes allows, {}", self.bounds.changes);
            return Ok(Err(Refused::TooLarge(words)));
        }
        let row_bytes = |value: &Option<Bytes>| (key.len() + value.as_ref().map_or(0, Bytes::len)) as u64;
        let set_bytes = |value: &Option<Bytes>| if value.is_some() { row_bytes(value) } else { 0 };
        let batch_bytes =
            self.batch_bytes - before.map_or(0, |change| row_bytes(&change.value)) + row_bytes(&value);
        if batch_bytes > self.bounds.batch_bytes {
            let max = self.bounds.batch_bytes;
            let words =
                format!("the changes of this call have {batch_bytes} bytes; batch_bytes allows {max}");
            return Ok(Err(Refused::TooLarge(words)));
        }
        let set_bytes =
            self.set_bytes - before.map_or(0, |change| set_bytes(&change.value)) + set_bytes(&value);
        if value.is_some() && !self.fits(&key, set_bytes)? {
            return Ok(Err(Refused::Quota(self.bounds.state_bytes)));
        }
        self.batch_bytes = batch_bytes;
        self.set_bytes = set_bytes;
        self.writes += 1;
        self.changes.insert(key, Change { value, stamp: self.writes, replaced_bytes });
        Ok(Ok(()))
    }

    /// Whether the state is within its quota with so many bytes written, `key` among them.
    ///
    /// Near the quota each row that is replaced is weighed, once. A state that is over it already, since it was lowered,
    /// takes what does not make it larger.
    fn fits(&mut self, key: &Bytes, set_bytes: u64) -> Result<bool, StateError> {
        let held = self.view.bytes();
        if held.saturating_add(set_bytes) <= self.bounds.state_bytes {
            return Ok(true);
        }
        let mut replaced = match self.changes.get(key) {
            Some(_) => 0,
            None => row_bytes(&*self.view, key)?,
        };
        for (key, change) in &mut self.changes {
            replaced += match change.replaced_bytes {
                Some(bytes) => bytes,
                None => *change.replaced_bytes.insert(row_bytes(&*self.view, key)?),
            };
        }
        let after = held.saturating_sub(replaced).saturating_add(set_bytes);
        Ok(after <= self.bounds.state_bytes.max(held))
    }

    /// Reads rows in order, the call's own writes included, from `start` and before `end`; at most `rows_max`.
    pub(crate) fn scan(
        &self,
        space: &Space,
        start: &[u8],
        end: Option<&[u8]>,
        rows_max: usize,
    ) -> Result<Page, StateError> {
        let mut from = space.key(start);
        let end = end.map_or_else(|| space.end(), |end| space.key(end));
        let mut filling = Filling::new(rows_max);
        loop {
            let Some((rows, bytes)) = filling.room() else { return Ok(filling.page(space, false)) };
            if from >= end {
                return Ok(filling.page(space, true));
            }
            let kept = self.view.scan(&from, Some(&end), rows, bytes)?;
            let kept_bytes: usize = kept.iter().map(|(key, value)| key.len() + value.len()).sum();
            // The stretch of keys that this answer speaks for.
            let until = match kept.last() {
                Some((last, _)) if kept.len() >= rows || kept_bytes >= bytes => after(last),
                _ => end.clone(),
            };
            let stretch = (Bound::Included(&from[..]), Bound::Excluded(&until[..]));
            let changes = self.changes.range::<[u8], _>(stretch);
            filling.merge(kept, changes.map(|(key, change)| (key.clone(), change.value.clone())));
            from = until;
        }
    }

    /// What the call leaves, sorted by key.
    pub(crate) fn into_writes(self) -> Vec<Write> {
        self.changes.into_iter().map(|(key, change)| Write { key, value: change.value }).collect()
    }
}

/// The next key after this one.
pub(crate) fn after(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

/// Bytes that a key and its value have in the state.
fn row_bytes(view: &dyn StateView, key: &Bytes) -> Result<u64, StateError> {
    Ok(view.get(key)?.map_or(0, |value| (key.len() + value.len()) as u64))
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("changes", &self.changes.len())
            .field("batch_bytes", &self.batch_bytes)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::TooLarge(words) => f.write_str(words),
            Refused::Quota(bytes) => {
                write!(f, "the workload would keep more on this shard than state_bytes allows, {bytes}")
            }
        }
    }
}
