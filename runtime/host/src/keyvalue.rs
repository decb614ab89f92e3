//! `wasi:keyvalue` over the workload's state: what both drafts have in common.
//!
//! A bucket is a part of the state, within the call's transaction as `store` is: what the proposal calls eventually
//! consistent is linearizable here, and a batch is atomic with its call. Any name opens a bucket. Numbers are kept as decimal
//! text, as other hosts of the proposal do.

mod draft;
mod draft2;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use bytes::Bytes;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};

use crate::bindings::shard_handler::wasi;
use crate::guest::Guest;
use crate::key_layout::{BUCKET_NAME_BYTES_MAX, Space};
use crate::limits::Limits;
use crate::scan::{SCAN_BYTES_MAX, SCAN_ROWS_MAX};
use crate::state::StateError;
use crate::transaction::after;

/// Keys that one operation of `batch` may name: the guest's clock does not tick while the host works for it.
const BATCH_KEYS_MAX: usize = 1_000;

/// Pages whose cursors are kept for a call; further on, the first ones are forgotten.
const CURSORS_MAX: usize = 1_000;

/// An open bucket.
#[allow(unreachable_pub, reason = "generated code exports it from modules of its own")]
#[derive(Debug, Clone)]
pub struct Bucket(Space);

/// The value that a swap expects: the one that a key had at some point of a call.
#[allow(unreachable_pub, reason = "generated code exports it from modules of its own")]
#[derive(Debug)]
pub struct Cas {
    space: Space,
    key: String,
    call: u64,
    stamp: u64,
}

/// What the host keeps of an instance's buckets.
#[derive(Debug)]
pub(crate) struct KeyValue {
    table: ResourceTable,
    /// Counts the calls: a swap never reaches from one call into another.
    call: u64,
    /// The last keys of this call's pages. A number that is made of the key needs no order, and is never another page's.
    cursors: BTreeMap<u64, String>,
}

/// One page of keys, and whether there may be more.
struct Keys {
    keys: Vec<String>,
    more: bool,
}

/// What an operation of a bucket ends with: its answer, or what was wrong with it, in words. The error outside ends the call.
type Answer<T> = wasmtime::Result<Result<T, String>>;

/// Links both drafts.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use wasi::{keyvalue0_2_0_draft as draft, keyvalue0_2_0_draft2 as draft2};
    draft::store::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    draft::atomics::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    draft::batch::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    draft2::store::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    draft2::atomics::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    draft2::batch::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}

impl KeyValue {
    pub(crate) fn new(limits: &Limits) -> KeyValue {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles as usize);
        KeyValue { table, call: 0, cursors: BTreeMap::new() }
    }

    /// At the start of a call.
    pub(crate) fn start(&mut self) {
        self.call += 1;
        self.cursors.clear();
    }
}

impl Guest {
    fn open_bucket(&mut self, name: &str) -> Answer<Resource<Bucket>> {
        let Some(space) = Space::bucket(name) else {
            let bytes = name.len();
            return Ok(Err(format!(
                "the bucket's name has {bytes} bytes; at most {BUCKET_NAME_BYTES_MAX} are taken"
            )));
        };
        Ok(self.keyvalue.table.push(Bucket(space)).map_err(|error| error.to_string()))
    }

    fn drop_bucket(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.keyvalue.table.delete(bucket)?;
        Ok(())
    }

    fn space(&self, bucket: &Resource<Bucket>) -> wasmtime::Result<Space> {
        Ok(self.keyvalue.table.get(bucket)?.0.clone())
    }

    fn value(&mut self, bucket: &Resource<Bucket>, key: &str) -> wasmtime::Result<Option<Bytes>> {
        let space = self.space(bucket)?;
        Ok(self.transaction()?.get(&space, key.as_bytes())?)
    }

    fn put(&mut self, bucket: &Resource<Bucket>, key: &str, value: Vec<u8>) -> Answer<()> {
        let space = self.space(bucket)?;
        let taken = self.transaction()?.set(&space, key.as_bytes(), value)?;
        Ok(taken.map_err(|refused| refused.to_string()))
    }

    fn remove(&mut self, bucket: &Resource<Bucket>, key: &str) -> Answer<()> {
        let space = self.space(bucket)?;
        let taken = self.transaction()?.delete(&space, key.as_bytes())?;
        Ok(taken.map_err(|refused| refused.to_string()))
    }

