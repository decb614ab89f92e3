//! What an instance holds of `wasi:keyvalue`: open buckets, swaps to come, and the cursors of the call under way.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use wasmtime::component::{Resource, ResourceTable};

use crate::key_layout::{BUCKET_NAME_BYTES_MAX, Space};
use crate::limits::Limits;

/// Pages whose cursors are kept for a call; further on, some are forgotten.
const CURSORS_MAX: usize = 1_000;

/// An open bucket.
#[allow(unreachable_pub, reason = "generated code exports it from modules of its own")]
#[derive(Debug, Clone)]
pub struct Bucket(Space);

/// The value that a swap expects: the one that a key had at some point of a call.
#[allow(unreachable_pub, reason = "generated code exports it from modules of its own")]
#[derive(Debug)]
pub struct Cas {
    pub(crate) space: Space,
    pub(crate) key: String,
    /// The call in which it was noted: a swap never reaches from one call into another.
    call: u64,
    /// The write of that call that the value is of; 0 for none.
    stamp: u64,
}

/// What the host keeps of an instance's buckets.
#[derive(Debug)]
pub(crate) struct Buckets {
    table: ResourceTable,
    /// Counts the calls.
    call: u64,
    /// The last keys of this call's pages, by a number that is made of the key: a cursor is never another page's.
    cursors: BTreeMap<u64, String>,
}

impl Buckets {
    pub(crate) fn new(limits: &Limits) -> Buckets {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles as usize);
        Buckets { table, call: 0, cursors: BTreeMap::new() }
    }

    /// At the start of a call.
    pub(crate) fn start(&mut self) {
        self.call += 1;
        self.cursors.clear();
    }

    /// Opens the bucket of that name, whatever it is; says what is wrong where there is no room, or no such name.
    pub(crate) fn open(&mut self, name: &str) -> Result<Resource<Bucket>, String> {
        let space = Space::bucket(name).ok_or_else(|| {
            let bytes = name.len();
            format!("the bucket's name has {bytes} bytes; at most {BUCKET_NAME_BYTES_MAX} are taken")
        })?;
        self.table.push(Bucket(space)).map_err(|error| error.to_string())
    }

    pub(crate) fn space(&self, bucket: &Resource<Bucket>) -> wasmtime::Result<Space> {
        Ok(self.table.get(bucket)?.0.clone())
    }

    pub(crate) fn close(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }

    /// Notes the value that a key has now, by the write that it is of.
    pub(crate) fn note(&mut self, space: Space, key: String, stamp: u64) -> Result<Resource<Cas>, String> {
        let cas = Cas { space, key, call: self.call, stamp };
        self.table.push(cas).map_err(|error| error.to_string())
    }

    pub(crate) fn noted(&self, cas: &Resource<Cas>) -> wasmtime::Result<&Cas> {
        Ok(self.table.get(cas)?)
    }

    pub(crate) fn forget(&mut self, cas: Resource<Cas>) -> wasmtime::Result<Cas> {
        Ok(self.table.delete(cas)?)
    }

    /// Whether the value that was noted is of this write of this call.
    pub(crate) fn is_of(&self, cas: &Cas, stamp: u64) -> bool {
        (cas.call, cas.stamp) == (self.call, stamp)
    }

    /// A number that stands for a page's last key until the call ends.
    pub(crate) fn keep_cursor(&mut self, last: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        last.hash(&mut hasher);
        let cursor = hasher.finish();
        if self.cursors.len() >= CURSORS_MAX {
            self.cursors.pop_first();
        }
        self.cursors.insert(cursor, last.to_owned());
        cursor
    }

    pub(crate) fn find_cursor(&self, cursor: u64) -> Result<String, String> {
        let found = self.cursors.get(&cursor).cloned();
        found.ok_or_else(|| "there is no such cursor: it holds within one call".to_owned())
    }
}
