//! The states of all shards on this disk: one table of `state.db`, and what is known of each shard in memory.
//!
//! What is in the database follows the logs: every step of it covers some entries of one log, and the meta record that says up to where is
//! written with them. It is durable after a checkpoint, and the log gives up nothing before.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use shardloom_sharding::ids::ShardId;
use shardloom_store::{Batch, Db, DbError, DiskSpace, Table};
use tokio::sync::Notify;

use super::error::StateError;
use super::fold::Fold;
use super::generations::Generation;
use super::keys::{self, Copy};
use super::limits::{DELETE_ROWS_MAX, STEP_ROOM_BYTES};
use super::meta::{self, KeptReply, ShardMeta};

/// The bytes of a value's key before its [`keys::state_key`].
const STATE_KEY_AT: usize = 9;

/// The copy of a shard's state that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) copy: Copy,
    pub(crate) meta: ShardMeta,
}

#[derive(Debug, Default)]
struct Known {
    /// The copies in use; a shard that is not here uses an empty generation 0.
    current: BTreeMap<ShardId, Current>,
    /// Snapshots that are whole and not in use yet.
    arrived: BTreeMap<Copy, ShardMeta>,
    /// The last generation that was given to any copy.
    newest: BTreeMap<ShardId, u32>,
}

/// The states of all shards on this disk.
#[derive(Debug)]
pub(crate) struct StateDb {
    db: Db,
    table: Table,
    space: DiskSpace,
    known: Mutex<Known>,
    /// A read has found damage.
    broken: Notify,
}

impl StateDb {
    /// Opens the database, or makes it. What is in use says [`StateDb::adopt`]. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// The database is damaged, or the disk fails.
    pub(crate) fn open(dir: &Path, space: &DiskSpace) -> Result<StateDb, StateError> {
        let db = Db::open(dir, "state")?;
        let table = db.table("shards")?;
        Ok(StateDb { db, table, space: space.clone(), known: Mutex::default(), broken: Notify::new() })
    }

    /// Makes sure of room for one step, so that a disk that gets full under it does no harm.
    fn make_room(&self) -> Result<(), StateError> {
        Ok(self.db.make_room(&self.space, STEP_ROOM_BYTES)?)
    }