    /// The keys after this one, as many as one answer holds.
    fn keys(&mut self, bucket: &Resource<Bucket>, last: Option<&str>) -> wasmtime::Result<Keys> {
        let space = self.space(bucket)?;
        let start = last.map(|last| after(last.as_bytes())).unwrap_or_default();
        let page = self.transaction()?.scan(&space, &start, None, SCAN_ROWS_MAX)?;
        let text = |key: Bytes| {
            String::from_utf8(key.into())
                .map_err(|_| StateError::new("a key of a bucket is not text: nobody wrote it"))
        };
        let keys = page.rows.into_iter().map(|(key, _)| text(key)).collect::<Result<_, StateError>>()?;
        Ok(Keys { keys, more: !page.complete })
    }

    /// Adds to a number that is kept as decimal text.
    fn add<N: Default + Display + FromStr>(
        &mut self,
        bucket: &Resource<Bucket>,
        key: &str,
        add: impl FnOnce(N) -> Option<N>,
    ) -> Answer<N> {
        let number = match self.value(bucket, key)? {
            None => Some(N::default()),
            Some(value) => str::from_utf8(&value).ok().and_then(|text| text.parse().ok()),
        };
        let Some(number) = number else {
            return Ok(Err("the value of the key is no number of this kind, in decimal".to_owned()));
        };
        let Some(sum) = add(number) else { return Ok(Err("the sum would not fit 64 bits".to_owned())) };
        let put = self.put(bucket, key, sum.to_string().into_bytes())?;
        Ok(put.map(|()| sum))
    }

    /// Reads values in the order of the keys.
    fn values(
        &mut self,
        bucket: &Resource<Bucket>,
        keys: Vec<String>,
    ) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        if let Err(words) = check_batch(keys.len()) {
            return Ok(Err(words));
        }
        let (mut values, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        for key in keys {
            let value = self.value(bucket, &key)?;
            bytes += value.as_ref().map_or(0, Bytes::len);
            if bytes > SCAN_BYTES_MAX {
                return Ok(Err(format!("the values have more than {SCAN_BYTES_MAX} bytes: ask for fewer")));
            }
            values.push((key, value.map(Vec::from)));
        }
        Ok(Ok(values))
    }

    fn put_all(&mut self, bucket: &Resource<Bucket>, pairs: Vec<(String, Vec<u8>)>) -> Answer<()> {
        if let Err(words) = check_batch(pairs.len()) {
            return Ok(Err(words));
        }
        for (key, value) in pairs {
            if let Err(words) = self.put(bucket, &key, value)? {
                return Ok(Err(words));
            }
        }
        Ok(Ok(()))
    }

    fn remove_all(&mut self, bucket: &Resource<Bucket>, keys: Vec<String>) -> Answer<()> {
        if let Err(words) = check_batch(keys.len()) {
            return Ok(Err(words));
        }
        for key in keys {
            if let Err(words) = self.remove(bucket, &key)? {
                return Ok(Err(words));
            }
        }
        Ok(Ok(()))
    }

    /// Notes the value that a key has now.
    fn note(&mut self, space: Space, key: String) -> Answer<Resource<Cas>> {
        let call = self.keyvalue.call;
        let stamp = self.transaction()?.stamp(&space, key.as_bytes());
        let cas = Cas { space, key, call, stamp };
        Ok(self.keyvalue.table.push(cas).map_err(|error| error.to_string()))
    }

    /// Whether the key still has the value that was noted: not where this call has written it since, and never where
    /// another call noted it.
    fn is_unchanged(&mut self, cas: &Cas) -> wasmtime::Result<bool> {
        let call = self.keyvalue.call;
        let stamp = self.transaction()?.stamp(&cas.space, cas.key.as_bytes());
        Ok((cas.call, cas.stamp) == (call, stamp))
    }

    /// A number that stands for a page's last key until the call ends.
    fn keep_cursor(&mut self, last: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        last.hash(&mut hasher);
        let cursor = hasher.finish();
        let cursors = &mut self.keyvalue.cursors;
        if cursors.len() >= CURSORS_MAX {
            cursors.pop_first();
        }
        cursors.insert(cursor, last.to_owned());
        cursor
    }

    fn find_cursor(&self, cursor: u64) -> Result<String, String> {
        let found = self.keyvalue.cursors.get(&cursor).cloned();
        found.ok_or_else(|| "there is no such cursor: it holds within one call".to_owned())
    }
}

fn check_batch(keys: usize) -> Result<(), String> {
    if keys <= BATCH_KEYS_MAX {
        return Ok(());
    }
    Err(format!("a batch of {keys} keys; at most {BATCH_KEYS_MAX} are taken"))
}
