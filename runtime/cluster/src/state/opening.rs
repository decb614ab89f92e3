//! Opens `state.db` and holds it against the write-ahead log, which knows what it was trusted with.
//!
//! A database that is damaged, or older than what its logs have given up for it, is never used: this disk's replicas have lost data. They are
//! given up as a whole. The write-ahead log stays, because the control group's votes and seals are in it and are sound; its shard logs go, and
//! the disk takes another identity, so that the cluster counts it as a new disk and makes its replicas anew.

use bytes::Bytes;
use shardloom_sharding::ids::{DiskId, Position, ShardId};
use shardloom_store::{DataDir, DiskSpace, LogId, Record, Wal};
use tokio::runtime::Handle;

use super::db::StateDb;
use super::error::StateError;
use super::generations::Generation;
use super::keys::Copy;
use crate::slots;

/// The directory of the database in the data directory.
const NAME: &str = "state.db";
/// Records in one submission: within what the write-ahead log takes at once.
const RECORDS_MAX: usize = 10_000;

/// What is open.
#[derive(Debug)]
pub(crate) struct OpenedState {
    pub(crate) db: StateDb,
    /// The disk of this node's replicas.
    pub(crate) disk: DiskId,
    /// Copies that nobody uses any more.
    pub(crate) garbage: Vec<Copy>,
}

/// Opens the database; where it is not what it must be, it is put aside and the disk renewed. Blocks on the disk; to be called where blocking is
/// allowed, in a runtime.
///
/// # Errors
///
/// The disk fails.
pub(crate) fn open(
    dir: &DataDir,
    wal: &Wal,
    wal_disk: DiskId,
    space: &DiskSpace,
) -> Result<OpenedState, StateError> {
    let disk = wal.register(slots::DISK).and_then(|value| value.first_chunk().copied());
    let old_disk = disk.map_or(wal_disk, |bytes| DiskId(u64::from_le_bytes(bytes)));
    let damage = match StateDb::open(&dir.join(NAME), space) {
        Ok(db) => match check(&db, wal) {
            Ok(Ok(garbage)) => return Ok(OpenedState { db, disk: old_disk, garbage }),
            Ok(Err(damage)) => damage,
            Err(error) if is_damage(&error) => error.to_string(),
            Err(error) => return Err(error),
        },
        Err(error) if is_damage(&error) => error.to_string(),
        Err(error) => return Err(error),
    };
    let aside = dir.set_aside(NAME)?;
    let disk = renew(wal)?;
    tracing::error!(
        damage, old_disk = %old_disk, new_disk = %disk, put_aside = %aside.display(),
        "the state of this disk's replicas is damaged: the disk starts anew under another identity, and its replicas are made anew from their peers"
    );
    Ok(OpenedState { db: StateDb::open(&dir.join(NAME), space)?, disk, garbage: Vec::new() })
}

fn is_damage(error: &StateError) -> bool {
    match error {
        StateError::Db(error) => error.is_damaged(),
        StateError::Unreadable { .. } => true,
        _ => false,
    }
}

/// Puts the right copies into use; the copies that are left over, or what is wrong.
fn check(db: &StateDb, wal: &Wal) -> Result<Result<Vec<Copy>, String>, StateError> {
    let counted = wal.register(slots::STATE_CHECKPOINTS).and_then(|value| value.first_chunk().copied());
    let counted = counted.map_or(0, u64::from_le_bytes);
    if db.checkpoints() < counted {
        return Ok(Err(format!(
            "it has counted {} checkpoints, and the log knows of {counted}",
            db.checkpoints()
        )));
    }
    let mut garbage = Vec::new();
    for copy in db.copies()? {
        if generation(wal, copy.shard)?.number != copy.generation {
            db.note(copy);
            garbage.push(copy);
            continue;
        }
        let Some(meta) = db.meta(copy)? else {
            return Ok(Err(format!("the meta record of shard {} is missing", copy.shard)));
        };
        db.adopt(copy, meta);
    }
    let states = slots::STATES..slots::STATES + (1 << 32);
    for (slot, _) in wal.registers(states) {
        let shard = ShardId((slot - slots::STATES) as u32);
        let Generation { number, base } = generation(wal, shard)?;
        let current = db.current(shard);
        if current.copy.generation != number && base.position > Position(0) {
            return Ok(Err(format!("the state of shard {shard} is missing")));
        }
        if current.copy.generation != number {
            db.adopt(Copy { shard, generation: number }, Default::default());
        }
        if db.current(shard).meta.applied < base {
            return Ok(Err(format!("the state of shard {shard} is older than its snapshot")));
        }
    }
    for (log, shard) in wal.logs().into_iter().filter_map(|log| Some((log, log.as_shard()?))) {
        let applied = db.current(shard).meta.applied.position.0;
        let (purged, last) = (wal.purged_index(log).unwrap_or(0), wal.last_index(log).unwrap_or(0));
        if applied < purged || applied > last {
            return Ok(Err(format!(
                "the state of shard {shard} ends at {applied}; its log holds what comes after {purged}, up to {last}"
            )));
        }
    }
    Ok(Ok(garbage))
}

fn generation(wal: &Wal, shard: ShardId) -> Result<Generation, StateError> {
    match wal.register(slots::STATES + u64::from(shard.0)) {
        None => Ok(Generation::default()),
        Some(value) => Generation::decode(&value)
            .ok_or(StateError::Unreadable { what: "register with the generation", shard }),
    }
}

/// Gives up all replicas of this disk, and gives it another identity: that first, so that what a crash leaves is a new disk in any case.
fn renew(wal: &Wal) -> Result<DiskId, StateError> {
    let random = getrandom::u64().map_err(|error| StateError::Random(error.to_string()))?;
    let disk = DiskId(random);
    let value = Bytes::copy_from_slice(&disk.0.to_le_bytes());
    let mut records =
        vec![Record::Set { slot: slots::DISK, value }, Record::Clear { slot: slots::STATE_CHECKPOINTS }];
    let states = slots::STATES..slots::STATES + (1 << 32);
    records.extend(wal.registers(states).into_iter().map(|(slot, _)| Record::Clear { slot }));
    let logs: Vec<LogId> = wal.logs();
    records.extend(logs.into_iter().filter(|log| log.as_shard().is_some()).map(|log| Record::Drop { log }));
    let handle = Handle::current();
    for records in records.chunks(RECORDS_MAX) {
        handle.block_on(async { wal.submit(records.to_vec()).await?.durable().await })?;
    }
    Ok(disk)
}
