//! The state of the shard: keys and values, ordered by the bytes of the keys.

use std::fmt;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::{Host, Row};
use crate::state_error::StateError;

/// Rows that one page of a scan is asked for: as many as a host gives.
const PAGE_ROWS: u32 = 1_000;

/// What the workload keeps on this shard, for all keys of the shard together.
///
/// A call is one transaction: it reads its own writes, and they are kept, all of them, only if it answers with a reply. After
/// a failure or a trap nothing of them remains. The caller gets the reply once they are on the disks of a majority of the
/// shard's replicas.
///
/// ```
/// use shardloom_guest::{Call, Failure, Reply, State};
///
/// fn handle(call: &Call, state: &mut State) -> Result<Reply, Failure> {
///     let seen: u64 = state.json(call.key())?.unwrap_or(0);
///     state.set_json(call.key(), &(seen + 1))?;
///     Reply::json(&(seen + 1))
/// }
///
/// let mut shard = shardloom_guest::testing::Shard::new(handle);
/// assert_eq!(shard.call("apple", "", "").unwrap().body, b"1");
/// assert_eq!(shard.call("apple", "", "").unwrap().body, b"2");
/// ```
pub struct State {
    host: Rc<dyn Host>,
}

impl State {
    pub(crate) fn new(host: Rc<dyn Host>) -> State {
        State { host }
    }

    /// Reads a value; none where the key has none.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.host.get(key.as_ref())
    }

    /// Reads a value that is text.
    ///
    /// # Errors
    /// [`StateError::Damaged`] where it is not UTF-8.
    pub fn text(&self, key: impl AsRef<[u8]>) -> Result<Option<String>, StateError> {
        let text = |_| StateError::Damaged("a value is not UTF-8".to_owned());
        self.get(key).map(|value| String::from_utf8(value).map_err(text)).transpose()
    }

    /// Reads a value that was written by [`State::set_json`].
    ///
    /// # Errors
    /// [`StateError::Damaged`] where it is not JSON of that form.
    pub fn json<T: DeserializeOwned>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, StateError> {
        self.get(key).map(|value| decode(&value)).transpose()
    }

    /// Writes a value, bytes or text, over the one that the key may have.
    ///
    /// # Errors
    /// Over a bound or the quota; the state is as before then.
    pub fn set(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), StateError> {
        self.host.set(key.as_ref(), value.as_ref())
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// As [`State::set`], and for a value that JSON has no form for.
    pub fn set_json(
        &mut self,
        key: impl AsRef<[u8]>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), StateError> {
        self.set(key, encode(value)?)
    }

    /// Removes a key and its value; it is no error where there is none.
    ///
    /// # Errors
    /// Over a bound; the state is as before then.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> Result<(), StateError> {
        self.host.delete(key.as_ref())
    }

    /// Reads all rows in order, from `start` and before `end`, or to the last one where there is no end. They are fetched
    /// page by page, as the caller goes on.
    pub fn scan(&self, start: impl AsRef<[u8]>, end: Option<&[u8]>) -> Rows<'_> {
        Rows {
            state: self,
            next: Some(start.as_ref().to_vec()),
            end: end.map(<[u8]>::to_vec),
            page: Vec::new().into_iter(),
        }
    }

    /// Reads all rows in order whose keys begin with `prefix`.
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Rows<'_> {
        let prefix = prefix.as_ref();
        self.scan(prefix, after_prefix(prefix).as_deref())
    }
}

/// The first key after all that begin with `prefix`; none where there is no such key.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

pub(crate) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, StateError> {
    serde_json::from_slice(value)
        .map_err(|error| StateError::Damaged(format!("a value is not of the form that is expected: {error}")))
}

pub(crate) fn encode(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, StateError> {
    serde_json::to_vec(value)
        .map_err(|error| StateError::Damaged(format!("a value has no form in JSON: {error}")))
}

/// Rows of a scan, in order.
pub struct Rows<'a> {
    state: &'a State,
    /// Where the next page begins; none after the last one.
    next: Option<Vec<u8>>,
    end: Option<Vec<u8>>,
    page: std::vec::IntoIter<Row>,
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        if let Some(row) = self.page.next() {
            return Some(row);
        }
        let start = self.next.take()?;
        let page = self.state.host.scan(&start, self.end.as_deref(), PAGE_ROWS);
        // The first key after the last one. A page that is not full may still not be the last: it is bounded in bytes, too.
        self.next = page.last().map(|(key, _)| [key, &[0][..]].concat());
        self.page = page.into_iter();
        self.page.next()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("next", &self.next).field("end", &self.end).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_first_key_after_all_that_begin_with_it() {
        assert_eq!(after_prefix(b"ab").as_deref(), Some(&b"ac"[..]));
        assert_eq!(after_prefix(b"a\xff\xff").as_deref(), Some(&b"b"[..]));
        assert_eq!(after_prefix(b"\xff\xff"), None);
        assert_eq!(after_prefix(b""), None);
    }
}
