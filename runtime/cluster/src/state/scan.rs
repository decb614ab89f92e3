//! Reads what is on top and what lies below as one, in key order.

use bytes::{BufMut, Bytes, BytesMut};

use super::limits::SCAN_PAGE_ROWS;

/// How much one scan returns at most; whole rows until a bound is hit, and one row at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimit {
    /// Rows.
    pub rows: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
}

/// Rows with their keys, in order; those on top may be removals.
type Top = Vec<(Bytes, Option<Bytes>)>;
type Below = Vec<(Bytes, Bytes)>;

/// Merges the pages of two readers; `above` is read first, so that a row which sinks meanwhile is seen once at least.
///
/// # Errors
///
/// Whatever `below` fails with.
pub(crate) fn merge<E>(
    (mut start, end): (Bytes, Bytes),
    limit: ScanLimit,
    mut above: impl FnMut(&Bytes, &Bytes, usize) -> Result<Top, E>,
    mut below: impl FnMut(&Bytes, &Bytes, usize) -> Result<Below, E>,
) -> Result<Below, E> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    let page_rows = SCAN_PAGE_ROWS.min(limit.rows.saturating_add(1));
    while start < end && found.len() < limit.rows {
        let top = above(&start, &end, page_rows)?;
        let under = below(&start, &end, page_rows)?;
        // A full page says nothing of what comes after its last row.
        let last_top = (top.len() == page_rows).then(|| top[page_rows - 1].0.clone());
        let last_under = (under.len() == page_rows).then(|| under[page_rows - 1].0.clone());
        let horizon = [last_top, last_under].into_iter().flatten().min();
        let within = |key: &Bytes| horizon.as_ref().is_none_or(|horizon| key <= horizon);
        let mut top = top.into_iter().take_while(|(key, _)| within(key)).peekable();
        let mut under = under.into_iter().take_while(|(key, _)| within(key)).peekable();
        loop {
            let key_under = under.peek().map(|(key, _)| key.clone());
            let row = match (top.peek(), key_under) {
                (None, None) => break,
                (Some((key, _)), Some(lower)) if *key > lower => under.next(),
                (None, Some(_)) => under.next(),
                (Some((key, _)), lower) => {
                    if lower.as_ref() == Some(key) {
                        under.next();
                    }
                    top.next().and_then(|(key, value)| Some((key, value?)))
                }
            };
            let Some((key, value)) = row else { continue };
            bytes += key.len() + value.len();
            if found.len() == limit.rows || (bytes > limit.bytes && !found.is_empty()) {
                return Ok(found);
            }
            found.push((key, value));
        }
        match horizon {
            Some(horizon) => start = after(&horizon),
            None => break,
        }
    }
    Ok(found)
}

/// The first key after this one.
pub(crate) fn after(key: &Bytes) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(number: u16) -> Bytes {
        Bytes::copy_from_slice(&number.to_be_bytes())
    }

    proptest! {
        #[test]
        fn a_scan_shows_what_is_on_top_over_what_lies_below(
            top in prop::collection::btree_map(0u16..400, prop::option::of(0u8..9), 0..300),
            under in prop::collection::btree_map(0u16..400, 0u8..9, 0..300),
            start in 0u16..400, end in 0u16..401, rows in 0usize..300,
        ) {
            let mut expected: BTreeMap<u16, u8> = under.clone();
            for (key, value) in &top {
                match value {
                    Some(value) => expected.insert(*key, *value),
                    None => expected.remove(key),
                };
            }
            let expected: Vec<(Bytes, Bytes)> = expected
                .into_iter()
                .filter(|(key, _)| (start..end).contains(key))
                .take(rows)
                .map(|(number, value)| (key(number), Bytes::copy_from_slice(&[value])))
                .collect();
            let number = |key: &Bytes| u16::from_be_bytes([key[0], key[1]]) + u16::from(key.len() > 2);
            let limit = ScanLimit { rows, bytes: usize::MAX };
            let found = merge::<()>(
                (key(start), key(end)),
                limit,
                |start, end, rows| {
                    let range = number(start)..number(end).max(number(start));
                    let value = |value: &Option<u8>| value.map(|value| Bytes::copy_from_slice(&[value]));
                    Ok(top.range(range).take(rows).map(|(n, v)| (key(*n), value(v))).collect())
                },
                |start, end, rows| {
                    let range = number(start)..number(end).max(number(start));
                    let value = |value: &u8| Bytes::copy_from_slice(&[*value]);
                    Ok(under.range(range).take(rows).map(|(n, v)| (key(*n), value(v))).collect())
                },
            );
            prop_assert_eq!(found, Ok(expected));
        }
    }

    #[test]
    fn whole_rows_come_until_the_bytes_are_used_up_and_one_always() {
        let rows = vec![(key(1), Bytes::from_static(b"12345")), (key(2), Bytes::from_static(b"1"))];
        let scan = |bytes| {
            let limit = ScanLimit { rows: 9, bytes };
            let below = |_: &Bytes, _: &Bytes, _| Ok(rows.clone());
            merge::<()>((key(0), key(9)), limit, |_, _, _| Ok(Vec::new()), below).unwrap().len()
        };
        assert_eq!(scan(0), 1);
        assert_eq!(scan(9), 1);
        assert_eq!(scan(10), 2);
    }
}
