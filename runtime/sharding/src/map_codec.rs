//! The map and the changes of a proposal as bytes, for the control log and its snapshots.
//!
//! Random names stand once, in a table; shards refer to it by as few bits as its length needs. Numbers that lie close to each
//! other (epochs, gaps between shards) are written as the smallest and the bits of what exceeds it. Little-endian throughout;
//! a *varint* has seven bits a byte, the lowest first, with the top bit set in all bytes but the last.
//!
//! ```text
//! map      "SLmp"  magic                        changes  "SLch"  magic
//!          u8      format version: 1                     u8      format version: 1
//!          varint  shard count                           varint  how many changes
//!          table   of replicas                           table   of replicas
//!          numbers epoch of each shard                   numbers shard of each change, less its place in the list
//!          rows    one for each shard                    numbers base of each change
//!          u32     CRC-32 of all before                  rows    one for each change
//!                                                        u32     CRC-32 of all before
//!
//! table    varint  how many, n                  numbers  varint  the smallest, m
//!          n x     u64 node, u64 disk                    u8      b, the bits of the largest less m
//!                  in ascending order                    bits    number - m, in b bits each
//!
//! rows     u8      c, the columns: owner, others
//!          bits    c places in the table for each row, in as many bits as n takes: the owner's replica (n: no owner), then
//!                  the others in ascending order, then n up to c columns
//!
//! bits     fields follow each other from the lowest bit of a 64-bit word to its highest, and on in the next word;
//!          unused bits of the last word are 0
//! ```
//!
//! Equal maps have equal bytes. Decoding believes nothing: lengths are checked against the bytes there are before anything is
//! allocated, and what no map may say is an error even under a matching checksum.

mod bits;
mod columns;
mod frame;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::change::Change;
use crate::ids::{Epoch, Replica, ShardId};
use crate::map::{AssignError, REPLICAS_MAX, Row, SHARD_COUNT_MAX, ShardMap, Slot, in_order};
use columns::{Rows, table_place};
use frame::{Kind, Reader, Writer};

/// The bytes are no map, or no changes, of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end too early, or go on where they should end.
    #[error("{bytes} bytes are not the length of what they hold")]
    Length {
        /// How many there are.
        bytes: usize,
    },
    /// The bytes are something else.
    #[error("not a shard map or a list of its changes")]
    Magic,
    /// Another release wrote this.
    #[error("format version {version} is not one that this release reads")]
    Version {
        /// The version found.
        version: u8,
    },
    /// The bytes are damaged.
    #[error("the checksum does not match")]
    Checksum,
    /// The checksum matches, and still no map may say this.
    #[error("impossible contents: {what}")]
    Impossible {
        /// What is wrong.
        what: &'static str,
    },
}

/// Writes a map.
pub fn encode_map(map: &ShardMap) -> Vec<u8> {
    let (table, places) = map.table().sorted();
    let none = table.len() as u16;
    let place = |slot: Slot| places.get(slot.index()).copied().unwrap_or(none);

    let mut writer = Writer::new(Kind::Map);
    writer.varint(map.rows().len() as u64);
    writer.table(&table);
    writer.numbers(map.rows().iter().map(|row| row.epoch.0));
    let columns = map.rows().iter().map(|row| columns_of(row.replica_count, row.owner != Slot::NONE)).max();
    let mut rows = writer.rows(columns.unwrap_or(0), table.len(), map.rows().len());
    for row in map.rows() {
        let others = if row.owner == Slot::NONE { row.slots() } else { row.slots().get(1..).unwrap_or(&[]) };
        rows.put(place(row.owner), others.iter().map(|slot| place(*slot)));
    }
    rows.end();
    writer.close()
}

/// Reads a map.
///
/// # Errors
/// [`CodecError`] for bytes that [`encode_map`] has not written.
pub fn decode_map(bytes: &[u8]) -> Result<ShardMap, CodecError> {
    let mut reader = Reader::open(Kind::Map, bytes)?;
    let shard_count = reader.count(SHARD_COUNT_MAX as usize, "more shards than there may be")?;
    let table = reader.table()?;
    let epochs = reader.numbers(shard_count)?;
    let rows = reader.rows(&table, shard_count)?;
    reader.close()?;
    read_map(epochs, rows, &table)
}

