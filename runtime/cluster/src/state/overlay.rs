//! What a shard's state holds beyond the database: written, perhaps not committed, not flushed yet.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use shardloom_protocol::batch::{Change, WriteBatch};
use shardloom_sharding::ids::Position;

use super::keys::{state_end, state_key};
use super::meta::ShardMeta;
use super::ring::Ring;

/// The newest values, by [`state_key`]; a removed key is there with no value.
#[derive(Debug)]
pub(crate) struct Overlay {
    rows: BTreeMap<Bytes, (Position, Option<Bytes>)>,
    /// Every write of `rows`, in order; some of them are overwritten.
    order: VecDeque<(Position, Bytes)>,
    sizes: BTreeMap<String, u64>,
    /// The recent replies.
    pub(crate) ring: Ring,
}

impl Overlay {
    /// Nothing beyond what the database holds.
    pub(crate) fn above(meta: ShardMeta) -> Overlay {
        let ring = Ring::after(meta.replies);
        Overlay { rows: BTreeMap::new(), order: VecDeque::new(), sizes: meta.bytes, ring }
    }

    /// Puts a batch on top.
    pub(crate) fn write(&mut self, position: Position, batch: &WriteBatch, growth: i64) {
        for Change { key, value } in &batch.changes {
            let key = state_key(&batch.workload, key);
            self.rows.insert(key.clone(), (position, value.clone()));
            self.order.push_back((position, key));
        }
        if growth != 0 {
            let size = self.sizes.get(&batch.workload).copied().unwrap_or(0).saturating_add_signed(growth);
            match self.sizes.get_mut(&batch.workload) {
                Some(known) => *known = size,
                None => drop(self.sizes.insert(batch.workload.clone(), size)),
            }
        }
        if let Some(reply) = &batch.reply {
            self.ring.push(batch.request, position, reply.clone());
        }
    }

    /// The value of a key; outer none where the database knows.
    pub(crate) fn get(&self, state_key: &[u8]) -> Option<Option<Bytes>> {
        self.rows.get(state_key).map(|(_, value)| value.clone())
    }

    /// At most `rows` rows in key order, removed ones included.
    pub(crate) fn page(&self, start: &Bytes, end: &Bytes, rows: usize) -> Vec<(Bytes, Option<Bytes>)> {
        if start >= end {
            return Vec::new();
        }
        let range = self.rows.range(start.clone()..end.clone()).take(rows);
        range.map(|(key, (_, value))| (key.clone(), value.clone())).collect()
    }

    /// All rows, removed ones included.
    pub(crate) fn rows(&self) -> BTreeMap<Bytes, Option<Bytes>> {
        self.rows.iter().map(|(key, (_, value))| (key.clone(), value.clone())).collect()
    }

    /// Bytes of keys and values of a workload, with all that is written.
    pub(crate) fn bytes(&self, workload: &str) -> u64 {
        self.sizes.get(workload).copied().unwrap_or(0)
    }

    /// As [`Overlay::bytes`], of all workloads together.
    pub(crate) fn bytes_of_all(&self) -> u64 {
        self.sizes.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// Whether a workload has anything here.
    #[cfg(test)]
    fn has(&self, workload: &str) -> bool {
        let (start, end) = (state_key(workload, &[]), state_end(workload));
        self.rows.range(start..end).next().is_some()
    }

    /// Forgets what the database has by now: entries up to a position, at most `writes` of them. Says whether that was all.
    pub(crate) fn flushed(&mut self, upto: Position, writes: usize) -> bool {
        for _ in 0..writes {
            let Some((position, key)) = self.order.pop_front_if(|(position, _)| *position <= upto) else {
                return true;
            };
            if self.rows.get(&key).is_some_and(|(newest, _)| *newest == position) {
                self.rows.remove(&key);
            }
        }
        false
    }
}

/// The keys of a workload from `start` to before `end`, or to its last.
pub(crate) fn span(workload: &str, start: &[u8], end: Option<&[u8]>) -> (Bytes, Bytes) {
    let end = end.map_or_else(|| state_end(workload), |end| state_key(workload, end));
    (state_key(workload, start), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(workload: &str, key: &'static str, value: Option<&'static str>) -> WriteBatch {
        WriteBatch {
            request: 1,
            workload: workload.into(),
            changes: vec![Change { key: key.into(), value: value.map(Bytes::from) }],
            reply: None,
            idempotency: None,
        }
    }

    #[test]
    fn the_newest_write_wins_and_leaves_when_it_is_flushed() {
        let mut overlay = Overlay::above(ShardMeta::default());
        overlay.write(Position(1), &batch("w", "a", Some("1")), 2);
        overlay.write(Position(2), &batch("w", "a", Some("2")), 0);
        overlay.write(Position(3), &batch("w", "b", None), 0);
        overlay.write(Position(4), &batch("v", "a", Some("9")), 2);
        let key = state_key("w", b"a");
        assert_eq!(overlay.get(&key), Some(Some("2".into())));
        assert_eq!(overlay.get(&state_key("w", b"b")), Some(None));
        assert_eq!((overlay.bytes("w"), overlay.bytes_of_all()), (2, 4));
        assert!(overlay.flushed(Position(1), 10));
        assert_eq!(overlay.get(&key), Some(Some("2".into())), "a newer write stays");
        assert!(!overlay.flushed(Position(3), 1), "in steps");
        assert!(overlay.flushed(Position(3), 10));
        assert_eq!(overlay.get(&key), None);
        assert!(!overlay.has("w") && overlay.has("v"));
        assert_eq!(overlay.bytes("w"), 2, "its size is that of the whole state");
    }

    #[test]
    fn a_page_holds_one_workload_in_order() {
        let mut overlay = Overlay::above(ShardMeta::default());
        for (position, (workload, key)) in
            [("w", "c"), ("w", "a"), ("wx", "a"), ("v", "z"), ("w", "b")].into_iter().enumerate()
        {
            overlay.write(Position(position as u64 + 1), &batch(workload, key, Some("x")), 2);
        }
        let (start, end) = span("w", b"", None);
        let keys = |page: Vec<(Bytes, Option<Bytes>)>| {
            page.into_iter().map(|(key, _)| key.slice(2..)).collect::<Vec<Bytes>>()
        };
        assert_eq!(keys(overlay.page(&start, &end, 9)), ["a", "b", "c"]);
        assert_eq!(keys(overlay.page(&start, &end, 2)), ["a", "b"]);
        let (start, end) = span("w", b"b", Some(b"c"));
        assert_eq!(keys(overlay.page(&start, &end, 9)), ["b"]);
        assert!(overlay.page(&end, &start, 9).is_empty());
    }
}
