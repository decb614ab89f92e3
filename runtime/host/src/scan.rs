//! One answer to a scan: rows of the state and the call's own changes in one order, up to a bound.

use bytes::Bytes;

use crate::key_layout::Space;

/// Rows of one answer to a scan, whatever limit the guest names: it is held on the host until the guest has it.
pub const SCAN_ROWS_MAX: usize = 1_000;

/// Bytes of keys and values at which an answer to a scan ends; the row that reaches it is its last.
pub const SCAN_BYTES_MAX: usize = 1 << 20;

/// One answer to a scan.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Keys, as the guest knows them, and values.
    pub(crate) rows: Vec<(Bytes, Bytes)>,
    /// Whether there are no more; if not, there may be.
    pub(crate) complete: bool,
}

/// An answer that is being put together; keys as the state has them.
#[derive(Debug)]
pub(crate) struct Filling {
    rows: Vec<(Bytes, Bytes)>,
    bytes: usize,
    rows_max: usize,
}

impl Filling {
    pub(crate) fn new(rows_max: usize) -> Filling {
        Filling { rows: Vec::new(), bytes: 0, rows_max: rows_max.min(SCAN_ROWS_MAX) }
    }

    /// Rows and bytes that still have room; none where it is full.
    pub(crate) fn room(&self) -> Option<(usize, usize)> {
        let (rows, bytes) = (self.rows_max - self.rows.len(), SCAN_BYTES_MAX.saturating_sub(self.bytes));
        (rows > 0 && bytes > 0).then_some((rows, bytes))
    }

    /// Adds rows of the state with the changes to the same stretch of keys laid over them, both in order, as far as they fit.
    pub(crate) fn merge(
        &mut self,
        kept: Vec<(Bytes, Bytes)>,
        changes: impl Iterator<Item = (Bytes, Option<Bytes>)>,
    ) {
        let (mut kept, mut changes) = (kept.into_iter().peekable(), changes.peekable());
        while self.room().is_some() {
            let row = match (kept.peek(), changes.peek()) {
                (Some((kept_key, _)), Some((changed_key, _))) if kept_key < changed_key => kept.next(),
                (Some(_), None) => kept.next(),
                (None, None) => return,
                (kept_row, Some((changed_key, _))) => {
                    if kept_row.is_some_and(|(kept_key, _)| kept_key == changed_key) {
                        kept.next();
                    }
                    changes.next().and_then(|(key, value)| Some((key, value?)))
                }
            };
            if let Some((key, value)) = row {
                self.bytes += key.len() + value.len();
                self.rows.push((key, value));
            }
        }
    }

    /// The answer, and whether it is all that there is.
    pub(crate) fn page(self, space: &Space, complete: bool) -> Page {
        let rows = self.rows.into_iter().map(|(key, value)| (space.guest_key(&key), value)).collect();
        Page { rows, complete }
    }
}
