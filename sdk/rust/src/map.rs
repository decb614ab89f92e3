//! A part of the state that reads like a map: keys of one kind to values of one kind, in the order of the keys.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::state::{self, State};
use crate::state_error::StateError;

/// The rows whose keys begin with one prefix, as a map from `K` to `V`; values are kept as JSON.
///
/// It holds nothing itself, and can be a constant. No map's prefix may begin with another's, or they share rows: end each
/// with a character that is in no other place, such as `/`.
///
/// ```
/// use shardloom_guest::{Call, Failure, Map, Reply, State};
///
/// const STOCK: Map<String, u32> = Map::new("stock/");
///
/// fn take(call: &Call, state: &mut State) -> Result<Reply, Failure> {
///     let item = call.text()?.to_owned();
///     let left = STOCK.get(state, &item)?.and_then(|count| count.checked_sub(1));
///     let left = left.ok_or_else(|| Failure::conflict("sold out"))?;
///     STOCK.insert(state, &item, &left)?;
///     Reply::json(&left)
/// }
///
/// let mut shard = shardloom_guest::testing::Shard::new(take);
/// assert_eq!(shard.call("berlin", "take", "tea"), Err(Failure::conflict("sold out")));
/// ```
pub struct Map<K, V> {
    prefix: &'static str,
    kinds: PhantomData<fn(K) -> V>,
}

/// A key of a [`Map`]: bytes whose order is the order of the keys.
pub trait Key: Sized {
    /// The key as bytes.
    fn encode(&self) -> Vec<u8>;

    /// The key of these bytes; none where they are not what [`Key::encode`] gives.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl<K: Key, V: Serialize + DeserializeOwned> Map<K, V> {
    /// The map of the rows whose keys begin with `prefix`.
    pub const fn new(prefix: &'static str) -> Map<K, V> {
        Map { prefix, kinds: PhantomData }
    }

    /// Reads the value of a key; none where it has none.
    ///
    /// # Errors
    /// [`StateError::Damaged`] where it is not of the form of `V`.
    pub fn get(&self, state: &State, key: &K) -> Result<Option<V>, StateError> {
        state.json(self.row(key))
    }

    /// Writes the value of a key, over the one that it may have.
    ///
    /// # Errors
    /// As [`State::set_json`].
    pub fn insert(&self, state: &mut State, key: &K, value: &V) -> Result<(), StateError> {
        state.set_json(self.row(key), value)
    }

    /// Removes a key and its value; it is no error where there is none.
    ///
    /// # Errors
    /// As [`State::delete`].
    pub fn remove(&self, state: &mut State, key: &K) -> Result<(), StateError> {
        state.delete(self.row(key))
    }

    /// Reads all keys and values, in the order of the keys; [`StateError::Damaged`] in place of those of another form.
    pub fn iter<'a>(
        &self,
        state: &'a State,
    ) -> impl Iterator<Item = Result<(K, V), StateError>> + use<'a, K, V> {
        let prefix = self.prefix;
        state.scan_prefix(prefix).map(move |(row, value)| {
            let key = K::decode(&row[prefix.len()..]);
            let key = key.ok_or_else(|| StateError::Damaged(format!("a key of {prefix:?} is damaged")))?;
            Ok((key, state::decode(&value)?))
        })
    }

    fn row(&self, key: &K) -> Vec<u8> {
        [self.prefix.as_bytes(), &key.encode()].concat()
    }
}

impl<K, V> std::fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Map").field(&self.prefix).finish()
    }
}

impl Key for String {
    fn encode(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<String> {
        String::from_utf8(bytes.to_vec()).ok()
    }
}

impl Key for Vec<u8> {
    fn encode(&self) -> Vec<u8> {
        self.clone()
    }

    fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
        Some(bytes.to_vec())
    }
}

impl Key for u64 {
    /// Big-endian, so that bytes are ordered as numbers are.
    fn encode(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<u64> {
        bytes.try_into().ok().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Shard;
    use crate::{Call, Failure, Reply};

    const NUMBERED: Map<u64, String> = Map::new("n/");

    fn numbers(call: &Call, state: &mut State) -> Result<Reply, Failure> {
        match call.method() {
            "insert" => NUMBERED.insert(state, &call.json()?, &call.key().to_owned())?,
            "remove" => NUMBERED.remove(state, &call.json()?)?,
            "spoil" => state.set("n/short", "\"x\"")?,
            _ => {}
        }
        Reply::json(&NUMBERED.iter(state).collect::<Result<Vec<_>, _>>()?)
    }

    #[test]
    fn numbers_are_in_the_order_of_numbers() {
        let mut shard = Shard::new(numbers);
        for number in ["300", "2", "70000"] {
            shard.call("k", "insert", number).unwrap();
        }
        let all = shard.call("k", "remove", "300").unwrap();
        assert_eq!(all.body, br#"[[2,"k"],[70000,"k"]]"#);
    }

    #[test]
    fn a_row_of_another_form_is_an_error_and_not_skipped() {
        let mut shard = Shard::new(numbers);
        assert!(matches!(shard.call("k", "spoil", ""), Err(Failure::Failed(_))));
        assert_eq!(shard.rows().count(), 0);
    }

    #[test]
    fn rows_of_other_prefixes_are_not_in_the_map() {
        let mut shard = Shard::new(numbers).with_row("m", "1").with_row("n", "1").with_row("n0", "1");
        assert_eq!(shard.call("k", "", "").unwrap().body, b"[]");
    }
}
