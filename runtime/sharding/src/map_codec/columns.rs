//! The sections in between: numbers, and rows of places in the table.

use super::CodecError;
use super::bits::{BitReader, BitWriter};
use crate::ids::Replica;
use crate::map::{REPLICAS_MAX, Slot};

/// Finds a replica's place in a sorted table that has it.
pub(super) fn table_place(table: &[Replica], replica: Replica) -> u16 {
    table.partition_point(|entry| *entry < replica) as u16
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

    #[inline]
    pub(super) fn next(&mut self) -> Result<u64, CodecError> {
        let number = self.least.checked_add(self.above.next());
        number.ok_or(CodecError::Impossible { what: "a number above 64 bits" })
    }
}

/// Rows as they are written.
pub(super) struct PlacesWriter<'a> {
    fields: BitWriter<'a>,
    columns: usize,
    none: u16,
}

impl<'a> PlacesWriter<'a> {
    pub(super) fn new(fields: BitWriter<'a>, columns: usize, none: u16) -> PlacesWriter<'a> {
        PlacesWriter { fields, columns, none }
    }

    /// Appends one row: the owner's place or none, and the others in ascending order.
    #[inline]
    pub(super) fn put(&mut self, owner: u16, others: impl Iterator<Item = u16>) {
        let mut left = self.columns;
        let padding = std::iter::repeat(self.none);
        for place in std::iter::once(owner).chain(others).chain(padding) {
            if left == 0 {
                break;
            }
            self.fields.put(u64::from(place));
            left -= 1;
        }
    }

    pub(super) fn end(self) {
        self.fields.end();
    }
}

/// Rows as they are read.
pub(super) struct Rows<'a> {
    count: usize,
    columns: usize,
    places: BitReader<'a>,
    none: u16,
    /// For tables that name several disks of one node: the node of each place, as the first place that names it.
    nodes: Option<Vec<u16>>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(table: &[Replica], count: usize, columns: usize, places: BitReader<'a>) -> Rows<'a> {
        let several = table.windows(2).any(|pair| pair[0].node == pair[1].node);
        let first_of = |replica: &Replica| table.partition_point(|entry| entry.node < replica.node) as u16;
        let nodes = several.then(|| table.iter().map(first_of).collect());
        Rows { count, columns, places, none: table.len() as u16, nodes }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Reads one row into `slots`; returns whether the first of them is the owner's, and how many there are.
    #[inline]
    pub(super) fn next(&mut self, slots: &mut [Slot; REPLICAS_MAX]) -> Result<(bool, usize), CodecError> {
        if self.columns == 0 {
            return Ok((false, 0));
        }
        let owner = self.places.next() as u16;
        if owner > self.none {
            return Err(CodecError::Impossible { what: "a place outside the table" });
        }
        let owned = owner != self.none;
        let mut count = 0;
        if owned {
            slots[0] = Slot(owner);
            count = 1;
        }
        let mut below = None;
        let mut ended = false;
        for _ in 1..self.columns {
            let place = self.places.next() as u16;
            if place == self.none {
                ended = true;
                continue;
            }
            let ascends = below.is_none_or(|below| below < place);
            if ended || !ascends || place > self.none || (owned && place == owner) || count == REPLICAS_MAX {
                return Err(CodecError::Impossible { what: "replicas that are not a set" });
            }
            below = Some(place);
            slots[count] = Slot(place);
            count += 1;
        }
        match &self.nodes {
            Some(nodes) if shares_node(&slots[..count], nodes) => {
                Err(CodecError::Impossible { what: "two replicas on one node" })
            }
            _ => Ok((owned, count)),
        }
    }
}

fn shares_node(slots: &[Slot], nodes: &[u16]) -> bool {
    let node = |slot: &Slot| nodes[slot.index()];
    slots.iter().enumerate().any(|(at, slot)| slots[..at].iter().any(|other| node(other) == node(slot)))
}
