//! `wasi:keyvalue` over the workload's state: what both drafts have in common.
//!
//! A bucket is a part of the state, within the call's transaction as `store` is: what the proposal calls eventually
//! consistent is linearizable here, and a batch is atomic with its call. Any name opens a bucket. Numbers are kept as decimal
//! text, as other hosts of the proposal do.

mod draft;
mod draft2;

use std::fmt::Display;
use std::str::FromStr;

use bytes::Bytes;
use wasmtime::component::{HasSelf, Linker, Resource};

use crate::bindings::shard_handler::wasi;
use crate::buckets::{Bucket, Cas};
use crate::guest::Guest;
use crate::key_layout::Space;
use crate::scan::{SCAN_BYTES_MAX, SCAN_ROWS_MAX};
use crate::state::StateError;
use crate::transaction::{Transaction, after};

/// Keys that one operation of `batch` may name: the guest's clock does not tick while the host works for it.
const BATCH_KEYS_MAX: usize = 1_000;

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

impl Guest {
    /// Does something to the state, unless the call's transaction is over.
    fn within<T>(&self, act: impl FnOnce(&mut Transaction) -> Result<T, StateError>) -> Answer<T> {
        Ok(self.stage.within(act)?.map_err(|closed| closed.to_string()))
    }

    fn value(&mut self, bucket: &Resource<Bucket>, key: &str) -> Answer<Option<Bytes>> {
        let space = self.buckets.space(bucket)?;
        self.within(|transaction| transaction.get(&space, key.as_bytes()))
    }

    fn change(&mut self, space: &Space, key: &str, value: Option<Vec<u8>>) -> Answer<()> {
        let taken = self.within(|transaction| match value {
            Some(value) => transaction.set(space, key.as_bytes(), value),
            None => transaction.delete(space, key.as_bytes()),
        })?;
        Ok(taken.and_then(|taken| taken.map_err(|refused| refused.to_string())))
    }

    fn put(&mut self, bucket: &Resource<Bucket>, key: &str, value: Vec<u8>) -> Answer<()> {
        let space = self.buckets.space(bucket)?;
        self.change(&space, key, Some(value))
    }

    fn remove(&mut self, bucket: &Resource<Bucket>, key: &str) -> Answer<()> {
        let space = self.buckets.space(bucket)?;
        self.change(&space, key, None)
    }

    /// The keys after this one, as many as one answer holds.
    fn keys(&mut self, bucket: &Resource<Bucket>, last: Option<&str>) -> Answer<Keys> {
        let space = self.buckets.space(bucket)?;
        let start = last.map(|last| after(last.as_bytes())).unwrap_or_default();
        let page = match self.within(|transaction| transaction.scan(&space, &start, None, SCAN_ROWS_MAX))? {
            Ok(page) => page,
            Err(words) => return Ok(Err(words)),
        };
        let text = |key: Bytes| {
            String::from_utf8(key.into())
                .map_err(|_| StateError::new("a key of a bucket is not text: nobody wrote it"))
        };
        let keys = page.rows.into_iter().map(|(key, _)| text(key)).collect::<Result<_, StateError>>()?;
        Ok(Ok(Keys { keys, more: !page.complete }))
    }

    /// Adds to a number that is kept as decimal text.
    fn add<N: Default + Display + FromStr>(
        &mut self,
        bucket: &Resource<Bucket>,
        key: &str,
        add: impl FnOnce(N) -> Option<N>,
    ) -> Answer<N> {
        let number = match self.value(bucket, key)? {
            Err(words) => return Ok(Err(words)),
            Ok(None) => Some(N::default()),
            Ok(Some(value)) => str::from_utf8(&value).ok().and_then(|text| text.parse().ok()),
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
            let value = match self.value(bucket, &key)? {
                Ok(value) => value,
                Err(words) => return Ok(Err(words)),
            };
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
        let stamp = self.within(|transaction| Ok(transaction.stamp(&space, key.as_bytes())))?;
        Ok(stamp.and_then(|stamp| self.buckets.note(space, key, stamp)))
    }

    /// Whether the key still has the value that was noted: not where this call has written it since, and never where
    /// another call noted it.
    fn is_unchanged(&mut self, cas: &Cas) -> Answer<bool> {
        let stamp = self.within(|transaction| Ok(transaction.stamp(&cas.space, cas.key.as_bytes())))?;
        Ok(stamp.map(|stamp| self.buckets.is_of(cas, stamp)))
    }
}

fn check_batch(keys: usize) -> Result<(), String> {
    if keys <= BATCH_KEYS_MAX {
        return Ok(());
    }
    Err(format!("a batch of {keys} keys; at most {BATCH_KEYS_MAX} are taken"))
}
