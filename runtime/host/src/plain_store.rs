//! `shardloom:shard/store`: the workload's state as the guest has it, key by key and in order.

use bytes::Bytes;

use crate::bindings::shard_handler::shardloom::shard::store;
use crate::guest::Guest;
use crate::key_layout::Space;
use crate::transaction::Refused;
use store::StoreError;

impl store::Host for Guest {
    fn get(&mut self, key: Vec<u8>) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.transaction()?.get(&Space::plain(), &key)?.map(Vec::from))
    }

    fn set(&mut self, key: Vec<u8>, value: Vec<u8>) -> wasmtime::Result<Result<(), StoreError>> {
        Ok(self.transaction()?.set(&Space::plain(), &key, value)?.map_err(StoreError::from))
    }

    fn delete(&mut self, key: Vec<u8>) -> wasmtime::Result<Result<(), StoreError>> {
        Ok(self.transaction()?.delete(&Space::plain(), &key)?.map_err(StoreError::from))
    }

    fn scan(
        &mut self,
        start: Vec<u8>,
        end: Option<Vec<u8>>,
        limit: u32,
    ) -> wasmtime::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let page = self.transaction()?.scan(&Space::plain(), &start, end.as_deref(), limit as usize)?;
        let bytes = |(key, value): (Bytes, Bytes)| (Vec::from(key), Vec::from(value));
        Ok(page.rows.into_iter().map(bytes).collect())
    }
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> StoreError {
        match refused {
            Refused::TooLarge(words) => StoreError::TooLarge(words),
            Refused::Quota(_) => StoreError::QuotaExceeded,
        }
    }
}