    /// The room on the disk.
    pub(crate) fn space(&self) -> &DiskSpace {
        &self.space
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when a read has found damage: the node must end.
    pub(crate) async fn broken(&self) {
        self.broken.notified().await;
    }

    /// Takes note of damage that a read has found.
    fn noticing<T>(&self, read: Result<T, DbError>) -> Result<T, StateError> {
        if read.as_ref().is_err_and(DbError::is_damaged) {
            self.broken.notify_one();
        }
        Ok(read?)
    }

    /// How often the database was made durable.
    pub(crate) fn checkpoints(&self) -> u64 {
        self.db.checkpoints()
    }

    /// Makes everything durable that was written before; the new count of checkpoints. Blocks on the disk.
    pub(crate) fn checkpoint(&self) -> Result<u64, StateError> {
        self.make_room()?;
        Ok(self.db.checkpoint()?)
    }

    /// Every copy that has a row. Reads one row of each.
    pub(crate) fn copies(&self) -> Result<Vec<Copy>, StateError> {
        let (mut found, mut start) = (Vec::new(), Bytes::new());
        while let Some((key, _)) = self.table.scan_from(&start, 1)?.pop() {
            let Some((copy, _)) = keys::split(&key) else {
                return Err(StateError::Unreadable { what: "key of a row", shard: ShardId(0) });
            };
            found.push(copy);
            match copy.end() {
                Some(end) => start = end,
                None => break,
            }
        }
        Ok(found)
    }

    /// The meta record of a copy; none if it has none.
    pub(crate) fn meta(&self, copy: Copy) -> Result<Option<ShardMeta>, StateError> {
        let Some(bytes) = self.table.get(&copy.meta())? else { return Ok(None) };
        let meta = ShardMeta::decode(&bytes);
        meta.map(Some).ok_or(StateError::Unreadable { what: "meta record", shard: copy.shard })
    }

    /// Puts a copy into use, at start.
    pub(crate) fn adopt(&self, copy: Copy, meta: ShardMeta) {
        let mut known = self.known();
        known.note(copy);
        known.current.insert(copy.shard, Current { copy, meta });
    }

    /// Takes note of a copy that is not in use, so that its generation is not given again.
    pub(crate) fn note(&self, copy: Copy) {
        self.known().note(copy);
    }

    /// The copy in use, and how far it follows the log.
    pub(crate) fn current(&self, shard: ShardId) -> Current {
        self.known().current(shard)
    }

    /// Writes what some entries leave behind, in one step; says whether the copy is still in use.
    pub(crate) fn store(&self, copy: Copy, fold: Fold) -> Result<bool, StateError> {
        self.make_room()?;
        let Fold { meta: newest, values, replies, .. } = fold;
        let mut batch = Batch::default();
        for (key, value) in values {
            match value {
                Some(value) => batch.put(copy.state(&key), value),
                None => batch.remove(copy.state(&key)),
            }
        }
        for (place, page) in self.pages(copy, replies)? {
            batch.put(copy.replies_at(place), meta::encode_page(&page));
        }
        batch.put(copy.meta(), newest.encode());
        self.table.apply(batch)?;
        let mut known = self.known();
        if known.current(copy.shard).copy != copy {
            return Ok(false);
        }
        known.current.insert(copy.shard, Current { copy, meta: newest });
        Ok(true)
    }

    /// A value by its [`keys::state_key`].
    pub(crate) fn get(&self, copy: Copy, state_key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.noticing(self.table.get(&copy.state(state_key)))
    }

    /// The length of a value.
    pub(crate) fn value_bytes(&self, copy: Copy, state_key: &[u8]) -> Result<Option<usize>, StateError> {
        self.noticing(self.table.value_bytes(&copy.state(state_key)))
    }

    /// At most `rows` values from one [`keys::state_key`] to before another, in order.
    pub(crate) fn page(
        &self,
        copy: Copy,
        (start, end): (&Bytes, &Bytes),
        rows: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        let found = self.noticing(self.table.scan(&copy.state(start)..&copy.state(end), rows))?;
        Ok(found.into_iter().map(|(key, value)| (key.slice(STATE_KEY_AT..), value)).collect())
    }

    /// All replies that are kept.
    pub(crate) fn replies(&self, copy: Copy) -> Result<Vec<KeptReply>, StateError> {
        let range = copy.replies();
        let rows = self.noticing(self.table.scan(&range.start..&range.end, usize::from(u8::MAX) + 1))?;
        let mut replies = Vec::new();
        for (_, bytes) in &rows {
            replies.append(&mut read_page(copy, bytes)?);
        }
        Ok(replies)
    }

    /// The replies at a place.
    fn page_at(&self, copy: Copy, place: u8) -> Result<Vec<KeptReply>, StateError> {
        match self.noticing(self.table.get(&copy.replies_at(place)))? {
            Some(bytes) => read_page(copy, &bytes),
            None => Ok(Vec::new()),
        }
    }

    /// The pages with these replies in them, by their places; of a page that was begun before, what is in it stays.
    fn pages(
        &self,
        copy: Copy,
        replies: BTreeMap<u64, KeptReply>,
    ) -> Result<BTreeMap<u8, Vec<KeptReply>>, StateError> {
        let mut pages: BTreeMap<u8, Vec<KeptReply>> = BTreeMap::new();
        if let Some(first) = replies.keys().next().copied() {
            let page = meta::page(first);
            let mut begun = self.page_at(copy, meta::place(page))?;
            begun.retain(|kept| meta::page(kept.ordinal) == page && kept.ordinal < first);
            pages.insert(meta::place(page), begun);
        }
        for (ordinal, kept) in replies {
            pages.entry(meta::place(meta::page(ordinal))).or_default().push(kept);
        }
        Ok(pages)
    }

    /// A reply by its ordinal, if it is still kept.
    pub(crate) fn reply(&self, copy: Copy, ordinal: u64) -> Result<Option<KeptReply>, StateError> {
        let page = self.page_at(copy, meta::place(meta::page(ordinal)))?;
        Ok(page.into_iter().find(|kept| kept.ordinal == ordinal))
    }

    /// At most `rows` rows of a copy from `start` on, in order, by what follows shard and generation in their keys.
    pub(crate) fn rows(
        &self,
        copy: Copy,
        start: &[u8],
        rows: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        let start = copy.row(start);
        let found = match copy.end() {
            Some(end) => self.table.scan(&start..&end, rows),
            None => self.table.scan_from(&start, rows),
        };
        let found = self.noticing(found)?;
        Ok(found.into_iter().filter_map(|(key, value)| Some((keys::split(&key)?.1, value))).collect())
    }

    /// A copy for a snapshot that begins to arrive.
    pub(crate) fn side_copy(&self, shard: ShardId) -> Copy {
        let mut known = self.known();
        let copy = Copy { shard, generation: known.newest_generation(shard) + 1 };
        known.note(copy);
        copy
    }

    /// Puts rows of a snapshot into its copy.
    pub(crate) fn take_in(&self, copy: Copy, rows: Vec<(Bytes, Bytes)>) -> Result<(), StateError> {
        self.make_room()?;
        let mut batch = Batch::default();
        for (key, value) in rows {
            batch.put(copy.row(&key), value);
        }
        Ok(self.table.apply(batch)?)
    }

    /// Ends a snapshot: it is whole, and durable once this returns, with the new count of checkpoints. Blocks on the disk.
    pub(crate) fn arrived(&self, copy: Copy, meta: ShardMeta) -> Result<u64, StateError> {
        self.make_room()?;
        self.table.put(&copy.meta(), &meta.encode())?;
        let checkpoints = self.checkpoint()?;
        self.known().arrived.insert(copy, meta);
        Ok(checkpoints)
    }

    /// Puts a snapshot into use: what is to be written of it, and the copy that is to go.
    ///
    /// # Errors
    ///
    /// There is no such snapshot.
    pub(crate) fn install(&self, copy: Copy) -> Result<(Generation, Copy), StateError> {
        let mut known = self.known();
        let no_snapshot = StateError::NoSnapshot { shard: copy.shard, generation: copy.generation };
        let meta = known.arrived.remove(&copy).ok_or(no_snapshot)?;
        let generation = Generation { number: copy.generation, base: meta.applied };
        Ok((generation, known.replace(copy, meta)))
    }

    /// Ends the use of a shard's state: what is to be written of that, and the copy that is to go.
    pub(crate) fn give_up(&self, shard: ShardId) -> (Generation, Copy) {
        let copy = self.side_copy(shard);
        let mut known = self.known();
        let generation = Generation { number: copy.generation, ..Generation::default() };
        (generation, known.replace(copy, ShardMeta::default()))
    }

    /// Forgets a snapshot that is not to be used; its rows are still to be deleted.
    pub(crate) fn forget(&self, copy: Copy) {
        self.known().arrived.remove(&copy);
    }

    /// Deletes some rows of a copy that is not in use; says whether none is left.
    pub(crate) fn delete_some(&self, copy: Copy) -> Result<bool, StateError> {
        self.make_room()?;
        let rows = self.rows(copy, &[], DELETE_ROWS_MAX)?;
        let done = rows.len() < DELETE_ROWS_MAX;
        let mut batch = Batch::default();
        rows.into_iter().for_each(|(key, _)| batch.remove(copy.row(&key)));
        self.table.apply(batch)?;
        Ok(done)
    }
}

fn read_page(copy: Copy, bytes: &Bytes) -> Result<Vec<KeptReply>, StateError> {
    meta::decode_page(bytes).ok_or(StateError::Unreadable { what: "page of replies", shard: copy.shard })
}

impl Known {
    fn current(&self, shard: ShardId) -> Current {
        let empty = || Current { copy: Copy { shard, generation: 0 }, meta: ShardMeta::default() };
        self.current.get(&shard).cloned().unwrap_or_else(empty)
    }

    fn newest_generation(&self, shard: ShardId) -> u32 {
        self.newest.get(&shard).copied().unwrap_or(0)
    }

    fn note(&mut self, copy: Copy) {
        let newest = self.newest.entry(copy.shard).or_default();
        *newest = copy.generation.max(*newest);
    }

    fn replace(&mut self, copy: Copy, meta: ShardMeta) -> Copy {
        let old = self.current(copy.shard).copy;
        self.current.insert(copy.shard, Current { copy, meta });
        old
    }
}