fn read_map(
    mut epochs: columns::Numbers<'_>,
    mut packed: Rows<'_>,
    table: &[Replica],
) -> Result<ShardMap, CodecError> {
    let mut rows = Vec::with_capacity(packed.len());
    let mut uses = vec![(0, 0); table.len()];
    for _ in 0..packed.len() {
        let mut row = Row { epoch: Epoch(epochs.next()?), ..Row::UNSET };
        let (owned, count) = packed.next(&mut row.replicas)?;
        row.replica_count = count as u8;
        if owned {
            row.owner = row.replicas[0];
            uses[row.owner.index()].0 += 1;
        }
        for slot in row.slots() {
            uses[slot.index()].1 += 1;
        }
        rows.push(row);
    }
    if uses.iter().any(|(_, held)| *held == 0) {
        return Err(CodecError::Impossible { what: "a replica in the table that no shard has" });
    }
    Ok(ShardMap::from_parts(rows, table, &uses))
}

/// Writes the changes of one proposal, in ascending order of shards.
///
/// # Errors
/// [`AssignError`] if a change is one that no map could take.
pub fn encode_changes(changes: &[Change]) -> Result<Vec<u8>, AssignError> {
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by_key(|change| change.shard);
    check(&sorted)?;
    let mut table: Vec<Replica> = changes.iter().flat_map(|change| change.replicas.iter().copied()).collect();
    table.sort_unstable();
    table.dedup();

    let mut writer = Writer::new(Kind::Changes);
    writer.varint(sorted.len() as u64);
    writer.table(&table);
    writer.numbers(sorted.iter().enumerate().map(|(place, change)| u64::from(change.shard.0) - place as u64));
    writer.numbers(sorted.iter().map(|change| change.base.0));
    let columns = sorted.iter().map(|change| change.replicas.len()).max().unwrap_or(0);
    let mut rows = writer.rows(columns, table.len(), sorted.len());
    for change in sorted {
        let mut ordered = [Replica::default(); REPLICAS_MAX];
        let ordered = in_order(change.shard, Some(change.owner), &change.replicas, &mut ordered)?;
        let mut places = ordered.iter().map(|replica| table_place(&table, *replica));
        let owner = places.next().unwrap_or(table.len() as u16);
        rows.put(owner, places);
    }
    rows.end();
    Ok(writer.close())
}

/// Looks at what holds between changes; each by itself is checked when it is written.
fn check(sorted: &[&Change]) -> Result<(), AssignError> {
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0].shard == pair[1].shard) {
        return Err(AssignError::ShardTwice { shard: twice[0].shard });
    }
    match sorted.last() {
        Some(last) if last.shard.0 >= SHARD_COUNT_MAX => {
            Err(AssignError::UnknownShard { shard: last.shard, shard_count: SHARD_COUNT_MAX })
        }
        _ => Ok(()),
    }
}

/// Reads the changes of one proposal: in ascending order of shards, the owner's replica first.
///
/// # Errors
/// [`CodecError`] for bytes that [`encode_changes`] has not written.
pub fn decode_changes(bytes: &[u8]) -> Result<Vec<Change>, CodecError> {
    let mut reader = Reader::open(Kind::Changes, bytes)?;
    let count = reader.count(SHARD_COUNT_MAX as usize, "more changes than there may be shards")?;
    let table = reader.table()?;
    let mut shards = reader.numbers(count)?;
    let mut bases = reader.numbers(count)?;
    let mut rows = reader.rows(&table, count)?;
    reader.close()?;

    let mut changes = Vec::with_capacity(count);
    let mut least = 0;
    for place in 0..count as u64 {
        let above = shards.next()?;
        if above < least || above + place >= u64::from(SHARD_COUNT_MAX) {
            return Err(CodecError::Impossible { what: "shards that do not ascend" });
        }
        least = above;
        let mut slots = [Slot::NONE; REPLICAS_MAX];
        let (owned, replica_count) = rows.next(&mut slots)?;
        if !owned {
            return Err(CodecError::Impossible { what: "a change without an owner" });
        }
        let replica = |slot: &Slot| table[slot.index()];
        changes.push(Change {
            shard: ShardId((above + place) as u32),
            base: Epoch(bases.next()?),
            owner: replica(&slots[0]).node,
            replicas: slots[..replica_count].iter().map(replica).collect(),
        });
    }
    Ok(changes)
}

/// How many columns a row takes: one more than its replicas if none of them is the owner's.
fn columns_of(replica_count: u8, owned: bool) -> usize {
    let replicas = usize::from(replica_count);
    if owned || replicas == 0 { replicas } else { replicas + 1 }
}

/// A map travels inside other messages and snapshots as its own bytes.
impl Serialize for ShardMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&encode_map(self))
    }
}

impl<'de> Deserialize<'de> for ShardMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(frame::MapBytes)
    }
}
