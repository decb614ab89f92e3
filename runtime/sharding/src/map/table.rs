//! The replicas that a map names, each under a 16-bit slot, with a count of its shards.
//!
//! Slots of replicas that no shard names any more are used again, so a map that lives for years stays small.

use std::collections::BTreeMap;

use crate::ids::Replica;

/// How many replicas one map can tell apart: all 16-bit numbers but the one that stands for none.
pub(crate) const SLOTS_MAX: usize = u16::MAX as usize;

/// A place in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot(pub(crate) u16);

impl Slot {
    pub(crate) const NONE: Slot = Slot(u16::MAX);

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What a map makes of one replica.
#[derive(Clone, Copy, Default)]
pub(crate) struct Uses {
    /// Shards whose owner this is.
    pub(crate) owned: u32,
    /// Shards of which this is a replica; the slot is free when there are none.
    pub(crate) held: u32,
}

#[derive(Clone, Copy)]
pub(crate) struct TableRow {
    pub(crate) replica: Replica,
    pub(crate) uses: Uses,
}

#[derive(Clone, Default)]
pub(crate) struct ReplicaTable {
    rows: Vec<TableRow>,
    slots: BTreeMap<Replica, Slot>,
    free: Vec<Slot>,
}

impl ReplicaTable {
    /// A table without free slots, of replicas in ascending order.
    pub(crate) fn from_sorted(replicas: &[Replica], uses: &[Uses]) -> ReplicaTable {
        let rows = replicas.iter().zip(uses);
        let rows = rows.map(|(replica, uses)| TableRow { replica: *replica, uses: *uses });
        let slots = replicas.iter().enumerate().map(|(at, replica)| (*replica, Slot(at as u16)));
        ReplicaTable { rows: rows.collect(), slots: slots.collect(), free: Vec::new() }
    }

    /// All replicas that some shard has, in ascending order, and each slot's place in that order.
    pub(crate) fn sorted(&self) -> (Vec<Replica>, Vec<u16>) {
        let mut places = vec![0; self.rows.len()];
        for (place, slot) in self.slots.values().enumerate() {
            places[slot.index()] = place as u16;
        }
        (self.slots.keys().copied().collect(), places)
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<Replica> {
        self.rows.get(slot.index()).map(|row| row.replica)
    }

    /// The replica in a slot that some shard holds.
    pub(crate) fn at(&self, slot: Slot) -> Replica {
        self.rows[slot.index()].replica
    }

    /// All slots in order, the free ones (with nothing held) included.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &TableRow> {
        self.rows.iter()
    }

    /// Counts one more shard for the replica; `None` if it is new and the table is full.
    pub(crate) fn hold(&mut self, replica: Replica) -> Option<Slot> {
        if let Some(slot) = self.slots.get(&replica).copied() {
            self.hold_again(slot);
            return Some(slot);
        }
        let row = TableRow { replica, uses: Uses { owned: 0, held: 1 } };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.rows[slot.index()] = row;
                slot
            }
            None if self.rows.len() < SLOTS_MAX => {
                self.rows.push(row);
                Slot((self.rows.len() - 1) as u16)
            }
            None => return None,
        };
        self.slots.insert(replica, slot);
        Some(slot)
    }

    pub(crate) fn hold_again(&mut self, slot: Slot) {
        self.rows[slot.index()].uses.held += 1;
    }

    pub(crate) fn release(&mut self, slot: Slot) {
        let row = &mut self.rows[slot.index()];
        row.uses.held -= 1;
        if row.uses.held == 0 {
            self.slots.remove(&row.replica);
            self.free.push(slot);
        }
    }

    pub(crate) fn own(&mut self, slot: Slot) {
        self.rows[slot.index()].uses.owned += 1;
    }

    pub(crate) fn disown(&mut self, slot: Slot) {
        self.rows[slot.index()].uses.owned -= 1;
    }
}
