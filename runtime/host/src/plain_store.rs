//! `shardloom:shard/store`: the workload's state as the guest has it, key by key and in order.

use bytes::Bytes;

use crate::bindings::shard_handler::shardloom::shard::store;
use crate::guest::Guest;
use crate::key_layout::Space;
use crate::stage::Closed;
use crate::transaction::Refused;
use store::StoreError;

impl store::Host for Guest {
    fn get(&mut self, key: Vec<u8>) -> wasmtime::Result<Option<Vec<u8>>> {
        let value = self.stage.within(|transaction| transaction.get(&Space::plain(), &key))??;
        Ok(value.map(Vec::from))
    }

    fn set(&mut self, key: Vec<u8>, value: Vec<u8>) -> wasmtime::Result<Result<(), StoreError>> {
        Ok(taken(self.stage.within(|transaction| transaction.set(&Space::plain(), &key, value))?))
    }

    fn delete(&mut self, key: Vec<u8>) -> wasmtime::Result<Result<(), StoreError>> {
        Ok(taken(self.stage.within(|transaction| transaction.delete(&Space::plain(), &key))?))
    }

    fn scan(
        &mut self,
        start: Vec<u8>,
        end: Option<Vec<u8>>,
        limit: u32,
    ) -> wasmtime::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let (end, limit) = (end.as_deref(), limit as usize);
        let page =
            self.stage.within(|transaction| transaction.scan(&Space::plain(), &start, end, limit))??;
        let bytes = |(key, value): (Bytes, Bytes)| (Vec::from(key), Vec::from(value));
        Ok(page.rows.into_iter().map(bytes).collect())
    }
}

/// Whether a change was taken. What is read in vain has no error to answer with: it traps.
fn taken(result: Result<Result<(), Refused>, Closed>) -> Result<(), StoreError> {
    result.map_err(|Closed| StoreError::Closed)?.map_err(StoreError::from)
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> StoreError {
        match refused {
            Refused::TooLarge(words) => StoreError::TooLarge(words),
            Refused::Quota(_) => StoreError::QuotaExceeded,
        }
    }
}
