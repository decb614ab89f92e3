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
use crate::map::{AssignError, REPLICAS_MAX, Row, SHARD_COUNT_MAX, ShardMap, Slot, Uses, in_order};
use columns::{COLUMNS_MAX, Names, Numbers, RowReader};
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
    let mut epochs = (u64::MAX, 0);
    let mut columns = 0;
    for row in map.rows() {
        epochs = (epochs.0.min(row.epoch.0), epochs.1.max(row.epoch.0));
        columns = columns.max(columns_of(row));
    }
    let mut writer = Writer::new(Kind::Map);
    writer.varint(map.rows().len() as u64);
    writer.table(&table);
    writer.numbers(epochs, map.rows().iter().map(|row| row.epoch.0));
    let none = table.len() as u16;
    match columns {
        0 => write_rows::<0>(&mut writer, map.rows(), &places, none),
        1 => write_rows::<1>(&mut writer, map.rows(), &places, none),
        2 => write_rows::<2>(&mut writer, map.rows(), &places, none),
        3 => write_rows::<3>(&mut writer, map.rows(), &places, none),
        4 => write_rows::<4>(&mut writer, map.rows(), &places, none),
        5 => write_rows::<5>(&mut writer, map.rows(), &places, none),
        _ => write_rows::<COLUMNS_MAX>(&mut writer, map.rows(), &places, none),
    }
    writer.close()
}

fn write_rows<const C: usize>(writer: &mut Writer, rows: &[Row], places: &[u16], none: u16) {
    let place = |slot: Slot| places.get(slot.index()).copied().unwrap_or(none);
    let columns = |row: &Row| {
        if row.owner != Slot::NONE || row.replica_count == 0 {
            std::array::from_fn(|column| row.replicas.get(column).map_or(none, |slot| place(*slot)))
        } else {
            // Without an owner, the replicas begin at the second column.
            let slot = |column: usize| column.checked_sub(1).and_then(|at| row.replicas.get(at));
            std::array::from_fn::<u16, C, _>(|column| slot(column).map_or(none, |slot| place(*slot)))
        }
    };
    writer.rows(usize::from(none), rows.iter().map(columns));
}

/// How many columns a row takes: one more than its replicas if none of them is the owner's.
fn columns_of(row: &Row) -> usize {
    let ownerless = row.owner == Slot::NONE && row.replica_count > 0;
    usize::from(row.replica_count) + usize::from(ownerless)
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
    let (columns, packed) = reader.rows(table.len(), shard_count)?;
    reader.close()?;
    match columns {
        0 => read_map::<0>(shard_count, epochs, packed, &table),
        1 => read_map::<1>(shard_count, epochs, packed, &table),
        2 => read_map::<2>(shard_count, epochs, packed, &table),
        3 => read_map::<3>(shard_count, epochs, packed, &table),
        4 => read_map::<4>(shard_count, epochs, packed, &table),
        5 => read_map::<5>(shard_count, epochs, packed, &table),
        _ => read_map::<COLUMNS_MAX>(shard_count, epochs, packed, &table),
    }
}

fn read_map<const C: usize>(
    shard_count: usize,
    epochs: Numbers<'_>,
    packed: &[u8],
    table: &[Replica],
) -> Result<ShardMap, CodecError> {
    let packed = RowReader::<C>::new(table, shard_count, packed);
    let rows = if packed.all_plain() && epochs.all_fit() {
        plain_rows(&packed, &epochs)
    } else {
        careful_rows(shard_count, &packed, &epochs)?
    };
    let mut uses = vec![Uses::default(); table.len()];
    for row in &rows {
        if let Some(uses) = uses.get_mut(row.owner.index()) {
            uses.owned += 1;
        }
        for slot in row.slots() {
            uses[slot.index()].held += 1;
        }
    }
    if uses.iter().any(|uses| uses.held == 0) {
        return Err(CodecError::Impossible { what: "a replica in the table that no shard has" });
    }
    Ok(ShardMap::from_parts(rows, table, &uses))
}

/// Every row is an owner and others in as many columns as there are: nothing to look at row by row.
fn plain_rows<const C: usize>(packed: &RowReader<C>, epochs: &Numbers<'_>) -> Vec<Row> {
    let row = |(at, places): (usize, &[u16; C])| Row {
        epoch: Epoch(epochs.at_fitting(at)),
        replicas: std::array::from_fn(|column| places.get(column).map_or(Slot::NONE, |place| Slot(*place))),
        owner: places.first().map_or(Slot::NONE, |place| Slot(*place)),
        replica_count: C as u8,
    };
    let mut rows = Vec::with_capacity(packed.len());
    rows.extend(packed.plain().enumerate().map(row));
    rows
}

