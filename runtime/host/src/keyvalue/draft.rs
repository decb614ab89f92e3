//! `wasi:keyvalue@0.2.0-draft`: cursors are numbers, and there is no compare-and-set.

use wasmtime::component::Resource;

use crate::bindings::shard_handler::wasi::keyvalue0_2_0_draft::{atomics, batch, store};
use crate::buckets::Bucket;
use crate::guest::Guest;
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

    fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> wasmtime::Result<Result<KeyResponse, Error>> {
        let last = match cursor.map(|cursor| self.buckets.find_cursor(cursor)).transpose() {
            Ok(last) => last,
            Err(words) => return Ok(Err(Error::Other(words))),
        };
        let page = match self.keys(&bucket, last.as_deref())? {
            Ok(page) => page,
            Err(words) => return Ok(Err(Error::Other(words))),
        };
        let last = page.keys.last().filter(|_| page.more);
        let cursor = last.map(|last| self.buckets.keep_cursor(last));
        Ok(Ok(KeyResponse { keys: page.keys, cursor }))
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
        delta: u64,
    ) -> wasmtime::Result<Result<u64, Error>> {
        Ok(self.add(&bucket, &key, |number: u64| number.checked_add(delta))?.map_err(Error::Other))
    }
}

impl batch::Host for Guest {
    fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<(String, Vec<u8>)>>, Error>> {
        let values = self.values(&bucket, keys)?;
        let pairs = |values: Vec<(String, Option<Vec<u8>>)>| {
            values.into_iter().map(|(key, value)| Some((key, value?))).collect()
        };
        Ok(values.map(pairs).map_err(Error::Other))
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
