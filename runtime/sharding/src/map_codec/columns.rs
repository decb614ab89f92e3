//! The sections in between: numbers, and rows of places in the table.

use std::collections::BTreeMap;

use super::bits::{BitReader, BitWriter, bits_of};
use crate::ids::Replica;
use crate::map::{REPLICAS_MAX, Slot};

/// A row's columns: the owner's place, or that there is none, and the others' places.
pub(super) const COLUMNS_MAX: usize = REPLICAS_MAX + 1;

/// The replicas that a list of changes names.
#[derive(Default)]
pub(super) struct Names {
    places: BTreeMap<Replica, u16>,
}

impl Names {
    pub(super) fn add(&mut self, replica: Replica) {
        self.places.insert(replica, 0);
    }

    /// Numbers the replicas in ascending order, and returns them in it.
    pub(super) fn sorted(&mut self) -> Vec<Replica> {
        self.places.values_mut().enumerate().for_each(|(at, place)| *place = at as u16);
        self.places.keys().copied().collect()
    }

    pub(super) fn place(&self, replica: Replica) -> u16 {
        self.places.get(&replica).copied().unwrap_or(u16::MAX)
    }
}

/// Numbers as they are read.
pub(super) struct Numbers<'a> {
    least: u64,
    above: BitReader<'a>,
}

impl<'a> Numbers<'a> {
    pub(super) fn new(least: u64, above: BitReader<'a>) -> Numbers<'a> {
        Numbers { least, above }
    }

    /// Reads one number; `None` if it is above 64 bits.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u64> {
        self.least.checked_add(self.above.next())
    }
}

/// Rows as they are written, of `C` columns each.
pub(super) struct RowWriter<'a, const C: usize> {
    fields: BitWriter<'a>,
    /// The bits of one place, where a whole row fits a field; 0 where each place is a field.
    shift: u32,
}

impl<'a, const C: usize> RowWriter<'a, C> {
    pub(super) fn new(out: &'a mut Vec<u8>, rows: usize, table_len: usize) -> RowWriter<'a, C> {
        let bits = bits_of(table_len as u64);
        let whole = C as u32 * bits <= u64::BITS;
        let (fields, width, shift) = if whole { (rows, C as u32 * bits, bits) } else { (rows * C, bits, 0) };
        RowWriter { fields: BitWriter::new(out, fields, width), shift }
    }

    #[inline]
    pub(super) fn put(&mut self, places: [u16; C]) {
        if self.shift > 0 {
            self.fields.put(places.iter().rev().fold(0, |row, place| row << self.shift | u64::from(*place)));
        } else {
            places.iter().for_each(|place| self.fields.put(u64::from(*place)));
        }
    }

    pub(super) fn end(self) {
        self.fields.end();
    }
}

/// One row as it is read.
#[derive(Clone, Copy)]
pub(super) struct ReadRow {
    pub(super) slots: [Slot; REPLICAS_MAX],
    pub(super) count: u8,
    /// Whether the first of them is the owner's.
    pub(super) owned: bool,
}

/// Rows as they are read, of `C` columns each.
pub(super) struct RowReader<'a, const C: usize> {
    places: BitReader<'a>,
    none: u16,
    /// For tables that name several disks of one node: the node of each place, as the first place that names it.
    nodes: Option<Vec<u16>>,
}

impl<'a, const C: usize> RowReader<'a, C> {
    pub(super) fn new(table: &[Replica], places: BitReader<'a>) -> RowReader<'a, C> {
        let several = table.windows(2).any(|pair| pair[0].node == pair[1].node);
        let first_of = |replica: &Replica| table.partition_point(|entry| entry.node < replica.node) as u16;
        let nodes = several.then(|| table.iter().map(first_of).collect());
        RowReader { places, none: table.len() as u16, nodes }
    }

    /// Reads one row; `None` if no map may say what stands there.
    #[inline]
    pub(super) fn next(&mut self) -> Option<ReadRow> {
        let mut places = [0; C];
        for place in &mut places {
            *place = self.places.next() as u16;
        }
        self.plain(places).or_else(|| self.careful(places))
    }

    /// The usual row: an owner and others, as many as there are columns.
    #[inline]
    fn plain(&self, places: [u16; C]) -> Option<ReadRow> {
        if C == 0 || C > REPLICAS_MAX || self.nodes.is_some() {
            return None;
        }
        let mut slots = [Slot::NONE; REPLICAS_MAX];
        let mut fine = true;
        for (at, place) in places.into_iter().enumerate() {
            fine &= place < self.none;
            if at > 0 {
                fine &= place != places[0];
            }
            if at > 1 {
                fine &= places[at - 1] < place;
            }
            slots[at] = Slot(place);
        }
        fine.then_some(ReadRow { slots, count: C as u8, owned: true })
    }

    #[cold]
    fn careful(&self, places: [u16; C]) -> Option<ReadRow> {
        let mut row = ReadRow { slots: [Slot::NONE; REPLICAS_MAX], count: 0, owned: false };
        let Some((owner, others)) = places.split_first() else { return Some(row) };
        let end = others.iter().position(|place| *place == self.none).unwrap_or(others.len());
        let (others, padding) = others.split_at(end);
        row.owned = *owner != self.none;
        let own = row.owned.then_some(*owner);
        let set = own.iter().chain(others);
        let fine = padding.iter().all(|place| *place == self.none)
            && others.is_sorted_by(|a, b| a < b)
            && !own.is_some_and(|own| others.contains(&own))
            && set.clone().all(|place| *place < self.none)
            && set.clone().count() <= REPLICAS_MAX;
        if !fine {
            return None;
        }
        for place in set {
            row.slots[usize::from(row.count)] = Slot(*place);
            row.count += 1;
        }
        let shared =
            self.nodes.as_ref().is_some_and(|nodes| shares_node(&row.slots[..usize::from(row.count)], nodes));
        (!shared).then_some(row)
    }
}

fn shares_node(slots: &[Slot], nodes: &[u16]) -> bool {
    let node = |slot: &Slot| nodes[slot.index()];
    slots.iter().enumerate().any(|(at, slot)| slots[..at].iter().any(|other| node(other) == node(slot)))
}