fn careful_rows<const C: usize>(
    shard_count: usize,
    packed: &RowReader<C>,
    epochs: &Numbers<'_>,
) -> Result<Vec<Row>, CodecError> {
    let mut rows = vec![Row::UNSET; shard_count];
    for (at, row) in rows.iter_mut().enumerate() {
        let (Some(epoch), Some(shape)) = (epochs.at(at), packed.row(at, &mut row.replicas)) else {
            return Err(CodecError::Impossible { what: "owners, replicas or epochs that cannot be" });
        };
        row.epoch = Epoch(epoch);
        row.replica_count = shape.count;
        if shape.owned {
            row.owner = row.replicas[0];
        }
    }
    Ok(rows)
}

/// Writes the changes of one proposal, in ascending order of shards.
///
/// # Errors
/// [`AssignError`] if a change is one that no map could take.
pub fn encode_changes(changes: &[Change]) -> Result<Vec<u8>, AssignError> {
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by_key(|change| change.shard);
    check(&sorted)?;
    let mut names = Names::default();
    for change in &sorted {
        change.replicas.iter().for_each(|replica| names.add(*replica));
    }
    let table = names.sorted();
    let mut rows = Vec::with_capacity(sorted.len());
    for change in &sorted {
        let mut ordered = [Replica::default(); REPLICAS_MAX];
        let ordered = in_order(change.shard, Some(change.owner), &change.replicas, &mut ordered)?;
        let mut row = [table.len() as u16; REPLICAS_MAX];
        row.iter_mut().zip(ordered).for_each(|(place, replica)| *place = names.place(*replica));
        rows.push(row);
    }

    let above = |(place, change): (usize, &&Change)| u64::from(change.shard.0) - place as u64;
    let mut writer = Writer::new(Kind::Changes);
    writer.varint(sorted.len() as u64);
    writer.table(&table);
    writer.numbers(range(sorted.iter().enumerate().map(above)), sorted.iter().enumerate().map(above));
    let bases = sorted.iter().map(|change| change.base.0);
    writer.numbers(range(bases.clone()), bases);
    let columns = sorted.iter().map(|change| change.replicas.len()).max().unwrap_or(0);
    match columns {
        0..=1 => writer.rows(table.len(), rows.iter().map(first::<1>)),
        2 => writer.rows(table.len(), rows.iter().map(first::<2>)),
        3 => writer.rows(table.len(), rows.iter().map(first::<3>)),
        4 => writer.rows(table.len(), rows.iter().map(first::<4>)),
        _ => writer.rows(table.len(), rows.iter().map(first::<5>)),
    }
    Ok(writer.close())
}

fn first<const C: usize>(row: &[u16; REPLICAS_MAX]) -> [u16; C] {
    std::array::from_fn(|column| row[column])
}

fn range(numbers: impl Iterator<Item = u64>) -> (u64, u64) {
    numbers.fold((u64::MAX, 0), |(least, most), number| (least.min(number), most.max(number)))
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
    let shards = reader.numbers(count)?;
    let bases = reader.numbers(count)?;
    let (columns, packed) = reader.rows(table.len(), count)?;
    reader.close()?;
    let changes = match columns {
        1 => read_changes::<1>(count, shards, bases, packed, &table),
        2 => read_changes::<2>(count, shards, bases, packed, &table),
        3 => read_changes::<3>(count, shards, bases, packed, &table),
        4 => read_changes::<4>(count, shards, bases, packed, &table),
        5 => read_changes::<5>(count, shards, bases, packed, &table),
        _ => None,
    };
    changes.ok_or(CodecError::Impossible { what: "shards, owners, replicas or epochs that cannot be" })
}

fn read_changes<const C: usize>(
    count: usize,
    shards: Numbers<'_>,
    bases: Numbers<'_>,
    packed: &[u8],
    table: &[Replica],
) -> Option<Vec<Change>> {
    let rows = RowReader::<C>::new(table, count, packed);
    let mut changes = Vec::with_capacity(count);
    let mut least = 0;
    for at in 0..count {
        let place = at as u64;
        let above = shards.at(at)?;
        if above < least || above + place >= u64::from(SHARD_COUNT_MAX) {
            return None;
        }
        least = above;
        let base = Epoch(bases.at(at)?);
        let mut slots = [Slot::NONE; REPLICAS_MAX];
        let shape = rows.row(at, &mut slots).filter(|shape| shape.owned)?;
        let replica = |slot: &Slot| table[slot.index()];
        let owner = replica(&slots[0]).node;
        let replicas = slots[..usize::from(shape.count)].iter().map(replica).collect();
        changes.push(Change { shard: ShardId((above + place) as u32), base, owner, replicas });
    }
    Some(changes)
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
