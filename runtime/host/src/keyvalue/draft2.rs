//! `wasi:keyvalue@0.2.0-draft2`: cursors are text, numbers have a sign, and a value can be compared and set.

use wasmtime::component::Resource;

use super::Keys;
use crate::bindings::shard_handler::wasi::keyvalue0_2_0_draft2::{atomics, batch, store};
use crate::buckets::{Bucket, Cas};
use crate::guest::Guest;
use atomics::CasError;
use store::{Error, KeyResponse};

impl store::Host for Guest {
    fn open(&mut self, identifier: String) -> wasmtime::Result<Result<Resource<Bucket>, Error>> {
        Ok(self.buckets.open(&identifier).map_err(Error::Other))
    }
}

impl store::HostBucket for Guest {
    fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let value = self.value(&bucket, &key)?;
        Ok(value.map(|value| value.map(Vec::from)).map_err(Error::Other))
    }

    fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.put(&bucket, &key, value)?.map_err(Error::Other))
    }

    fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.remove(&bucket, &key)?.map_err(Error::Other))
    }

    fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<bool, Error>> {
        Ok(self.value(&bucket, &key)?.map(|value| value.is_some()).map_err(Error::Other))
    }

    /// The cursor is the last key of the page before, so that it holds for ever.
    fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> wasmtime::Result<Result<KeyResponse, Error>> {
        let respond = |page: Keys| {
            let cursor = page.keys.last().filter(|_| page.more).cloned();
            KeyResponse { keys: page.keys, cursor }
        };
        Ok(self.keys(&bucket, cursor.as_deref())?.map(respond).map_err(Error::Other))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.buckets.close(bucket)
    }
}

impl atomics::Host for Guest {
    fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> wasmtime::Result<Result<i64, Error>> {
        Ok(self.add(&bucket, &key, |number: i64| number.checked_add(delta))?.map_err(Error::Other))
    }

    fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> wasmtime::Result<Result<(), CasError>> {
        let cas = self.buckets.forget(cas)?;
        let failed = |words| CasError::StoreError(Error::Other(words));
        match self.is_unchanged(&cas)? {
            Ok(true) => return Ok(self.change(&cas.space, &cas.key, Some(value))?.map_err(failed)),
            Ok(false) => {}
            Err(words) => return Ok(Err(failed(words))),
        }
        let newest = self.note(cas.space, cas.key)?;
        Ok(Err(newest.map_or_else(failed, CasError::CasFailed)))
    }
}

impl atomics::HostCas for Guest {
    fn new(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Result<Resource<Cas>, Error>> {
        let space = self.buckets.space(&bucket)?;
        Ok(self.note(space, key)?.map_err(Error::Other))
    }

    fn current(&mut self, cas: Resource<Cas>) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let Cas { space, key, .. } = self.buckets.noted(&cas)?;
        let (space, key) = (space.clone(), key.clone());
        let value = self.within(|transaction| transaction.get(&space, key.as_bytes()))?;
        Ok(value.map(|value| value.map(Vec::from)).map_err(Error::Other))
    }

    fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.buckets.forget(cas).map(drop)
    }
}

impl batch::Host for Guest {
    fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<(String, Option<Vec<u8>>)>, Error>> {
        Ok(self.values(&bucket, keys)?.map_err(Error::Other))
    }

    fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.put_all(&bucket, pairs)?.map_err(Error::Other))
    }

    fn delete_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.remove_all(&bucket, keys)?.map_err(Error::Other))
    }
}
