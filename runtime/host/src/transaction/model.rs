//! A transaction beside a plain map to which the same was done: they must agree on every answer, byte and refusal.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::{Refused, Transaction, WriteBounds, after};
use crate::key_layout::Space;
use crate::scan::{SCAN_BYTES_MAX, SCAN_ROWS_MAX};
use crate::state::{StateError, StateView};

const BOUNDS: WriteBounds = WriteBounds {
    key_bytes: 3,
    value_bytes: 500_000,
    changes: 8,
    batch_bytes: 1_200_000,
    state_bytes: 1_000_000,
};

type Map = BTreeMap<Bytes, Bytes>;

struct Rows(Map);

impl StateView for Rows {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        assert!(rows > 0 && rows <= SCAN_ROWS_MAX && bytes > 0 && bytes <= SCAN_BYTES_MAX);
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut found, mut found_bytes) = (Vec::new(), 0);
        for (key, value) in self.0.range::<[u8], _>((Bound::Included(start), end)) {
            if found.len() == rows || found_bytes >= bytes {
                break;
            }
            found_bytes += key.len() + value.len();
            found.push((key.clone(), value.clone()));
        }
        Ok(found)
    }

    fn bytes(&self) -> u64 {
        bytes(&self.0)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Set(Vec<u8>, usize),
    Delete(Vec<u8>),
    Scan(Vec<u8>, Option<Vec<u8>>, usize),
}

fn bytes(map: &Map) -> u64 {
    map.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    // Few keys, so that they meet; one byte more than is allowed at times.
    vec(prop_oneof![Just(0), Just(7), Just(255)], 0..=4)
}

fn value_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0_usize..20, 1 => 300_000_usize..=500_001]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (key(), value_bytes()).prop_map(|(key, bytes)| Step::Set(key, bytes)),
        2 => key().prop_map(Step::Delete),
        2 => (key(), proptest::option::of(key()), 1_usize..6)
            .prop_map(|(start, end, rows)| Step::Scan(start, end, rows)),
    ]
}

/// The map with the changes laid over it.
fn merged(before: &Map, changes: &BTreeMap<Bytes, Option<Bytes>>) -> Map {
    let mut all = before.clone();
    for (key, value) in changes {
        match value {
            Some(value) => all.insert(key.clone(), value.clone()),
            None => all.remove(key),
        };
    }
    all
}

/// What the bounds say of the changes as a whole.
fn verdict(before: &Map, changes: &BTreeMap<Bytes, Option<Bytes>>, is_set: bool) -> &'static str {
    let batch: usize =
        changes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum();
    if changes.len() > BOUNDS.changes as usize || batch as u64 > BOUNDS.batch_bytes {
        "too large"
    } else if is_set && bytes(&merged(before, changes)) > BOUNDS.state_bytes.max(bytes(before)) {
        "quota"
    } else {
        "taken"
    }
}

fn word(result: &Result<(), Refused>) -> &'static str {
    match result {
        Ok(()) => "taken",
        Err(Refused::TooLarge(_)) => "too large",
        Err(Refused::Quota(_)) => "quota",
    }
}

/// Reads a stretch page by page, as a guest would.
fn walk(transaction: &Transaction, space: &Space, start: &[u8], end: Option<&[u8]>, rows: usize) -> Map {
    let (mut all, mut next) = (Map::new(), start.to_vec());
    loop {
        let page = transaction.scan(space, &next, end, rows).unwrap();
        assert!(page.rows.len() <= rows && page.rows.is_sorted_by(|one, other| one.0 < other.0));
        let Some((last, _)) = page.rows.last() else { return all };
        next = after(last).to_vec();
        let (complete, before) = (page.complete, all.len());
        let read = page.rows.len();
        all.extend(page.rows);
        assert_eq!(all.len(), before + read, "no row twice");
        if complete {
            assert_eq!(transaction.scan(space, &next, end, rows).unwrap().rows, []);
            return all;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_transaction_agrees_with_a_plain_map(
        before in btree_map(vec(prop_oneof![Just(0), Just(7), Just(255)], 0..=3), value_bytes(), 0..12),
        steps in vec(step(), 1..30),
        in_bucket in any::<bool>(),
    ) {
        let space = if in_bucket { Space::bucket("b").unwrap() } else { Space::plain() };
        let neighbours = [Space::bucket("a").unwrap(), Space::bucket("bb").unwrap(), Space::bucket("c").unwrap()];
        let mut before: Map = before
            .into_iter()
            .map(|(key, bytes)| (space.key(&key), Bytes::from(vec![b'o'; bytes])))
            .collect();
        before.extend(neighbours.map(|space| (space.key(b""), Bytes::from_static(b"not ours"))));
        let mut transaction = Transaction::new(Arc::new(Rows(before.clone())), BOUNDS);
        let mut changes: BTreeMap<Bytes, Option<Bytes>> = BTreeMap::new();
        for step in steps {
            let (key, value) = match step {
                Step::Scan(start, end, rows) => {
                    let (from, until) = (space.key(&start), end.as_ref().map_or(space.end(), |end| space.key(end)));
                    let expected: Map = merged(&before, &changes)
                        .into_iter()
                        .filter(|(key, _)| from <= *key && *key < until)
                        .map(|(key, value)| (space.guest_key(&key), value))
                        .collect();
                    prop_assert_eq!(walk(&transaction, &space, &start, end.as_deref(), rows), expected);
                    continue;
                }
                Step::Set(key, bytes) => (key, Some(vec![b'n'; bytes])),
                Step::Delete(key) => (key, None),
            };
            let mut wanted = changes.clone();
            wanted.insert(space.key(&key), value.clone().map(Bytes::from));
            let too_large = key.len() > 3 || value.as_ref().is_some_and(|value| value.len() > 500_000);
            let expected = if too_large { "too large" } else { verdict(&before, &wanted, value.is_some()) };
            let result = match value {
                Some(value) => transaction.set(&space, &key, value),
                None => transaction.delete(&space, &key),
            };
            prop_assert_eq!(word(&result.unwrap()), expected);
            if expected == "taken" {
                changes = wanted;
            }
            let now = merged(&before, &changes).get(&space.key(&key)).cloned();
            prop_assert_eq!(transaction.get(&space, &key).unwrap(), now);
        }
        let writes = transaction.into_writes();
        let left: BTreeMap<Bytes, Option<Bytes>> =
            writes.iter().map(|write| (write.key.clone(), write.value.clone())).collect();
        prop_assert!(writes.is_sorted_by(|one, other| one.key < other.key));
        prop_assert_eq!(left, changes);
    }
}
