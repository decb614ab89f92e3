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

    /// Whether no field could make a number above 64 bits.
    pub(super) fn all_fit(&self) -> bool {
        self.least.checked_add(self.above.field_max()).is_some()
    }

    /// Reads one number, all of which fit.
    #[inline]
    pub(super) fn at_fitting(&self, index: usize) -> u64 {
        self.least.wrapping_add(self.above.field(index))
    }

    /// Reads one number; `None` if it is above 64 bits.
    #[inline]
    pub(super) fn at(&self, index: usize) -> Option<u64> {
        self.least.checked_add(self.above.field(index))
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

    #[inline(always)]
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

/// How a row's slots are to be understood.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) count: u8,
    /// Whether the first of them is the owner's.
    pub(super) owned: bool,
}

/// Rows as they are read, of `C` columns each.
pub(super) struct RowReader<const C: usize> {
    places: Vec<u16>,
    none: u16,
    /// For tables that name several disks of one node: the node of each place, as the first place that names it.
    nodes: Option<Vec<u16>>,
}

impl<const C: usize> RowReader<C> {
    pub(super) fn new(table: &[Replica], rows: usize, packed: &[u8]) -> RowReader<C> {
        let places = unpack::<C>(rows, bits_of(table.len() as u64), packed);
        let several = table.windows(2).any(|pair| pair[0].node == pair[1].node);
        let first_of = |replica: &Replica| table.partition_point(|entry| entry.node < replica.node) as u16;
        let nodes = several.then(|| table.iter().map(first_of).collect());
        RowReader { places, none: table.len() as u16, nodes }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() / C.max(1)
    }

    /// Whether all rows are usual ones.
    pub(super) fn all_plain(&self) -> bool {
        C > 0 && self.plain().fold(true, |fine, places| fine & self.is_plain(places))
    }

    /// All rows, as they stand.
    pub(super) fn plain(&self) -> impl Iterator<Item = &[u16; C]> {
        self.places.chunks_exact(C.max(1)).filter_map(<[u16]>::first_chunk)
    }

    /// Reads one row into slots that are all none so far; `None` if no map may say what stands there.
    #[inline]
    pub(super) fn row(&self, index: usize, slots: &mut [Slot; REPLICAS_MAX]) -> Option<Shape> {
        let places: &[u16; C] = self.places.get(index * C..)?.first_chunk()?;
        if !self.is_plain(places) {
            return self.careful(places, slots);
        }
        for (slot, place) in slots.iter_mut().zip(places) {
            *slot = Slot(*place);
        }
        Some(Shape { count: C as u8, owned: true })
    }

    /// Whether this is the usual row: an owner and others, as many as there are columns.
    #[inline]
    fn is_plain(&self, places: &[u16; C]) -> bool {
        let inside = places.iter().fold(true, |fine, place| fine & (*place < self.none));
        let others = places.iter().skip(1).fold(true, |fine, place| fine & (*place != places[0]));
        let ascend = (2..C).fold(true, |fine, at| fine & (places[at - 1] < places[at]));
        inside & others & ascend && C > 0 && C <= REPLICAS_MAX && self.nodes.is_none()
    }

    #[cold]
    fn careful(&self, places: &[u16; C], slots: &mut [Slot; REPLICAS_MAX]) -> Option<Shape> {
        let Some((owner, others)) = places.split_first() else {
            return Some(Shape { count: 0, owned: false });
        };
        let end = others.iter().position(|place| *place == self.none).unwrap_or(others.len());
        let (others, padding) = others.split_at(end);
        let own = Some(owner).filter(|owner| **owner != self.none);
        let set = own.into_iter().chain(others);
        let count = set.clone().count();
        let fine = padding.iter().all(|place| *place == self.none)
            && others.is_sorted_by(|a, b| a < b)
            && !own.is_some_and(|own| others.contains(own))
            && set.clone().all(|place| *place < self.none)
            && count <= REPLICAS_MAX;
        if !fine {
            return None;
        }
        for (slot, place) in slots.iter_mut().zip(set) {
            *slot = Slot(*place);
        }
        let shared = self.nodes.as_ref().is_some_and(|nodes| shares_node(&slots[..count], nodes));
        (!shared).then_some(Shape { count: count as u8, owned: own.is_some() })
    }
}

/// The places of all rows, one after the other. Rows that fit a word are read as one field, as they were written.
fn unpack<const C: usize>(rows: usize, bits: u32, packed: &[u8]) -> Vec<u16> {
    let width = C as u32 * bits;
    if C == 1 || width > u64::BITS {
        let reader = BitReader::new(packed, bits);
        return (0..rows * C).map(|at| reader.field(at) as u16).collect();
    }
    let reader = BitReader::new(packed, width);
    let mask = ((1u32 << bits) - 1) as u16;
    let mut places = vec![0; rows * C];
    for (at, row) in places.chunks_exact_mut(C.max(1)).enumerate() {
        let mut field = reader.field(at);
        for place in row {
            *place = field as u16 & mask;
            field = field.checked_shr(bits).unwrap_or(0);
        }
    }
    places
}

fn shares_node(slots: &[Slot], nodes: &[u16]) -> bool {
    let node = |slot: &Slot| nodes[slot.index()];
    slots.iter().enumerate().any(|(at, slot)| slots[..at].iter().any(|other| node(other) == node(slot)))
}
